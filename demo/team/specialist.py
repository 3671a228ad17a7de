"""An agent of the team: it claims items, reports, asks, delivers, and sometimes fails."""

from threading import Event

from taskorch import ModelUsage, Queue, Task, errors

from demo.team.projects import POOLS, WORKS, Work

WAIT_S = 1.0
#: The end of the demo, as an item records it.
ENDED = "The demo has ended."
#: What a step uses: so little that the demo can go on for a day within its budget.
USED = ModelUsage(
    tokens_in=2_400, tokens_out=180, cost_micros=1_500, model="small-model"
)


class Specialist:
    """One agent, with pauses in which a person can see what it does."""

    def __init__(
        self, queue: Queue, name: str, stop: Event, *, pace_s: float
    ) -> None:
        """Pause `pace_s` seconds between two steps; end soon after `stop` is set."""
        self._agent = queue.agent(name, pools=POOLS[name])
        self._stop = stop
        self._pace_s = pace_s

    def run(self) -> None:
        """Work until the demo stops. A person may take any item away."""
        while not self._stop.is_set():
            try:
                with self._agent.claim(wait_s=WAIT_S) as task:
                    if task:
                        self._work(task, WORKS[task.item.title])
            except errors.TaskOrchestratorError:
                self._stop.wait(self._pace_s)

    def _work(self, task: Task, work: Work) -> None:
        """Do the steps of an item, and settle it."""
        for number, report in enumerate(work.reports):
            if self._pause(task):
                return
            task.progress(
                report,
                percent=100 * (number + 1) // (len(work.reports) + 1),
                used=USED,
            )
        if work.finds and not self._pause(task):
            task.discover(work.finds)
        if work.asks and not task.end_of_attempt:
            self._ask(task, work)
        if work.fails and task.item.attempts == 1 and not self._pause(task):
            task.fail(work.fails, retry=False)
        if not self._pause(task):
            task.complete(work.summary, deliverables=work.deliverables)

    def _ask(self, task: Task, work: Work) -> None:
        """Ask a question, and wait for its answer or the end of the demo."""
        task.blocker(work.asks, needs=work.needs)
        while not self._stop.is_set():
            if not task.wait_for_answer(timeout_s=WAIT_S).unanswered:
                return

    def _pause(self, task: Task) -> bool:
        """Pause before the next step; return whether there is none."""
        if not task.end_of_attempt and self._stop.wait(self._pace_s):
            task.release(reason=ENDED)
        return task.end_of_attempt is not None
