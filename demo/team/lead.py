"""The orchestrator of the team: plans, answers late, requeues, clears away."""

from collections.abc import Callable, Iterable
from threading import Event
from time import monotonic

from taskorch import Queue, State, errors
from taskorch.domain.item import Item, Project

from demo.team.projects import PROJECTS

#: Projects at the same time, and completed ones that are kept.
ACTIVE, KEPT = 3, 4
#: How long a person has for a question or a dead letter, as a number of paces.
PATIENCE_PACES = 12
ANSWER = "The orchestrator decides: take the usual one."
#: What the team may use in a day, in microdollars.
BUDGET_MICROS = 500_000_000
#: Without items in one of these states, a project does not move.
MOVING = (
    State.QUEUED,
    State.IN_PROGRESS,
    State.BLOCKED,
    State.REVIEW,
    State.DELAYED,
    State.FAILED,
)


class Lead:
    """The orchestrator, which looks at everything once per pace."""

    def __init__(self, queue: Queue, stop: Event, *, pace_s: float) -> None:
        self._queue = queue
        self._stop = stop
        self._pace_s = pace_s
        self._started = 0
        #: Item -> when it was first seen to wait for a person.
        self._waiting: dict[str, float] = {}

    def run(self) -> None:
        """Look until the demo stops. A person may act at the same time."""
        self._queue.set_budget(
            "namespace", period="day", limit_micros=BUDGET_MICROS
        )
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._pace_s)

    def look(self) -> None:
        """Do what there is to do."""
        views = self._queue.views
        asking = views.questions()
        delivered = views.reviews()
        failed = views.list(state=State.FAILED).items
        self._forget_all_but((*asking, *delivered, *failed))
        self._after_a_while(
            asking, lambda item: self._queue.answer(item.id, ANSWER)
        )
        self._after_a_while(
            delivered, lambda item: self._queue.accept(item.id)
        )
        self._after_a_while(failed, lambda item: self._queue.requeue(item.id))
        active = views.open_projects()
        for project in active:
            if not any(project.counts.get(state) for state in MOVING):
                self._close(project)
        if len(active) < ACTIVE:
            plan = PROJECTS[self._started % len(PROJECTS)].plan()
            self._queue.apply(plan)
            self._started += 1

    def _after_a_while(
        self, items: Iterable[Item], act: Callable[[Item], object]
    ) -> None:
        """Act on the items that no person has acted on."""
        for item in items:
            since = self._waiting.setdefault(item.id, monotonic())
            if monotonic() - since < PATIENCE_PACES * self._pace_s:
                continue
            try:
                act(item)
            except errors.TaskOrchestratorError:
                continue  # a person was faster

    def _forget_all_but(self, items: Iterable[Item]) -> None:
        present = {item.id for item in items}
        self._waiting = {
            item: since
            for item, since in self._waiting.items()
            if item in present
        }

    def _close(self, project: Project) -> None:
        """Complete a project, and delete the oldest completed ones."""
        self._queue.complete_project(project.id, force=True)
        completed = [
            each
            for each in self._queue.views.projects()
            if each.status == "completed"
        ]
        for old in completed[KEPT:]:
            while self._queue.purge(old.id)[0]:
                pass
