"""One run: a fleet works during faults, finishes its items, and is checked."""

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
from support.commands import eventually
from taskorch.domain import errors
from taskorch.domain.item import Caller, State
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.queue import keys
from taskorch.queue.queue import Queue

from chaos import deployments, ledger, summary, verdict
from chaos.delays import make_delayed_items_due
from chaos.deployments import NAMESPACE, Deployment
from chaos.faults import Faults, kinds, plan
from chaos.fencing_scenario import FencingScenario
from chaos.fleet import Fleet
from chaos.ledger import Ledger
from chaos.process_config import ProcessConfig, connection
from chaos.summary import Summary

DRAIN_TIMEOUT_S = 120.0
TICK_S = 0.05
MAKE_DUE_EVERY_S = 0.4
PAGE = 50
INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a run."""

    redis: str = "standalone"
    seconds: float = 120.0
    processes: int = 26
    seed: int = 0

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> "Options":
        """Read CHAOS_REDIS, CHAOS_SECONDS, CHAOS_PROCESSES and CHAOS_SEED.

        At most 50 processes are used; the seed is random by default.
        """
        return cls(
            redis=environment.get("CHAOS_REDIS") or cls.redis,
            seconds=float(environment.get("CHAOS_SECONDS") or cls.seconds),
            processes=min(
                50, int(environment.get("CHAOS_PROCESSES") or cls.processes)
            ),
            seed=int(
                environment.get("CHAOS_SEED") or int.from_bytes(os.urandom(3))
            ),
        )


class Run:
    """A run in progress."""

    def __init__(
        self,
        options: Options,
        deployment: Deployment,
        folder: Path,
        interrupted: Event,
    ) -> None:
        """Prepare a run that ends at the next tick after `interrupted` is set."""
        self._options = options
        self._interrupted = interrupted
        self._deployment = deployment
        self._folder = folder
        self._queue = Queue(
            connection(deployment.url),
            NAMESPACE,
            Caller(agent="planner", host="chaos"),
        )
        self._project = self._queue.project("Chaos")
        self._began_at = monotonic()
        self._made_due_at = 0.0
        self.fleet = Fleet(self._process_config(), Random(options.seed))
        planned = plan(options.seed, options.seconds, kinds(deployment))
        self.faults = Faults(
            planned, self.fleet, deployment, Ledger(folder / "driver.ledger")
        )
        self._scenario = FencingScenario(
            self.fleet, self._queue, self._project
        )

    def inject_faults(self) -> None:
        """Let the fleet work, and inject faults for the duration of the options."""
        self.fleet.start_all(self._options.processes)
        begin = monotonic()
        while (now_s := monotonic() - begin) < self._options.seconds:
            self.faults.inject(now_s)
            self._tick()
        self.faults.end()

    def drain(self) -> None:
        """Let the fleet finish the remaining items, within a time limit."""
        (self._folder / "faults-over").touch()
        deadline = monotonic() + DRAIN_TIMEOUT_S
        while not self._is_done() and monotonic() < deadline:
            self._tick()
        if not self._scenario.is_over():
            self.fleet.broken.append("the fencing scenario did not finish")

    def summary(self) -> Summary:
        """Stop the processes, and summarise their ledgers and Redis."""
        self.fleet.stop()
        lines = ledger.lines(self._folder)
        evidence = self._evidence(ledger.calls(lines))
        return Summary(
            redis=self._options.redis,
            seed=self._options.seed,
            seconds=monotonic() - self._began_at,
            processes=self.fleet.started,
            faults=self.faults.counts + summary.own_faults(lines),
            calls=summary.answers(evidence.calls),
            items=summary.states(evidence.records.values()),
            wait_replicas=os.environ.get("TASKORCH_WAIT_REPLICAS", "0"),
            outages_s=summary.outages_s(lines),
            stale_writes_refused=verdict.stale_writes_refused(evidence),
            verdict=verdict.check_invariants(
                evidence, failover=self._deployment.fails_over
            ),
        )

    def _evidence(self, calls: list[ledger.Call]) -> verdict.Evidence:
        raw = self._deployment.primary()
        bench = Bench(self._queue, raw, NAMESPACE, self._deployment.url)
        held: Any = raw.zrange(keys.tag(NAMESPACE) + "leases", 0, -1)
        return verdict.Evidence(
            calls=calls,
            records={record.item.id: record for record in self._records()},
            held=held,
            inconsistencies=bench.inconsistencies(),
            broken=self.fleet.broken,
            counters=self._queue.views.counters(),
            spent=self._queue.views.costs().total.cost_micros,
        )

    def _records(self) -> Iterator[MirrorRecord]:
        views = self._queue.views
        ids = [
            item.id
            for item in views.list(project=self._project, limit=5000).items
        ]
        for start in range(0, len(ids), PAGE):
            yield from views.records(ids[start : start + PAGE])

    def _tick(self) -> None:
        if self._interrupted.is_set():
            raise KeyboardInterrupt
        self.fleet.replace_dead()
        if monotonic() > self._made_due_at + MAKE_DUE_EVERY_S:
            self._made_due_at = monotonic()
            make_delayed_items_due(self._deployment)
            self._scenario.continue_()
        sleep(TICK_S)

    def _is_done(self) -> bool:
        """Return whether every item is completed or failed."""
        with suppress(errors.Unavailable):
            # The producer of these has died, or is about to assign them.
            for item in self._queue.views.unassigned():
                with suppress(errors.Conflict, errors.Invalid):
                    self._queue.assign(item.id, "tester")
            counts = self._queue.views.progress(
                self._project, limit=1
            ).project.counts
            open_ = sum(
                n
                for state, n in counts.items()
                if state not in (State.COMPLETED, State.FAILED)
            )
            return self._scenario.is_over() and open_ == 0
        return False

    def _process_config(self) -> ProcessConfig:
        """Return the template of every process's configuration."""
        return ProcessConfig(
            url=self._deployment.gateway_url or self._deployment.url,
            access_token=self._deployment.access_token,
            namespace=NAMESPACE,
            project=self._project,
            folder=self._folder,
            name="",
            agent="",
            agents=(),
            backlog=4 * self._options.processes,
            seed=0,
            until=time() + self._options.seconds + DRAIN_TIMEOUT_S,
            driver=os.getpid(),
        )


def do_run(options: Options, folder: Path, interrupted: Event) -> Summary:
    """Do one run in a folder, and end all its processes.

    Raises KeyboardInterrupt if it is interrupted.
    """
    for name in ("redis", "ledgers"):
        (folder / name).mkdir()
    with deployments.running(options.redis, folder / "redis") as deployment:
        run = Run(options, deployment, folder / "ledgers", interrupted)
        try:
            run.inject_faults()
            run.drain()
            return run.summary()
        finally:
            run.fleet.kill()


def main() -> None:
    """Do the run of the environment, print its summary, and exit with 1 on failure."""
    interrupted = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    options, folder = (
        Options.of(os.environ),
        Path(tempfile.mkdtemp(prefix="chaos-")),
    )
    try:
        result = do_run(options, folder, interrupted)
    except KeyboardInterrupt:
        _remove(folder)
        sys.exit(INTERRUPTED)
    summary.show(result, as_json="--json" in sys.argv)
    if result.is_failure:
        summary.show_failures(result, ledger.lines(folder / "ledgers"))
    if result.is_failure or "--keep" in sys.argv:
        sys.stderr.write(f"The ledgers and logs are in {folder}\n")
    else:
        _remove(folder)
    sys.exit(result.is_failure)


def _remove(folder: Path) -> None:
    """Remove the folder of a run; a killed command may still write to it for a moment."""

    def removed() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    eventually(removed)
