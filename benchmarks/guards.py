"""What the guards cost: claim and complete on one connection, as they are and without one guard, in turns."""

import os
from collections.abc import Mapping, Sequence
from hashlib import sha1
from statistics import median, quantiles
from time import perf_counter

from rich.console import Console
from rich.table import Table
from taskorch.agent_queue import AgentQueue
from taskorch.connection import connect
from taskorch.item import Caller
from taskorch.script import Argument, Connection, Reply, Script

from benchmarks.queues import AGENT, filled, server

PAIRS = int(os.environ.get("BENCH_PAIRS", "500"))
ROUNDS = 9
AS_IT_IS = "as it is"

#: A guard, and how its lines in the scripts read without it.
WITHOUT: Mapping[str, tuple[tuple[str, str], ...]] = {
    AS_IT_IS: (),
    "without the request id": (
        ("if kept then", "if false then"),
        ("if reply then call('SET', request, cjson.encode(reply), 'PX', REPLY_KEPT_MS) end", ""),
    ),
    "without the fence": (
        ("prefix .. 'fence:1', prefix .. 'fence:2', key('req', ARGV[1]))[3]", "key('req', ARGV[1]))[1]"),
    ),
    "without reaping in claim": (("  maintain(BATCH)\n", ""),),
}


class Unguarded:
    """A connection whose scripts lack the lines of a guard."""

    def __init__(self, connection: Connection, left_out: Sequence[tuple[str, str]]) -> None:
        self._connection = connection
        self._left_out = left_out
        self._scripts: dict[str, Script] = {}

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run the script without the guard."""
        return self._connection.call(self._scripts.get(script.name) or self._without(script), key, arguments)

    def _without(self, script: Script) -> Script:
        bare = Script(script.name)
        for line, instead in self._left_out:
            bare.text = bare.text.replace(line, instead)
        bare.sha = sha1(bare.text.encode(), usedforsecurity=False).hexdigest()
        self._scripts[script.name] = bare
        return bare

    def wait(self, key: str, timeout_s: float) -> bool:
        """Wait as the connection does."""
        return self._connection.wait(key, timeout_s)

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Follow as the connection does."""
        return self._connection.follow(key, cursor, timeout_s)

    def close(self) -> None:
        """Give the sockets back."""
        self._connection.close()


def main() -> None:
    """Measure, and print a table with the ratios."""
    with server() as url:
        filled(url, "guards", PAIRS * (ROUNDS + 1) * len(WITHOUT))
        queues = {
            name: AgentQueue(Unguarded(connect(url), left_out), "guards", Caller(agent=AGENT))
            for name, left_out in WITHOUT.items()
        }
        for queue in queues.values():
            _pairs(queue)
        rounds = [{name: _pairs(queue) for name, queue in queues.items()} for _ in range(ROUNDS)]
    table = Table("claim + complete", "pairs/s: median", "min", "max", "p50, ms", "p99, ms", "time: ratio", box=None)
    for name in WITHOUT:
        rates = [PAIRS / sum(times[name]) for times in rounds]
        ratio = median(sum(times[name]) / sum(times[AS_IT_IS]) for times in rounds)
        points = quantiles([time for times in rounds for time in times[name]], n=100)
        shown = (f"{rate:,.0f}" for rate in (median(rates), min(rates), max(rates)))
        table.add_row(name, *shown, f"{points[49] * 1000:.2f}", f"{points[98] * 1000:.2f}", f"{ratio:.2f}")
    Console().print(table)


def _pairs(queue: AgentQueue) -> list[float]:
    """Return how long each claim with its complete took."""
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
    main()
