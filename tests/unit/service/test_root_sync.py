"""Who keeps a root's files in the service: what it wishes for after a pass."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from taskorch_orchestrator.mirror.mirror import Mirror, PassResult
from taskorch_orchestrator.service import root_sync as keeping
from taskorch_orchestrator.service.root_sync import AGAIN_S, UNWATCHED_S, Keeper
from taskorch_orchestrator.service.scheduler import Bell, Wish

SETTLED = PassResult(
    written=0, imported=0, troubles={}, again=False, left=0, scan_s=0, set_aside=""
)
LEFT = PassResult(
    written=9, imported=0, troubles={}, again=False, left=7, scan_s=0, set_aside=""
)
AGAIN = PassResult(
    written=0, imported=0, troubles={}, again=True, left=0, scan_s=0, set_aside=""
)


@dataclass
class FakeMirror:
    """A mirror whose passes end as the test wants."""

    done: PassResult | None
    scans: list[bool] = field(default_factory=list)

    def root_id(self) -> str:
        return "root"

    def sync(self, *, scan: bool, **_: object) -> PassResult | None:
        self.scans.append(scan)
        return self.done


@dataclass
class NotedBell(Bell):
    """A bell that only notes who rings, and how long before it is due."""

    rings: list[tuple[Wish, float]] = field(default_factory=list)

    def ring(self, wish: Wish, after_s: float = 0) -> None:
        self.rings.append((wish, after_s))


def keeper(done: PassResult | None, bell: Bell) -> Keeper:
    return Keeper(cast(Mirror, FakeMirror(done)), Path("/nowhere"), bell)


def test_after_a_pass_that_settled_everything_nothing_is_wished_for() -> None:
    bell = NotedBell()

    keeper(SETTLED, bell).sync()

    assert bell.rings == []


@pytest.mark.parametrize("done", [LEFT, AGAIN, None], ids=["left", "again", "busy"])
def test_what_a_pass_has_left_is_wished_for_in_an_interval_whose_job_has_not_been_done(
    done: PassResult | None,
) -> None:
    bell = NotedBell()

    keeper(done, bell).sync()

    [(wish, after_s)] = bell.rings
    assert wish.duty == "sync-root"
    assert after_s >= wish.interval_s


def test_what_somebody_was_writing_is_looked_at_a_moment_later() -> None:
    bell = NotedBell()

    keeper(AGAIN, bell).sync()

    assert [after_s for _, after_s in bell.rings] == [AGAIN_S]


def test_a_wish_is_for_the_next_interval() -> None:
    bell = NotedBell()

    keeper(SETTLED, bell).wake()

    assert [after_s >= wish.interval_s for wish, after_s in bell.rings] == [True]


class PassingBell(Bell):
    """A bell whose pauses take no time: each is noted, and a pass is done in it; the service goes on for so many."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number
        self.pauses: list[float] = []
        self.keepers: list[Keeper] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        for each in self.keepers:
            each.sync()
        if len(self.pauses) == self.number:
            self.stop()


def fails(*_: object, **__: object) -> Iterator[set[object]]:
    raise RuntimeError("no inotify instances left")


def watching(bell: PassingBell, root: Path) -> FakeMirror:
    """Watch a root until the bell stops, with a pass in each pause; return the mirror that made them."""
    mirror = FakeMirror(SETTLED)
    bell.keepers.append(Keeper(cast(Mirror, mirror), root, bell))
    bell.keepers[0].watch()
    return mirror


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / ".task-orchestrator" / "handoffs").mkdir(parents=True)
    return tmp_path


def test_a_folder_that_cannot_be_watched_is_not_looked_through_more_often(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "watch", fails)

    mirror = watching(PassingBell(20), root)

    assert mirror.scans == [True] + [False] * 19


def test_a_folder_that_cannot_be_watched_is_tried_again_with_pauses_that_grow(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "watch", fails)
    bell = PassingBell(20)

    watching(bell, root)

    assert bell.pauses[0] < 1
    assert bell.pauses[:9:2] == sorted(bell.pauses[:9:2])
    assert all(
        UNWATCHED_S / 2 <= seconds <= UNWATCHED_S for seconds in bell.pauses[12:]
    )


def test_that_a_folder_cannot_be_watched_is_said_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "watch", fails)

    watching(PassingBell(20), root)

    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{root}/.task-orchestrator/handoffs cannot be watched" in record.message
    assert "no inotify instances left" in record.message


def test_a_folder_that_is_not_there_yet_is_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watching(PassingBell(3), tmp_path)

    assert caplog.records == []


def test_when_a_folder_is_watched_at_last_it_is_looked_through(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bell = PassingBell(9)

    def works(*_: object, **__: object) -> Iterator[set[object]]:
        bell.keepers[0].sync()
        bell.stop()
        yield set()

    watches = iter([fails, fails, works])
    monkeypatch.setattr(keeping, "watch", lambda *_, **__: next(watches)())

    mirror = watching(bell, root)

    assert mirror.scans == [True, False, True, False]
