"""The context of one `orchestrate` command: its settings, its queue and its output."""

import os
from typing import TYPE_CHECKING

from taskorch.cli import app
from taskorch.config.settings import Settings
from taskorch.connect import open_connection, unanswered_requests
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.frozen import replace
from taskorch.domain.item import Caller, Item, State
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests
from taskorch.transport.retry import OutageNotice

if TYPE_CHECKING:
    from collections.abc import Collection

    from taskorch.queue.wait_results import Goal, Standing, Waited
    from taskorch.queue.waits import Waits

    from taskorch_orchestrator.render.wait import Outcome


class OrchestratorContext:
    """The settings, the queue and the output of one command."""

    def __init__(self, access: Access) -> None:
        """Open the queue of the running command. Raises errors.NoQueue."""
        self.settings = app.settings()
        self.output = app.output()
        self._connection = open_connection(self.settings, self.output.notify, access)
        self._caller = caller_of(self.settings)
        #: For a command of one step: if Redis is unreachable, rerunning it acts once.
        self.queue = self._queue(
            self._caller,
            Requests(store=unanswered_requests(self.settings, app.command_line())),
        )

    def queue_of(self, orchestrator: str = "") -> Queue:
        """Return the queue for a command of many steps, as this or another orchestrating agent has it."""
        return self._queue(
            replace(self._caller, agent=orchestrator or self._caller.agent)
        )

    def waiting(self) -> "Waits":
        """Return the waits of the namespace, which report an outage of Redis."""
        return self.queue.waits(OutageNotice(self.output.notify))

    def _queue(self, caller: Caller, requests: Requests | None = None) -> Queue:
        return Queue(
            self._connection,
            self.settings.namespace,
            caller,
            requests=requests,
            damage=self.output.damage,
        )

    def handoff(self, item: str) -> dict[str, object]:
        """Return the handoff package of an item, as its file holds it; raises errors.NoItem."""
        from taskorch_orchestrator.mirror.file_models import HandoffPackage

        for record in self.queue.views.records([item]):
            return HandoffPackage.of(record).model_dump(mode="json")
        if why := self.output.damage.pop(("item", item), ""):
            raise errors.Damaged(kind="item", id=item, reason=why)
        raise errors.NoItem(item=item)

    def handoff_file(self, item: str) -> str:
        """Return the file of an item's handoff package, relative if the current folder is the root.

        Return "" if nobody keeps files in this root: with a named Redis, they lie where its service runs.
        """
        folder = f"{self.settings.folder_path}/handoffs"
        if self.settings.redis_url and not os.path.isdir(folder):
            return ""
        file = f"{folder}/{item}_handoff.json"
        return os.path.relpath(file) if self.settings.root_path == os.getcwd() else file


def outcome_of(
    queue: Queue, waited: "Waited", goals: "Collection[Goal]", *, timeout_s: float
) -> "Outcome":
    """Return what a wait for goals came to, with the items that wait for an answer; errors.WaitOver when it ran out."""
    from taskorch.queue.wait_results import Goal

    from taskorch_orchestrator.render import wait

    if waited.reached is None:
        state = wait.state(waited.standing)
        cursor = waited.cursor if Goal.ANY in goals else ""
        raise errors.WaitOver(
            id=waited.standing.id, state=state, seconds=f"{timeout_s:g}", cursor=cursor
        )
    asking = _blocked(queue, waited.standing) if waited.reached is Goal.BLOCKED else ()
    return wait.Outcome.of(waited, asking)


def _blocked(queue: Queue, standing: "Standing") -> tuple[Item, ...]:
    """Return the items that wait for an answer: the item itself, or those of a project."""
    if standing.item:
        return (standing.item,)
    return queue.views.list(project=standing.project.id, state=State.BLOCKED).items


def caller_of(settings: Settings) -> Caller:
    """Return in whose name an orchestrator acts, and from where."""
    return Caller(
        agent=settings.orchestrator,
        host=os.uname().nodename,
        pid=os.getppid(),
        session=settings.session,
    )
