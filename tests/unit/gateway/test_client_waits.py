"""Waits of clients for an item: each wake-up reaches one that looks."""

from asyncio import create_task, run, sleep
from pathlib import Path

from taskorch.config.settings import resolve
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.waits import ClientWaits


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
