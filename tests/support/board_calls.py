"""Verbs of the board, performed as the gateway does for a signed-in person."""

from pathlib import Path

from support.builders import Bench
from taskorch.config.settings import resolve
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.role import Role
from taskorch.mcp.tool import ToolArguments
from taskorch.queue.requests import Requests
from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.client_connection import Client
from taskorch_gateway.client_leases import ClientLeases
from taskorch_gateway.performer import ClientCall


def performed(
    bench: Bench,
    verb: ToolArguments,
    role: Role = Role.ORCHESTRATOR,
    *,
    project: str = "",
    root: Path | None = None,
) -> object:
    """Return the data of a verb, for a token of the role; perhaps of one project.

    The gateway runs in `root`.
    """
    own = bench.queue.access_tokens().create("ana", role, project=project)
    access = ClientAccess(token=own.id, name="ana", role=role, project=project)
    given = {"redis_url": "redis://unused", "namespace": bench.namespace}
    call = ClientCall(
        resolve(given, {}, root or Path.cwd()),
        Client(access=access, address="192.0.2.7"),
        Requests(),
        ClientLeases(None),
    )
    connection = bench.queue._scripts.connection
    return call.perform(verb, connection, AuditLog()).result.data
