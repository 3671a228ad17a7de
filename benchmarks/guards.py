"""Cost of the guards: claim and complete as they are, and without one guard, in turns."""

import os
from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter

from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue import scripts
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.scripts import LuaScript, library_hash, library_text

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import AGENT, filled, main_thread_s, pid, server
from benchmarks.report import report

#: The pairs of a round are few, and the rounds many: the load of the machine changes.
PAIRS = int(os.environ.get("BENCH_PAIRS", "100"))
ROUNDS = 25
AS_IT_IS = "as it is"
FIGURES = {
    "cpu": Figure(title="processor time of the server, µs"),
    "time": Figure(title="time, µs"),
    "rate": Figure(title="pairs/s", more_is_better=True, compared=False),
}

#: A guard -> its lines in the scripts, and their text without it.
WITHOUT: Mapping[str, Sequence[tuple[str, str]]] = {
    AS_IT_IS: (),
    "without the request id": (
        (", key('req', request))[3]", ")[3]"),
        ("holds_few or finds_claims_again()", "true"),
        (
            "if is_kept or (reply and not is_on_items) then keep_reply(reply) end",
            "",
        ),
    ),
    "without the fence": (
        (
            "prefix .. 'fence:1', prefix .. 'fence:2', key('req', request))[3]",
            "key('req', request))[1]",
        ),
    ),
    "without reaping in claim": (("maintain(MAX_DUE)\n", "\n"),),
}


class ScriptWithoutGuard(LuaScript):
    """A script whose library lacks the lines of a guard."""

    def __init__(self, name: str, digits: str, text: str) -> None:
        """Call the function of the library with this hash and this text."""
        super().__init__(name)
        self.function = scripts.function_name(name, digits)
        self._library = text

    @property
    def library(self) -> str:
        """The text of the library, for FUNCTION LOAD."""
        return self._library


class Unguarded(ConnectionWrapper):
    """A connection whose scripts lack the lines of a guard."""

    def __init__(
        self, connection: Connection, digits: str, left_out: str
    ) -> None:
        super().__init__(connection)
        self._digits = digits
        self._text = without(left_out).replace(library_hash(), digits)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run the script without the guard."""
        bare = ScriptWithoutGuard(script.name, self._digits, self._text)
        return super().run_script(bare, key, arguments)


def without(left_out: str) -> str:
    """Return the text of the library without a guard.

    Raises ValueError if the library lacks a line of the guard.
    """
    text = library_text()
    for line, instead in WITHOUT[left_out]:
        if line not in text:
            raise ValueError(f"{left_out}: no script has the text {line!r}")
        text = text.replace(line, instead)
    return text


def measure() -> Iterator[Comparison]:
    """Measure each variant in turn, in many short rounds."""
    with server() as url:
        filled(url, "guards", PAIRS * (ROUNDS + 1) * len(WITHOUT))
        process = pid(url)
        queues = {
            left_out: AgentQueue(
                Unguarded(connect(url), f"{number:016x}", left_out),
                "guards",
                Caller(agent=AGENT),
            )
            for number, left_out in enumerate(WITHOUT)
        }
        for queue in queues.values():
            _figures(queue, process)
        rounds = [_round(queues, process, number) for number in range(ROUNDS)]
        for queue in queues.values():
            queue.connection.close()
    remark = f"{ROUNDS} rounds of {PAIRS} pairs each, one after the other on one connection, through the library."
    yield Comparison(
        name="guards",
        rows="claim + complete",
        figures=FIGURES,
        rounds=rounds,
        baseline=AS_IT_IS,
        remarks=(remark,),
    )


def _round(queues: dict[str, AgentQueue], process: int, number: int) -> Round:
    """Measure each variant; every other round begins with the last one."""
    names = list(queues) if number % 2 else list(reversed(queues))
    measured = {name: _figures(queues[name], process) for name in names}
    return {name: measured[name] for name in queues}


def _figures(queue: AgentQueue, process: int) -> dict[str, float]:
    """Return what a claim with its completion takes."""
    cpu_s, began = main_thread_s(process), perf_counter()
    for _ in range(PAIRS):
        claim = queue.claim()
        if claim is None or claim.lease is None:
            raise RuntimeError("the queue ran empty")
        queue.complete(claim.lease, "done")
    pair_s = (perf_counter() - began) / PAIRS
    cpu_s = (main_thread_s(process) - cpu_s) / PAIRS
    return {"cpu": cpu_s * 1e6, "time": pair_s * 1e6, "rate": 1 / pair_s}


if __name__ == "__main__":
    report(measure)
