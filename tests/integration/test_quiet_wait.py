"""The commands that a server runs during an idle wait."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any, cast

import pytest
from support import servers
from support.builders import Bench
from support.commands import eventually
from taskorch.domain.item import State
from taskorch.queue import agent_queue
from taskorch.queue import waits as queue_waits
from taskorch.queue.wait_results import Goal

pytestmark = pytest.mark.parametrize(
    "lane", list(servers.binaries()), indirect=True, scope="session"
)

#: One script before the block and one after it. A server may end a block a millisecond
#: early, and then there is one more.
MOST_CALLS = 3


def scripts_run(bench: Bench) -> int:
    """Return the number of scripts that the server has run."""
    stats = cast(Any, bench.raw).info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0)
        for name in ("fcall", "evalsha", "eval")
    )


def test_idle_wait_runs_no_scripts(bench: Bench) -> None:
    bench.agent().claim()
    before = scripts_run(bench)

    claim = bench.agent().claim(wait_s=0.5)

    assert claim is None
    assert scripts_run(bench) - before <= MOST_CALLS


#: The number of waiters, and for how long they wait: a busy machine takes a while to
#: start so many threads.
WAITERS, LONG_S = 1022, 600


def commands(bench: Bench) -> dict[str, int]:
    """Return the number of calls of each command, except those of this test."""
    stats = cast(Any, bench.raw).info("commandstats")
    return {
        name: stat["calls"]
        for name, stat in stats.items()
        if name not in ("cmdstat_info", "cmdstat_wait")
    }


def test_thousand_idle_waiters_run_no_command(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_waits, "PERIOD_S", LONG_S)
    monkeypatch.setattr(agent_queue, "WAIT_PERIOD_S", LONG_S)
    project = bench.project()
    lease = bench.bring_to(bench.item(project), State.BLOCKED)
    waits_itself = bench.item(project, depends_on=(lease.item,))
    newest, waiting = bench.queue.waits().newest_cursor(), bench.queue.waits()
    waits: list[Callable[[], object]] = [
        lambda: bench.agent("bob").claim(wait_s=LONG_S),
        lambda: bench.agent().wait_for_answer(lease, timeout_s=LONG_S),
        lambda: waiting.until(lease.item, [Goal.COMPLETED], timeout_s=LONG_S),
        lambda: waiting.until(
            waits_itself, [Goal.COMPLETED], timeout_s=LONG_S
        ),
        lambda: waiting.until(project, [Goal.COMPLETED], timeout_s=LONG_S),
        lambda: waiting.until(
            project, [Goal.ANY], timeout_s=LONG_S, since=newest
        ),
        lambda: next(waiting.events(newest)),
    ]
    with ThreadPoolExecutor(WAITERS) as threads:
        waiters = [
            threads.submit(waits[n % len(waits)]) for n in range(WAITERS)
        ]
        eventually(
            lambda: bench.blocked_clients() == WAITERS, within_s=LONG_S / 2
        )
        before, began = commands(bench), monotonic()

        bench.raw.wait(1, 1000)  # a replica that is not there

        after, took_s = commands(bench), monotonic() - began
        bench.queue.answer(lease.item, "Go")
        bench.agent().complete(lease)
        bench.agent().complete(bench.claimed(waits_itself))
        for _ in range(WAITERS // len(waits)):
            bench.item(agent="bob")
        ended = [waiter.result(60) for waiter in waiters]
    assert took_s >= 1
    assert after == before
    assert None not in ended
