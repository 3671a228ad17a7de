"""Measures the acknowledged work that a planned failover behind Sentinel loses.

Run it with `PYTHONPATH=tests python -m failover_loss`.

Writers create, claim and complete items, report, share discoveries and write notes,
through one connection each. In the middle of it the sentinels are told to fail over.
Then every step that was acknowledged is looked for. A claim is not counted: one that is
lost queues its item again.
"""

import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from support import topologies
from support.builders import need_lease
from support.commands import eventually
from support.topologies import Sentinels
from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.domain.events import FROM_THE_START
from taskorch.domain.item import Caller, Discovery, NewItem
from taskorch.queue.queue import Queue
from taskorch.transport.failover import ASK_AGAIN_S

WRITERS = 4
#: The minimum number of acknowledged steps of each writer before the failover.
STEPS = 200
#: The time limit of a step's wait for its replicas.
WAIT_MS = 300
#: The number of reports, discoveries and notes per item, and the pause between them.
ROUNDS, PAUSE_S = 20, 0.002


@dataclass
class Writer:
    """Works on items until it is stopped, and records each acknowledged step."""

    queue: Queue
    project: str
    name: str
    #: Kind of step, item, text, and time of the acknowledgement.
    acknowledged: list[tuple[str, str, str, float]] = field(
        default_factory=list
    )
    refused: Counter[str] = field(default_factory=Counter)

    def work(self, stop: threading.Event) -> None:
        """Take one item after the other until `stop` is set."""
        while not stop.is_set():
            try:
                self._item(stop)
            except (
                errors.Conflict,
                errors.NotFound,
            ) as lost:  # its claim was lost, or the whole item
                self.refused[lost.word] += 1

    def kept(self) -> set[tuple[str, str, str]]:
        """Return the steps that Redis still has."""
        found = {
            ("discover", each.item, each.text) for each in self._discoveries()
        }
        agent = self.queue.agent_queue(self.name)
        for item in {item for _, item, _, _ in self.acknowledged}:
            with suppress(errors.NoItem):
                package = self.queue.views.show(item)
                found |= {
                    ("create", item, ""),
                    *(
                        (report.kind, item, report.text)
                        for report in package.history
                    ),
                }
                found |= {
                    ("note", item, each.text) for each in agent.notes(item)
                }
        return found

    def _discoveries(self) -> Iterator[Discovery]:
        cursor = FROM_THE_START
        has_more = True
        while has_more:
            page = self.queue.views.discoveries(
                self.project, since=cursor, limit=1000
            )
            yield from page.discoveries
            cursor, has_more = page.cursor, page.more

    def _item(self, stop: threading.Event) -> None:
        agent = self.queue.agent_queue(self.name)
        item = ""
        while not item:
            with self._noting():
                item = self.queue.create(
                    self.project, NewItem(title="An item", agent=self.name)
                )
        self._note("create", item, "")
        if not (claim := agent.claim()):
            return  # the new item was lost
        lease = need_lease(claim)
        for number in range(ROUNDS):
            with self._noting():
                agent.progress(lease, f"progress {number}")
                self._note("progress", lease.item, f"progress {number}")
            with self._noting():
                agent.discover(lease, f"discover {number}")
                self._note("discover", lease.item, f"discover {number}")
            with self._noting():
                agent.note(lease.item, f"note {number}")
                self._note("note", lease.item, f"note {number}")
            if stop.wait(PAUSE_S):
                return
        with self._noting():
            agent.complete(lease, "done")
            self._note("complete", lease.item, "done")

    def _note(self, kind: str, item: str, text: str) -> None:
        self.acknowledged.append((kind, item, text, monotonic()))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Continue after a step that Redis has not acknowledged."""
        try:
            yield
        except errors.Unavailable as away:
            self.refused[away.word] += 1


@dataclass(frozen=True)
class Loss:
    """The lost steps of a failover by kind, and the period of their acknowledgement."""

    acknowledged: int
    lost: Counter[str]
    span_s: float
    refused: Counter[str]

    def line(self) -> str:
        """Return a line for people."""
        kinds = (
            ", ".join(
                f"{number} {kind}"
                for kind, number in sorted(self.lost.items())
            )
            or "none"
        )
        return (
            f"{self.lost.total()} of {self.acknowledged} lost ({kinds}) "
            f"over {self.span_s:.2f} s; {dict(self.refused)}"
        )


def measure(
    deployment: Sentinels, *, wait_replicas: int = 0, words: Sequence[str] = ()
) -> Loss:
    """Fail over once under load, and return the loss; `words` end the command."""
    writers = [
        _writer(deployment, number, wait_replicas) for number in range(WRITERS)
    ]
    stop = threading.Event()
    threads = [
        threading.Thread(target=writer.work, args=[stop]) for writer in writers
    ]
    for thread in threads:
        thread.start()
    try:
        _await_steps(writers)
        deployment.fail_over(*words)
        gone_by = (
            monotonic() + 2 * ASK_AGAIN_S
        )  # no client writes to the old primary after that
        eventually(lambda: monotonic() > gone_by)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return _loss(writers)


def _await_steps(writers: Sequence[Writer]) -> None:
    """Wait until Redis has acknowledged STEPS more steps of each writer."""
    wanted = [len(writer.acknowledged) + STEPS for writer in writers]
    eventually(
        lambda: all(
            len(writer.acknowledged) >= number
            for writer, number in zip(writers, wanted, strict=True)
        )
    )


def _writer(deployment: Sentinels, number: int, wait_replicas: int) -> Writer:
    caller = Caller(agent="planner")
    project = Queue(connect(deployment.url), "team", caller).project(
        f"Project {number}"
    )
    connection = connect(
        deployment.url, wait_replicas=wait_replicas, wait_timeout_ms=WAIT_MS
    )
    return Writer(Queue(connection, "team", caller), project, f"agent{number}")


def _loss(writers: Sequence[Writer]) -> Loss:
    lost, times, refused, total = (
        Counter[str](),
        list[float](),
        Counter[str](),
        0,
    )
    for writer in writers:
        kept = writer.kept()
        total += len(writer.acknowledged)
        refused += writer.refused
        for kind, item, text, at in writer.acknowledged:
            if (kind, item, text) not in kept:
                lost[kind] += 1
                times.append(at)
    return Loss(
        total, lost, max(times) - min(times) if times else 0.0, refused
    )


VARIANTS: dict[str, tuple[tuple[str, ...], int, tuple[str, ...]]] = {
    "default": ((), 0, ()),
    "min-replicas-to-write 1": (("--min-replicas-to-write", "1"), 0, ()),
    "min-replicas-to-write 2 (all)": (("--min-replicas-to-write", "2"), 0, ()),
    "wait_replicas 1": ((), 1, ()),
    "wait_replicas 2": ((), 2, ()),
    "COORDINATED": ((), 0, ("COORDINATED",)),
}


def main(names: Sequence[str]) -> None:
    """Print a line for each variant, or for the named ones."""
    for name, (options, wait_replicas, words) in VARIANTS.items():
        if not names or name in names:
            with (
                TemporaryDirectory() as folder,
                topologies.sentinels(Path(folder), *options) as deployment,
            ):
                loss = measure(
                    deployment, wait_replicas=wait_replicas, words=words
                )
            print(f"{name}: {loss.line()}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
