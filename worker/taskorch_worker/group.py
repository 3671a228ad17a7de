"""The click group of `worker`, and the access that each command has."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec

import click
from taskorch.cli import app
from taskorch.cli.arguments import whole_ids
from taskorch.domain.access import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.domain.short_id import Candidate, ShortId

    from taskorch_worker.context import WorkerContext

P = ParamSpec("P")

USE = (
    "pop",
    "get",
    "progress",
    "notes",
    "discover",
    "blocker",
    "comment",
    "renew",
    "complete",
    "ack",
    "fail",
    "release",
    "accept",
    "send-back",
    "run",
    "mcp",
)
READ = ("check", "get-notes", "discoveries", "wait", "reviews", "logs")
NONE = ("whoami", "prime", "hook stop")
#: Command -> what it may do in a root without a queue, or without a running server.
#: docs/operations.md states it, too.
ACCESS: Mapping[str, Access] = {
    **dict.fromkeys(USE, Access.USE),
    **dict.fromkeys(READ, Access.READ),
    **dict.fromkeys(NONE, Access.NONE),
}


class WorkerGroup(app.RoleGroup):
    """The group of the worker's commands, which also take --agent-id."""

    service_command = ("-m", "taskorch_orchestrator.cli", "service")

    common_options: ClassVar = {
        "--agent-id": {
            "metavar": "NAME",
            "help": "Your agent name. Also: AGENT_ID",
        },
        **app.RoleGroup.common_options,
    }

    def completes_ids(
        self, begun: "ShortId", limit: int
    ) -> "Sequence[Candidate]":
        """Return the ids of the agent's items that begin with the typed text."""
        from taskorch_worker.context import WorkerContext

        queue = WorkerContext(Access.NONE).session.queue
        return queue.candidates(begun, limit=limit)


@click.group(
    cls=WorkerGroup,
    epilog="Start with: export AGENT_ID=database_specialist; worker check",
)
@app.version_option()
def worker() -> None:
    """Claim the work items assigned to you, report on them and deliver them."""


def pass_context(
    command: "Callable[Concatenate[WorkerContext, P], None]",
) -> Callable[P, None]:
    """Open the queue with the access of the command, and pass its context on.

    Short ids among the arguments of the command are replaced by whole ones.
    """

    @wraps(command)
    def with_context(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_worker.context import WorkerContext

        access = ACCESS[app.command_name()]
        context = WorkerContext(access)
        command(context, *args, **whole_ids(kwargs, context.find))

    return with_context
