"""Waits of clients: each wake-up reaches one that looks, and outages end."""

from asyncio import CancelledError, create_task, run, sleep
from asyncio import Event as AsyncEvent
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.role import Role
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue import keys
from taskorch.queue.port import Connection, ConnectionWrapper
from taskorch.queue.queue import Queue
from taskorch_gateway import following
from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.client_connection import Client
from taskorch_gateway.performer import Performer
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.waits import ClientWaits

#: How long a test waits before it fails, in seconds.
LIMIT_S = 20.0


class EndOfTest(Exception):
    """Ends the following of the events."""


class BrieflyFollowed(ConnectionWrapper):
    """A connection whose first wait fails if it is to, and whose next one ends the test."""

    def __init__(self, connection: Connection, *, fails: bool) -> None:
        super().__init__(connection)
        self._fails = fails

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Fail, or end the test."""
        if self._fails:
            self._fails = False
            raise errors.Unreachable(url="", reason="refused")
        raise EndOfTest(key, cursor, timeout_s)


class Waiting(ToolArguments):
    """Wait for an item of ada."""

    name = "waiting"
    waits_for = "seconds"
    seconds: float = LIMIT_S

    def perform(self, call: ToolCall) -> ToolResult:
        """Wait."""
        lists = [keys.wake(call.settings.namespace, "ada")]
        call.connection.wait_for_wake(lists, self.seconds)
        raise AssertionError


@pytest.fixture
def follows(monkeypatch: pytest.MonkeyPatch) -> list[following.Follow]:
    """Return what would follow the events in a thread, once it is to start."""
    started: list[following.Follow] = []

    def start(_: Settings, _stream: str, follow: following.Follow) -> None:
        started.append(follow)

    monkeypatch.setattr(following, "start", start)
    return started


async def follow_to_the_end(follow: following.Follow, queue: Queue) -> None:
    """Follow the events for a moment, in which the loop is busy."""
    with ThreadPoolExecutor() as thread:
        followed = thread.submit(follow, queue, lambda _: None)
        assert isinstance(followed.exception(), EndOfTest)
    await sleep(0)


def test_wake_at_the_end_is_not_lost(tmp_path: Path) -> None:
    settings = resolve({"redis_url": "redis://127.0.0.1:1"}, {}, tmp_path)

    async def wait() -> bool:
        pool = ConnectionPool(settings)
        waits = ClientWaits(settings, pool)
        waiting = create_task(waits.for_item_of(("ada",), 0.0))
        await sleep(0)  # its time is over now
        waits.wake("ada")
        found = await waiting
        pool.close()
        return found

    assert run(wait()) is True


@pytest.mark.one_lane
def test_wake_of_leaving_client_is_passed_on(
    bench: Bench, tmp_path: Path, follows: list[following.Follow]
) -> None:
    known = {"namespace": bench.namespace, "redis_url": bench.url}
    settings = resolve(known, {}, tmp_path)
    queue = bench.with_connection(
        lambda each: BrieflyFollowed(each, fails=False)
    ).queue
    access = ClientAccess(
        token="tok_1", name="ada", role=Role.WORKER, project=""
    )
    client = Client(access=access, address="")

    async def other_is_woken() -> bool:
        asked, asked_again, is_answered = (AsyncEvent() for _ in range(3))

        async def admits() -> bool:
            if not asked.is_set():
                asked.set()
                return True
            asked_again.set()
            return await is_answered.wait()

        with closing(ConnectionPool(settings)) as pool:
            waits = ClientWaits(settings, pool)
            waits.start()
            await follow_to_the_end(follows[0], queue)
            performer = Performer(settings, pool, waits, AuditLog())
            leaving = create_task(
                performer.perform(client, Waiting(), admits=admits)
            )
            await asked.wait()
            staying = create_task(waits.for_item_of(("ada",), LIMIT_S))
            await sleep(0)  # both wait now
            waits.wake("ada")
            await asked_again.wait()
            leaving.cancel()
            with suppress(CancelledError):
                await leaving
            return await staying

    assert run(other_is_woken()) is True


@pytest.mark.one_lane
def test_end_of_a_short_outage_is_noted(
    bench: Bench, tmp_path: Path, follows: list[following.Follow]
) -> None:
    settings = resolve({"namespace": bench.namespace}, {}, tmp_path)
    queue = bench.with_connection(
        lambda each: BrieflyFollowed(each, fails=True)
    ).queue

    async def noted() -> Sequence[bool]:
        outages: list[bool] = []
        with closing(ConnectionPool(settings)) as pool:
            waits = ClientWaits(settings, pool)
            waits.on_outage(lambda *, is_away: outages.append(is_away))
            waits.start()
            await follow_to_the_end(follows[0], queue)
        return outages

    assert run(noted()) == [True, False]
