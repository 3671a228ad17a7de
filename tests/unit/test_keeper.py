"""Who keeps a root's files in the service: what it wishes for after a pass."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from taskorch_orchestrator.bell import Bell, Wish
from taskorch_orchestrator.keeper import AGAIN_S, Keeper
from taskorch_orchestrator.mirror import Done, Mirror

SETTLED = Done(written=0, imported=0, troubles={}, again=False, left=0, scan_s=0)
LEFT = Done(written=9, imported=0, troubles={}, again=False, left=7, scan_s=0)
AGAIN = Done(written=0, imported=0, troubles={}, again=True, left=0, scan_s=0)


@dataclass
class FakeMirror:
    """A mirror whose passes end as the test wants."""

    done: Done | None

    def root_id(self) -> str:
        return "root"

    def run(self, **_: object) -> Done | None:
        return self.done


@dataclass
class NotedBell(Bell):
    """A bell that only notes who rings, and how long before it is due."""

    rings: list[tuple[Wish, float]] = field(default_factory=list)

    def ring(self, wish: Wish, after_s: float = 0) -> None:
        self.rings.append((wish, after_s))


def keeper(done: Done | None, bell: Bell) -> Keeper:
    return Keeper(cast(Mirror, FakeMirror(done)), Path("/nowhere"), bell)


def test_after_a_pass_that_settled_everything_nothing_is_wished_for() -> None:
    bell = NotedBell()

    keeper(SETTLED, bell).sync()

    assert bell.rings == []


@pytest.mark.parametrize("done", [LEFT, AGAIN, None], ids=["left", "again", "busy"])
def test_what_a_pass_has_left_is_wished_for_in_an_interval_whose_job_has_not_been_done(done: Done | None) -> None:
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
