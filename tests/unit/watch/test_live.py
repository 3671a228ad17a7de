"""The live screen reads from Redis only if something has changed."""

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import cast

import pytest
from taskorch.domain import errors
from taskorch.domain.events import Events
from taskorch.domain.usage import ModelUsage
from taskorch.queue.budgets import Budget
from taskorch_orchestrator.context import OrchestratorContext
from taskorch_orchestrator.watch import live
from taskorch_orchestrator.watch.live import Update, _View

AWAY = errors.Unreachable(url="redis://there", reason="refused")
LOST_EVENTS = Events(known=False, newest="2-0", entries=())


@dataclass
class EmptyQueue:
    """A queue without projects and agents; the fake of a context, too."""

    reads: int = 0
    found: tuple[Budget, ...] = ()
    updates: SimpleQueue[Update] = field(default_factory=SimpleQueue)

    @property
    def queue(self) -> "EmptyQueue":
        return self

    @property
    def views(self) -> "EmptyQueue":
        return self

    def projects(self, **_: int) -> tuple[()]:
        self.reads += 1
        return ()

    def agents(self, **_: int) -> tuple[()]:
        return ()

    def questions(self, **_: object) -> tuple[()]:
        return ()

    def pools(self, **_: int) -> tuple[()]:
        return ()

    def budgets(self) -> tuple[Budget, ...]:
        return self.found


@pytest.mark.parametrize(
    ("updates", "reads"),
    [([None], 1), ([AWAY, None], 2), ([LOST_EVENTS], 2)],
    ids=["quiet", "outage", "lost events"],
)
def test_screen_is_read_again_after_changes(
    updates: list[Update], reads: int
) -> None:
    queue = EmptyQueue()
    view = _View(cast(OrchestratorContext, queue), "", queue.updates)
    view.refresh()

    for update in updates:
        queue.updates.put(update)
    view.wait_for_updates()
    view.refresh()

    assert queue.reads == reads


def test_budgets_are_read_again_without_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "BUDGETS_S", 0.01)
    queue = EmptyQueue()
    view = _View(cast(OrchestratorContext, queue), "", queue.updates)
    view.refresh()
    budget = Budget(
        owner="namespace",
        period="total",
        limit_micros=0,
        limit_tokens=None,
        used=ModelUsage(),
        resets_at=0,
        used_up=True,
    )

    queue.found = (budget,)
    view.wait_for_updates()
    view.refresh()

    assert view.snapshot
    assert view.snapshot.used_up == (budget,)
    assert queue.reads == 1
