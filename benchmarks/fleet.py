"""Whether Redis or Python is the bottleneck: 200 connections claim, report and complete."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from statistics import quantiles
from time import monotonic, sleep
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.page import REPOSITORY
from benchmarks.queues import (
    cpu_s,
    fill,
    filled,
    pid,
    queued_s,
    server,
    settle,
)
from benchmarks.report import report

SECONDS = float(os.environ.get("BENCH_SECONDS", "30"))
ROUNDS = 3
PROCESSES, CONNECTIONS, AGENTS = 2, 100, 20
VERBS = ("claim", "progress", "complete")
#: More items per second than a server completes.
ITEMS_A_SECOND = 5000
ALL = "all steps"
FIGURES = {
    "rate": Figure(title="steps/s", more_is_better=True, compared=False),
    "per_core": Figure(
        title="steps for a second of the server's processor time",
        more_is_better=True,
        compared=False,
    ),
    "p50": Figure(title="p50, ms", digits=1, compared=False),
    "p99": Figure(title="p99, ms", digits=1, compared=False),
    "core": Figure(title="of a core: the server", digits=2, compared=False),
    "busy": Figure(
        title="the server works or waits for a core", digits=2, compared=False
    ),
    "clients": Figure(
        title="of a core: all clients", digits=2, compared=False
    ),
    "errors": Figure(title="errors", compared=False),
}

Seen = Mapping[str, Any]


def measure() -> Iterator[Comparison]:
    """Run the fleet three times, each for a third of the time."""
    length = SECONDS / ROUNDS
    with server() as url:
        queue = filled(url, "fleet", 0)
        project = queue.project("A fleet's work")
        rounds = []
        for _ in range(ROUNDS):
            fill(queue, project, round(length * ITEMS_A_SECOND), agents=AGENTS)
            settle(url, "fleet")
            rounds.append(_round(url, length))
    remark = (
        f"{PROCESSES} processes with {CONNECTIONS} connections each to the server's Unix socket, {AGENTS} agents, "
        f"{ROUNDS} rounds of {length:g} s; a loop over a selector and hiredis, without redis-py and the library."
    )
    yield Comparison(
        name="fleet",
        rows="step",
        figures=FIGURES,
        rounds=rounds,
        remarks=(remark,),
    )


def _round(url: str, length: float) -> Round:
    process = pid(url)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(_client(url, length)) for _ in range(PROCESSES)
        ]
        for client in clients:
            _read(client)
        began, worked, waited = monotonic(), cpu_s(process), queued_s(process)
        for client in clients:
            client.stdin.write("go\n")  # type: ignore[union-attr]
            client.stdin.flush()  # type: ignore[union-attr]
        sleep(length * 0.95)
        passed, worked, waited = (
            monotonic() - began,
            cpu_s(process) - worked,
            queued_s(process) - waited,
        )
        seen = [json.loads(_read(client)) for client in clients]
    shares = {"core": worked / passed, "busy": (worked + waited) / passed}
    return rows(seen, shares)


def rows(seen: Sequence[Seen], shares: Mapping[str, float]) -> Round:
    """Return the figures of a round from the records of its clients."""
    seconds = max(each["seconds"] for each in seen)
    for each in seen:
        for wrong in each["first"]:
            sys.stderr.write(f"an error of the fleet: {wrong}\n")
    by_verb = {
        verb: [
            taken for each in seen for taken in each["micros"].get(verb, [])
        ]
        for verb in VERBS
    }
    times = _times(
        [taken for each in by_verb.values() for taken in each], seconds
    )
    whole = {
        **times,
        **shares,
        "per_core": times["rate"] / shares["core"],
        "clients": sum(each["cpu"] / each["seconds"] for each in seen),
        "errors": sum(each["errors"] for each in seen),
    }
    return {
        ALL: whole,
        **{verb: _times(taken, seconds) for verb, taken in by_verb.items()},
    }


def _times(micros: Sequence[int], seconds: float) -> dict[str, float]:
    points = quantiles(micros, n=100)
    return {
        "rate": len(micros) / seconds,
        "p50": points[49] / 1000,
        "p99": points[98] / 1000,
    }


def _client(url: str, length: float) -> subprocess.Popen[str]:
    words = [
        unquote(urlsplit(url).path),
        "fleet",
        str(CONNECTIONS),
        str(AGENTS),
        str(length),
        *VERBS,
    ]
    command = [sys.executable, "-m", "benchmarks.loop", *words]
    return subprocess.Popen(
        command,
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _read(client: subprocess.Popen[str]) -> str:
    line = client.stdout.readline() if client.stdout else ""
    if not line:
        raise RuntimeError("a client of the fleet ended")
    return line


if __name__ == "__main__":
    report(measure)
