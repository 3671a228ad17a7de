"""How many requests of a token are open at the same time."""

import asyncio
from asyncio import Event, Task, create_task, gather, sleep
from collections.abc import Coroutine

import pytest
from taskorch.domain import errors
from taskorch_gateway.open_requests import PARTS, OpenRequests

MOST = 3


async def request(counted: OpenRequests, token: str, end: Event) -> None:
    """Be open until the end."""
    counted.add(token)
    await end.wait()


async def started(*requests: Coroutine[None, None, None]) -> list[Task[None]]:
    """Start requests, and return when each has begun."""
    tasks = [create_task(each) for each in requests]
    await sleep(0)
    return tasks


def test_token_with_its_part_of_requests_is_refused() -> None:
    async def attempt() -> None:
        counted, end = OpenRequests(MOST * PARTS), Event()
        tasks = await started(
            *(request(counted, "tok_1", end) for _ in range(MOST))
        )

        with pytest.raises(errors.RateLimited) as refused:
            counted.add("tok_1")
        await started(request(counted, "tok_2", end))

        assert refused.value.details["calls"] == MOST
        end.set()
        await gather(*tasks)

    asyncio.run(attempt())


def test_place_is_free_however_a_request_ends() -> None:
    async def attempt() -> None:
        counted, end = OpenRequests(MOST * PARTS), Event()

        async def fail() -> None:
            counted.add("tok_1")
            raise ConnectionError

        tasks = await started(
            request(counted, "tok_1", end), request(counted, "tok_1", end)
        )
        tasks[0].cancel()
        tasks += await started(fail())
        end.set()
        await gather(*tasks, return_exceptions=True)
        await sleep(0)

        again = await started(
            *(request(counted, "tok_1", end) for _ in range(MOST))
        )
        await gather(*again)

    asyncio.run(attempt())


def test_few_connections_leave_each_token_one() -> None:
    async def attempt() -> None:
        OpenRequests(1).add("tok_1")

    asyncio.run(attempt())
