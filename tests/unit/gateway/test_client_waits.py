"""Waits of clients: each wake-up reaches one that looks, and outages end."""

from asyncio import create_task, run, sleep
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors
from taskorch.queue.port import Connection, ConnectionWrapper
from taskorch_gateway import following
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.waits import ClientWaits


class EndOfTest(Exception):
    """Ends the following of the events."""


class BrieflyUnreachable(ConnectionWrapper):
    """A connection whose first wait fails, and whose second one ends the test."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._waits = 0

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Fail."""
        self._waits += 1
        if self._waits == 1:
            raise errors.Unreachable(url="", reason="refused")
        raise EndOfTest(key, cursor, timeout_s)


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
def test_end_of_a_short_outage_is_noted(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = resolve({"namespace": bench.namespace}, {}, tmp_path)
    started: list[following.Follow] = []

    def start(_: Settings, _stream: str, follow: following.Follow) -> None:
        started.append(follow)

    monkeypatch.setattr(following, "start", start)
    queue = bench.with_connection(BrieflyUnreachable).queue

    async def noted() -> Sequence[bool]:
        pool = ConnectionPool(settings)
        waits = ClientWaits(settings, pool)
        outages: list[bool] = []
        waits.on_outage(lambda *, is_away: outages.append(is_away))
        waits.start()
        with ThreadPoolExecutor() as thread:
            following_events = thread.submit(started[0], queue, lambda _: None)
            # the loop is busy for as long as the outage lasts
            assert isinstance(following_events.exception(), EndOfTest)
        await sleep(0)
        pool.close()
        return outages

    assert run(noted()) == [True, False]
