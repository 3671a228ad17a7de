"""The sync of one root in the service: when it scans, and when it schedules a pass."""

import logging
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from taskorch_orchestrator.mirror.mirror import Mirror, PassResult
from taskorch_orchestrator.service import root_sync
from taskorch_orchestrator.service.root_sync import (
    RETRY_S,
    UNWATCHED_S,
    RootSync,
)
from taskorch_orchestrator.service.scheduler import DueJob, Scheduler

SETTLED = PassResult(
    written=0,
    imported=0,
    troubles={},
    again=False,
    left=0,
    scan_s=0,
    set_aside="",
)
LEFT = PassResult(
    written=9,
    imported=0,
    troubles={},
    again=False,
    left=7,
    scan_s=0,
    set_aside="",
)
AGAIN = PassResult(
    written=0,
    imported=0,
    troubles={},
    again=True,
    left=0,
    scan_s=0,
    set_aside="",
)


@dataclass
class FakeMirror:
    """A mirror whose passes all return the same."""

    done: PassResult | None
    scans: list[bool] = field(default_factory=list)

    def root_id(self) -> str:
        return "root"

    def mark_changed(self, _: object) -> bool:
        raise sqlite3.OperationalError("database is locked")

    def sync(self, *, scan: bool, **_: object) -> PassResult | None:
        self.scans.append(scan)
        return self.done


@dataclass
class RecordingScheduler(Scheduler):
    """A scheduler that only records the jobs and their delays."""

    scheduled: list[tuple[DueJob, float]] = field(default_factory=list)

    def schedule(self, job: DueJob, after_s: float = 0) -> None:
        self.scheduled.append((job, after_s))


def sync_returning(done: PassResult | None, scheduler: Scheduler) -> RootSync:
    return RootSync(
        cast(Mirror, FakeMirror(done)), Path("/nowhere"), scheduler
    )


def test_complete_pass_schedules_no_other() -> None:
    scheduler = RecordingScheduler()

    sync_returning(SETTLED, scheduler).sync()

    assert scheduler.scheduled == []


@pytest.mark.parametrize(
    "done", [LEFT, AGAIN, None], ids=["left", "again", "busy"]
)
def test_incomplete_pass_schedules_a_later_interval(
    done: PassResult | None,
) -> None:
    scheduler = RecordingScheduler()

    sync_returning(done, scheduler).sync()

    [(job, after_s)] = scheduler.scheduled
    assert job.duty == "sync-root"
    assert after_s >= job.interval_s


def test_file_being_written_is_retried_soon() -> None:
    scheduler = RecordingScheduler()

    sync_returning(AGAIN, scheduler).sync()

    assert [after_s for _, after_s in scheduler.scheduled] == [RETRY_S]


def test_requested_pass_is_in_the_next_interval() -> None:
    scheduler = RecordingScheduler()

    sync_returning(SETTLED, scheduler).request()

    assert [
        after_s >= job.interval_s for job, after_s in scheduler.scheduled
    ] == [True]


class PassingScheduler(Scheduler):
    """A scheduler that does a pass instead of each pause, and stops after some."""

    def __init__(self, pauses_until_stop: int) -> None:
        super().__init__()
        self.pauses_until_stop = pauses_until_stop
        self.pauses: list[float] = []
        self.root_syncs: list[RootSync] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        for each in self.root_syncs:
            each.sync()
        if len(self.pauses) == self.pauses_until_stop:
            self.stop()


def fail(*_: object, **__: object) -> Iterator[set[object]]:
    raise RuntimeError("no inotify instances left")


def watched(scheduler: PassingScheduler, root: Path) -> FakeMirror:
    """Watch a root until the scheduler stops, and return the mirror with its passes."""
    mirror = FakeMirror(SETTLED)
    scheduler.root_syncs.append(
        RootSync(cast(Mirror, mirror), root, scheduler)
    )
    scheduler.root_syncs[0].watch()
    return mirror


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".task-orchestrator" / "handoffs").mkdir(parents=True)
    return tmp_path


def test_failing_watch_causes_no_extra_scan(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_sync, "watch", fail)

    mirror = watched(PassingScheduler(20), root)

    assert mirror.scans == [True] + [False] * 19


def test_failing_watch_is_retried_with_longer_pauses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_sync, "watch", fail)
    scheduler = PassingScheduler(20)

    watched(scheduler, root)

    assert scheduler.pauses[0] < 1
    assert scheduler.pauses[:9:2] == sorted(scheduler.pauses[:9:2])
    assert all(
        UNWATCHED_S / 2 <= seconds <= UNWATCHED_S
        for seconds in scheduler.pauses[12:]
    )


def test_failing_watch_is_logged_once(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(root_sync, "watch", fail)

    watched(PassingScheduler(20), root)

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"Cannot watch {root}/.task-orchestrator/handoffs" in record.message
    assert "no inotify instances left" in record.message


def test_missing_folder_is_not_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watched(PassingScheduler(3), tmp_path)

    assert caplog.records == []


def test_successful_watch_starts_with_a_scan(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduler = PassingScheduler(9)

    def succeed(*_: object, **__: object) -> Iterator[set[object]]:
        scheduler.root_syncs[0].sync()
        scheduler.stop()
        yield set()

    watches = iter([fail, fail, succeed])
    monkeypatch.setattr(root_sync, "watch", lambda *_, **__: next(watches)())

    mirror = watched(scheduler, root)

    assert mirror.scans == [True, False, True, False]


def test_busy_memory_leaves_change_to_a_scan(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    scheduler = PassingScheduler(9)

    def change(*_: object, **__: object) -> Iterator[set[object]]:
        scheduler.root_syncs[0].sync()
        yield {("added", "item_1_progress.json")}
        scheduler.root_syncs[0].sync()
        scheduler.stop()
        yield set()

    monkeypatch.setattr(root_sync, "watch", change)

    mirror = watched(scheduler, root)

    assert mirror.scans[:2] == [True, True]
    assert caplog.records == []
