"""Calls that a gateway makes from its event loop, over a socket that it loses."""

import asyncio
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest
from support.builders import Bench
from support.calls import CALLS, NOT_KEPT, REFUSED
from support.proxy import Proxy, proxied
from taskorch.config.settings import resolve
from taskorch.domain import errors
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_gateway import direct_calls
from taskorch_gateway.direct_calls import DirectCalls
from taskorch_gateway.pool import ConnectionPool

pytestmark = pytest.mark.parametrize("lane", ["valkey"], indirect=True)
LIMIT_S = 30
Result = TypeVar("Result")


class LoopThread:
    """An event loop in a thread, for callers in another one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()

    def result(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Return the result of a coroutine."""
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return running.result(LIMIT_S)

    def close(self) -> None:
        """End the loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class DirectConnection(ConnectionWrapper):
    """A connection whose scripts run from an event loop."""

    def __init__(
        self, connection: Connection, calls: DirectCalls, loop: LoopThread
    ) -> None:
        super().__init__(connection)
        self._calls = calls
        self._loop = loop

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        return self._loop.result(
            self._calls.run_script(script, key, arguments)
        )


@dataclass(frozen=True)
class Direct:
    """A bench whose calls come from an event loop, through a proxy."""

    bench: Bench
    proxy: Proxy

    def clients(self) -> set[str]:
        """Return the ids of the clients that are connected to Redis."""
        clients: Any = self.bench.raw.client_list()
        return {each["id"] for each in clients}


@pytest.fixture
def direct(bench: Bench, tmp_path: Path) -> Iterator[Direct]:
    loop = LoopThread()
    with proxied(bench.url) as proxy:
        settings = resolve({"redis_url": proxy.url}, {}, tmp_path)
        pool = ConnectionPool(settings)
        calls = DirectCalls(settings, pool)
        through = bench.with_connection(
            lambda connection: DirectConnection(connection, calls, loop)
        )
        yield Direct(through, proxy)

        async def close() -> None:
            calls.close()
            pool.close()

        loop.result(close())
    loop.close()


@pytest.mark.parametrize("name", CALLS)
def test_direct_call_with_lost_reply_acts_once(
    bench: Bench, direct: Direct, name: str
) -> None:
    proxy = direct.proxy
    call = CALLS[name](bench)
    proxy.replies_lost = 1

    call(direct.bench)

    assert len(proxy.lost) == 1
    assert name in NOT_KEPT or proxy.passed == proxy.lost
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", REFUSED)
def test_late_direct_call_stays_refused(
    bench: Bench, direct: Direct, name: str
) -> None:
    call, allow = REFUSED[name](bench)
    direct.proxy.requests_lost = 1
    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        call(direct.bench)
    allow()

    *_, reply = direct.proxy.deliver_late()

    assert str(reply).startswith(refusal.value.word)
    assert bench.inconsistencies() == []


def test_direct_calls_share_one_socket(direct: Direct) -> None:
    before = direct.clients()

    for _ in range(3):
        direct.bench.queue.views.projects()

    assert len(direct.clients() - before) == 1


@pytest.mark.parametrize("idle_s", [-1.0, 60.0])
def test_idle_socket_of_direct_calls_is_replaced(
    direct: Direct, monkeypatch: pytest.MonkeyPatch, idle_s: float
) -> None:
    direct.bench.queue.views.projects()
    before = direct.clients()
    monkeypatch.setattr(direct_calls, "IDLE_S", idle_s)

    direct.bench.queue.views.projects()

    assert (direct.clients() == before) is (idle_s > 0)


def test_direct_call_installs_lost_functions(
    bench: Bench, direct: Direct
) -> None:
    direct.bench.queue.views.projects()
    bench.raw.function_flush()

    projects = direct.bench.queue.views.projects()

    assert projects == ()
    libraries: Any = bench.raw.function_list()
    assert len(libraries) == 1
