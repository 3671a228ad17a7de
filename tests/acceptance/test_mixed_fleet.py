"""File-based and Redis workers on one project, with a service that is often killed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from support import file_worker, redis_worker, services
from support.builders import Bench
from support.commands import Shell, eventually, result_of
from support.services import handoffs
from taskorch.domain.item import State
from taskorch.domain.mirror_record import MirrorRecord

ITEMS = 200
BY_FILES, BY_REDIS = (
    ("file-1", "file-2", "file-3"),
    ("redis-1", "redis-2", "redis-3"),
)
KILLS = 6
THINK_S = "0.01"


@dataclass(frozen=True)
class Reported:
    """A report that a worker has logged."""

    item: str
    kind: str
    text: str


@dataclass(frozen=True)
class Fleet:
    """Six workers and their logs."""

    bench: Bench
    shell: Shell
    stop: Path
    logs: Path
    workers: list[subprocess.Popen[str]]

    def halt(self) -> None:
        """Stop the workers, and wait for their end."""
        self.stop.touch()
        for worker in self.workers:
            assert result_of(worker).code == 0

    def reported(self, kind: str, *, torn: bool = False) -> set[Reported]:
        """Return the reports of a kind that must exist.

        With `torn`, include those that a torn file may have lost.
        """
        lines = [
            json.loads(line)
            for log in self.logs.iterdir()
            for line in log.read_text().splitlines()
        ]
        lost = (
            set()
            if torn
            else {line["text"] for line in lines if line.get("torn")}
        )
        lines = [
            line
            for line in lines
            if line["kind"] == kind and line["text"] not in lost
        ]
        return {Reported(line["item"], kind, line["text"]) for line in lines}


@contextmanager
def at_work(bench: Bench, shell: Shell) -> Iterator[Fleet]:
    logs, stop, home = (
        shell.folder / "logs",
        shell.folder / "stop",
        shell.folder / ".task-orchestrator",
    )
    logs.mkdir()
    fleet = Fleet(bench, shell, stop, logs, [])
    try:
        for seed, agent in enumerate(BY_FILES):
            options = [
                "--folder",
                str(home),
                "--agent",
                agent,
                "--log",
                str(logs / agent),
                "--until-file",
                str(stop),
            ]
            more = ["--seed", str(seed), "--think", THINK_S, "--careless"]
            fleet.workers.append(
                shell.start(
                    sys.executable, file_worker.__file__, *options, *more
                )
            )
        for agent in BY_REDIS:
            options = [
                bench.url,
                bench.namespace,
                agent,
                str(logs / agent),
                str(stop),
            ]
            fleet.workers.append(
                shell.start(sys.executable, redis_worker.__file__, *options)
            )
        yield fleet
    finally:
        for worker in fleet.workers:
            worker.kill()
            worker.communicate()


def records(bench: Bench, items: list[str]) -> dict[str, MirrorRecord]:
    return {
        record.item.id: record
        for n in range(0, ITEMS, 50)
        for record in bench.queue.views.records(items[n : n + 50])
    }


def in_redis(kept: dict[str, MirrorRecord]) -> Counter[Reported]:
    """Return how many times each report is in Redis, including stray reports."""
    found: Counter[Reported] = Counter()
    for item, record in kept.items():
        kinds = {
            "progress": ["progress"],
            "complete": ["completion"],
            "stray": ["progress", "discovery"],
        }
        found.update(
            Reported(item, kind, each.text)
            for each in record.reports
            for kind in kinds.get(each.kind, [])
        )
        found.update(
            Reported(item, "discovery", each.text)
            for each in record.discoveries
        )
    return found


def in_files(root: Path, items: list[str]) -> Counter[Reported]:
    """Return how many times each report is in the files."""
    found: Counter[Reported] = Counter()
    for item in items:
        updates = _read(
            handoffs(root) / f"{item}_progress.json", {"updates": []}
        )["updates"]
        discoveries = _read(handoffs(root) / f"{item}_discoveries.json", [])
        found.update(
            Reported(item, "progress", update["message"]) for update in updates
        )
        found.update(
            Reported(item, "discovery", each["discovery"])
            for each in discoveries
        )
    return found


def _read(path: Path, default: Any) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return default


def test_every_report_reaches_redis_and_files_once(
    shell: Shell, bench: Bench
) -> None:
    project, agents = bench.project(), [*BY_FILES, *BY_REDIS]
    items = [
        bench.item(project, agent=agents[number % len(agents)])
        for number in range(ITEMS)
    ]

    with at_work(bench, shell) as fleet:
        _keep_killing_the_service_until_all_is_done(fleet, project)
        fleet.halt()
        with services.running(shell):
            wanted = fleet.reported("progress") | fleet.reported("discovery")
            with suppress(
                AssertionError
            ):  # the assertions below name what is missing
                eventually(
                    lambda: (
                        wanted
                        <= set(in_redis(records(bench, items)))
                        & set(in_files(shell.folder, items))
                    )
                )
        shell.orchestrate("sync", "--full")

    kept = records(bench, items)
    redis, files = in_redis(kept), in_files(shell.folder, items)
    assert {
        each: (redis[each], files[each])
        for each in wanted
        if (redis[each], files[each]) != (1, 1)
    } == {}
    assert {
        item: _deliveries(kept[item])
        for item in items
        if len(_deliveries(kept[item])) != 1
    } == {}
    assert {record.item.state for record in kept.values()} == {State.COMPLETED}
    assert (
        bench.queue.views.progress(project, limit=1).project.completed == ITEMS
    )
    delivered = fleet.reported("completion", torn=True)
    summaries = {item: kept[item].item.summary for item in items}
    assert {
        item
        for item in items
        if summaries[item]
        and _delivery(item, summaries[item]) not in delivered
    } == set()
    torn = {each.item for each in delivered - fleet.reported("completion")}
    assert {item for item in items if not summaries[item]} <= torn
    assert {
        item: _filed_summary(shell.folder, item) for item in items
    } == summaries
    assert bench.inconsistencies() == []
    assert services.temporary_files(shell.folder) == []


def _keep_killing_the_service_until_all_is_done(
    fleet: Fleet, project: str
) -> None:
    fate = Random(7)
    with ExitStack() as stack:
        for count in [
            *sorted(fate.sample(range(10, ITEMS - 10), KILLS)),
            ITEMS,
        ]:
            [service] = stack.enter_context(services.running(fleet.shell))
            _await(fleet.bench, project, count)
            service.kill()


def _await(bench: Bench, project: str, count: int) -> None:
    eventually(
        lambda: (
            bench.queue.views.progress(project, limit=1).project.completed
            >= count
        )
    )


def _deliveries(record: MirrorRecord) -> list[str]:
    return [
        report.text for report in record.reports if report.kind == "complete"
    ]


def _delivery(item: str, summary: str) -> Reported:
    return Reported(item, "completion", summary)


def _filed_summary(root: Path, item: str) -> object:
    return _read(handoffs(root) / f"{item}_completion.json", {}).get("summary")
