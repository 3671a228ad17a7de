"""A connection that calls as the gateway does for a client with an access token."""

from collections.abc import Sequence
from dataclasses import dataclass

from support.builders import Bench
from taskorch.domain.access_token import Quotas
from taskorch.domain.role import Role
from taskorch.queue.port import (
    CLIENT,
    CONFINED,
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)


@dataclass
class ClientConnection(ConnectionWrapper):
    """Names an access token, and perhaps a project, in each call."""

    connection: Connection
    token: str
    project: str = ""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        request, *words = arguments
        own = f"{str(request).removesuffix('+')}{CLIENT}{self.token}"
        if self.project:
            own += CONFINED + self.project
        mark = "+" if str(request).endswith("+") else ""
        return self.connection.run_script(script, key, (own + mark, *words))


def client(
    bench: Bench,
    role: Role = Role.ORCHESTRATOR,
    *,
    project: str = "",
    **quotas: int,
) -> tuple[Bench, str]:
    """Return a bench behind a new access token of `planner`, and the id of the token."""
    most = Quotas(**{"open_items": 0, "bytes_a_day": 0, "agents": 0, **quotas})
    token = bench.queue.access_tokens().create(
        "planner", role, project=project, quotas=most
    )
    behind = bench.with_connection(
        lambda connection: ClientConnection(connection, token.id, project)
    )
    return behind, token.id
