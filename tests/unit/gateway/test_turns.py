"""The turns of verbs: long ones of a client leave connections to all others."""

from asyncio import create_task, gather, run, timeout
from pathlib import Path
from threading import Event

import pytest
from taskorch.config.settings import resolve
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.role import Role
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.client_connection import Client
from taskorch_gateway.performer import Performer
from taskorch_gateway.pool import SIZE, ConnectionPool
from taskorch_gateway.waits import ClientWaits

#: How long a test waits before it fails, in seconds.
LIMIT_S = 60
#: Time in which a verb that has no connection is not served.
SHORT_S = 2


class Long(ToolArguments):
    """Take long, as the closing of a large project does."""

    name = "long"

    def perform(self, call: ToolCall) -> ToolResult:
        """Wait for the end of the test."""
        MAY_END.wait(LIMIT_S)
        return ToolResult(call.settings.orchestrator)


class Short(ToolArguments):
    """Take no time."""

    name = "short"

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the name of the caller."""
        return ToolResult(call.settings.orchestrator)


MAY_END = Event()


def client(name: str) -> Client:
    access = ClientAccess(
        token=f"tok_{name}", name=name, role=Role.ORCHESTRATOR, project=""
    )
    return Client(access=access, address="")


async def served_beside_long_verbs(
    folder: Path, clients: str, *, verb_within_s: float
) -> list[str]:
    """Return who is served while some clients have more long verbs than connections."""
    settings = resolve({"redis_url": "redis://127.0.0.1:1"}, {}, folder)
    pool = ConnectionPool(settings)
    waits = ClientWaits(settings, pool)
    performer = Performer(settings, pool, waits, AuditLog())
    long = [
        create_task(performer.perform(client(name), Long()))
        for name in clients
        for _ in range(SIZE)
    ]
    served = []
    try:
        async with timeout(LIMIT_S / 2):
            served.append(await pool.run(lambda _: "/call"))
        async with timeout(verb_within_s):
            performed = await performer.perform(client("other"), Short())
            served.append(str(performed.result.data))
    except TimeoutError:
        pass
    finally:
        MAY_END.set()
        await gather(*long)
        pool.close()
    return served


@pytest.fixture(autouse=True)
def verbs_take_long() -> None:
    MAY_END.clear()


def test_long_verbs_of_client_leave_connections(tmp_path: Path) -> None:
    served = run(
        served_beside_long_verbs(tmp_path, "a", verb_within_s=LIMIT_S / 2)
    )

    assert served == ["/call", "other"]


def test_long_verbs_leave_connections_for_calls(tmp_path: Path) -> None:
    served = run(
        served_beside_long_verbs(tmp_path, "abc", verb_within_s=SHORT_S)
    )

    assert served == ["/call"]
