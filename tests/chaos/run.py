"""One run: a Redis, a fleet, faults for a while, then calm until nothing is left to do, and the verdict."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic, sleep, time
from typing import Any

from support.builders import Bench
from support.topologies import eventually
from taskorch.domain import errors
from taskorch.domain.item import Caller, State
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.queue import keys
from taskorch.queue.queue import Queue

from chaos import deployments, ledger, summary, verdict
from chaos.delays import hasten
from chaos.deployments import NAMESPACE, Redises
from chaos.faults import Faults, kinds, plan
from chaos.fencing_scenario import Stage
from chaos.fleet import Fleet
from chaos.ledger import Ledger
from chaos.process_config import Duty, connection
from chaos.summary import Account

DRAINED_WITHIN_S = 120.0
TICK_S = 0.05
HASTEN_EVERY_S = 0.4
PAGE = 50
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is to be like."""

    redis: str = "standalone"
    seconds: float = 120.0
    processes: int = 26
    seed: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Options":
        """Read CHAOS_REDIS, CHAOS_SECONDS, CHAOS_PROCESSES (to 50) and CHAOS_SEED (random without)."""
        return cls(
            redis=environment.get("CHAOS_REDIS") or cls.redis,
            seconds=float(environment.get("CHAOS_SECONDS") or cls.seconds),
            processes=min(50, int(environment.get("CHAOS_PROCESSES") or cls.processes)),
            seed=int(environment.get("CHAOS_SEED") or int.from_bytes(os.urandom(3))),
        )


class Run:
    """Everything that is there while a run goes on."""

    def __init__(
        self, options: Options, redises: Redises, folder: Path, interrupted: Event
    ) -> None:
        """`interrupted` is set to end the run at its next tick, between two starts of processes."""
        self._options = options
        self._interrupted = interrupted
        self._redises = redises
        self._folder = folder
        self._queue = Queue(
            connection(redises.url), NAMESPACE, Caller(agent="planner", host="chaos")
        )
        self._project = self._queue.project("Chaos")
        self._began_at = monotonic()
        self._hastened_at = 0.0
        self.fleet = Fleet(self._duty(), Random(options.seed))
        planned = plan(options.seed, options.seconds, kinds(redises))
        self.faults = Faults(
            planned, self.fleet, redises, Ledger(folder / "driver.ledger")
        )
        self._stage = Stage(self.fleet, self._queue, self._project)

    def rage(self) -> None:
        """Let processes work and faults happen for as long as the options say."""
        self.fleet.man(self._options.processes)
        begin = monotonic()
        while (now_s := monotonic() - begin) < self._options.seconds:
            self.faults.happen(now_s)
            self._tick()
        self.faults.end()

    def drain(self) -> None:
        """Let workers finish what is there, unharmed but for poison; bounded in time."""
        (self._folder / "calm").touch()
        deadline = monotonic() + DRAINED_WITHIN_S
        while not self._is_done() and monotonic() < deadline:
            self._tick()
        if not self._stage.is_over():
            self.fleet.broken.append("the scene was not played to its end")

    def account(self) -> Account:
        """End the processes, and give an account of what they and Redis say."""
        self.fleet.dismiss()
        lines = ledger.lines(self._folder)
        evidence = self._evidence(ledger.calls(lines))
        return Account(
            redis=self._options.redis,
            seed=self._options.seed,
            seconds=monotonic() - self._began_at,
            processes=self.fleet.started,
            faults=self.faults.counts + summary.suffered(lines),
            calls=summary.answers(evidence.calls),
            items=summary.states(evidence.records.values()),
            wait_replicas=os.environ.get("TASKORCH_WAIT_REPLICAS", "0"),
            silences_s=summary.silences_s(lines),
            stale_writes_refused=verdict.stale_writes_refused(evidence),
            verdict=verdict.judge(evidence, failover=self._redises.fails_over),
        )

    def _evidence(self, calls: list[ledger.Call]) -> verdict.Evidence:
        raw = self._redises.primary()
        bench = Bench(self._queue, raw, NAMESPACE, self._redises.url)
        held: Any = raw.zrange(keys.tag(NAMESPACE) + "leases", 0, -1)
        return verdict.Evidence(
            calls=calls,
            records={record.item.id: record for record in self._records()},
            held=held,
            inconsistencies=bench.inconsistencies(),
            broken=self.fleet.broken,
        )

    def _records(self) -> Iterator[MirrorRecord]:
        views = self._queue.views
        ids = [item.id for item in views.list(project=self._project, limit=5000).items]
        for start in range(0, len(ids), PAGE):
            yield from views.records(ids[start : start + PAGE])

    def _tick(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self.fleet.replace_fallen()
        if monotonic() > self._hastened_at + HASTEN_EVERY_S:
            self._hastened_at = monotonic()
            hasten(self._redises)
            self._stage.go_on()
        sleep(TICK_S)

    def _is_done(self) -> bool:
        """Return whether no item is left that a worker could do something about."""
        with suppress(errors.Unavailable):
            for item in (
                self._queue.views.unassigned()
            ):  # its producer died between two steps, or is about to assign it
                with suppress(errors.Conflict, errors.Invalid):
                    self._queue.assign(item.id, "tester")
            counts = self._queue.views.progress(self._project, limit=1).project.counts
            open_ = sum(
                n
                for state, n in counts.items()
                if state not in (State.COMPLETED, State.FAILED)
            )
            return self._stage.is_over() and open_ == 0
        return False

    def _duty(self) -> Duty:
        """Return the pattern of every process's orders."""
        return Duty(
            url=self._redises.url,
            namespace=NAMESPACE,
            project=self._project,
            folder=self._folder,
            name="",
            agent="",
            agents=(),
            backlog=4 * self._options.processes,
            seed=0,
            until=time() + self._options.seconds + DRAINED_WITHIN_S,
            driver=os.getpid(),
        )


def play(options: Options, folder: Path, interrupted: Event) -> Account:
    """Do one run in a folder; whatever was started has ended when this returns or raises.

    Raises KeyboardInterrupt when it is interrupted.
    """
    for name in ("redis", "ledgers"):
        (folder / name).mkdir()
    with deployments.running(options.redis, folder / "redis") as redis_:
        run = Run(options, redis_, folder / "ledgers", interrupted)
        try:
            run.rage()
            run.drain()
            return run.account()
        finally:
            run.fleet.kill()


def main() -> None:
    """Do the run that the environment asks for, print its account, and exit with 1 if somebody is guilty."""
    interrupted = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    options, folder = Options.of(os.environ), Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        told = play(options, folder, interrupted)
    except KeyboardInterrupt:
        _remove(folder)
        sys.exit(INTERRUPTED)
    summary.show(told, as_json="--json" in sys.argv)
    if told.guilty:
        summary.accuse(told, ledger.lines(folder / "ledgers"))
    if told.guilty or "--keep" in sys.argv:
        sys.stderr.write(f"Everything is in {folder}\n")
    else:
        _remove(folder)
    sys.exit(told.guilty)


def _remove(folder: Path) -> None:
    """Remove the folder of a run, although a command that was killed may still finish its last write there."""

    def removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    eventually(removed)
