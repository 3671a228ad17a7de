"""A subscription to the events of a process: in order, and with a mark after a loss."""

import asyncio

from taskorch.domain.events import Event, Events
from taskorch_gateway.waits import LOST, MOST_BATCHES, Subscription


def batch(number: int) -> Events:
    event = Event(
        cursor=f"{number}-0",
        at=number,
        verb="create",
        item="item_1a2b3c4d",
        project="proj_1a2b3c4d",
        agent="",
        state="pending",
    )
    return Events(known=True, newest=event.cursor, entries=(event,))


def test_batches_arrive_in_order() -> None:
    subscription = Subscription()
    for number in range(1, 4):
        subscription.put(batch(number))

    async def read() -> list[Events | None]:
        return [await subscription.next(0.01) for _ in range(4)]

    assert asyncio.run(read()) == [batch(1), batch(2), batch(3), None]


def test_slow_reader_learns_that_events_are_lost() -> None:
    subscription = Subscription()
    for number in range(1, MOST_BATCHES + 3):
        subscription.put(batch(number))

    async def read() -> list[Events | None]:
        return [await subscription.next(0.01) for _ in range(2)]

    assert asyncio.run(read()) == [LOST, batch(MOST_BATCHES + 2)]
