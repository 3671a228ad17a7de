"""Cost of the guards: claim and complete as they are, and without one guard, in turns."""

import os
from collections.abc import Iterator, Mapping, Sequence
from statistics import quantiles
from time import perf_counter

from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.scripts import LuaScript

from benchmarks.figures import Comparison, Figure
from benchmarks.queues import AGENT, filled, server
from benchmarks.report import report

PAIRS = int(os.environ.get("BENCH_PAIRS", "500"))
ROUNDS = 9
AS_IT_IS = "as it is"
FIGURES = {
    "time": Figure(title="time, µs"),
    "rate": Figure(title="pairs/s", more_is_better=True, compared=False),
    "p50": Figure(title="p50, ms", digits=2, compared=False),
    "p99": Figure(title="p99, ms", digits=2, compared=False),
}

#: A guard -> its lines in the scripts, and their text without it.
WITHOUT: Mapping[str, tuple[tuple[str, str], ...]] = {
    AS_IT_IS: (),
    "without the request id": (
        ("if kept then", "if false then"),
        (
            "if reply then call('SET', request, cjson.encode(reply), 'PX', REPLY_KEPT_MS) end",
            "",
        ),
    ),
    "without the fence": (
        (
            "prefix .. 'fence:1', prefix .. 'fence:2', key('req', ARGV[1]))[3]",
            "key('req', ARGV[1]))[1]",
        ),
    ),
    "without reaping in claim": (("  maintain(BATCH)\n", ""),),
}


class Unguarded(ConnectionWrapper):
    """A connection whose scripts lack the lines of a guard."""

    def __init__(
        self, connection: Connection, left_out: Sequence[tuple[str, str]]
    ) -> None:
        super().__init__(connection)
        self._left_out = left_out
        self._scripts: dict[str, Script] = {}

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run the script without the guard."""
        return super().run_script(
            self._scripts.get(script.name) or self._without(script),
            key,
            arguments,
        )

    def _without(self, script: Script) -> Script:
        bare = LuaScript(script.name)
        bare.function = ""  # it runs by its text
        for line, instead in self._left_out:
            bare.text = bare.text.replace(line, instead)
        self._scripts[script.name] = bare
        return bare


def measure() -> Iterator[Comparison]:
    """Measure each variant in turn, in several rounds."""
    with server() as url:
        filled(url, "guards", PAIRS * (ROUNDS + 1) * len(WITHOUT))
        queues = {
            name: AgentQueue(
                Unguarded(connect(url), left_out),
                "guards",
                Caller(agent=AGENT),
            )
            for name, left_out in WITHOUT.items()
        }
        for queue in queues.values():
            _pairs(queue)
        rounds = [
            {name: _figures(_pairs(queue)) for name, queue in queues.items()}
            for _ in range(ROUNDS)
        ]
    remark = f"{ROUNDS} rounds of {PAIRS} pairs each, one after the other on one connection, through the library."
    yield Comparison(
        name="guards",
        rows="claim + complete",
        figures=FIGURES,
        rounds=rounds,
        baseline=AS_IT_IS,
        remarks=(remark,),
    )


def _figures(taken: list[float]) -> dict[str, float]:
    points = quantiles(taken, n=100)
    mean = sum(taken) / len(taken)
    return {
        "time": mean * 1e6,
        "rate": 1 / mean,
        "p50": points[49] * 1000,
        "p99": points[98] * 1000,
    }


def _pairs(queue: AgentQueue) -> list[float]:
    """Return the duration of each claim with its complete, in seconds."""
    taken = []
    for _ in range(PAIRS):
        start = perf_counter()
        claim = queue.claim()
        if claim is None or claim.lease is None:
            raise RuntimeError("the queue ran empty")
        queue.complete(claim.lease, "done")
        taken.append(perf_counter() - start)
    return taken


if __name__ == "__main__":
    report(measure)
