"""The context of one `orchestrate` command: its settings, its queue and its output."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from taskorch.cli import app
from taskorch.config.settings import Settings
from taskorch.connections import open_connection, unanswered_requests
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.frozen import replace
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests
from taskorch.transport.retry import OutageNotice

from taskorch_orchestrator.actions import Published

if TYPE_CHECKING:
    from taskorch.domain.short_id import ShortId
    from taskorch.queue.waits import Waits

    from taskorch_orchestrator.mirror.handoff_writer import HandoffWriter

Data = TypeVar("Data")


class OrchestratorContext:
    """The settings, the queue and the output of one command."""

    def __init__(self, access: Access) -> None:
        """Open the queue with the access of the command. Raises errors.NoQueue."""
        self.settings = app.settings()
        self.output = app.output()
        self._connection = open_connection(
            self.settings, self.output.notify, access
        )
        self._caller = caller_of(self.settings)
        unanswered = unanswered_requests(self.settings, app.command_line())
        #: For a command of one step: if Redis is unreachable, rerunning it acts once.
        self.queue = self._open_queue(self._caller, Requests(store=unanswered))

    def queue_of(
        self, orchestrator: str = "", requests: Requests | None = None
    ) -> Queue:
        """Return the queue of an orchestrator, for a command of many steps.

        `requests` gives each call its id.
        """
        agent = orchestrator or self._caller.agent
        return self._open_queue(replace(self._caller, agent=agent), requests)

    def find(self, short: "ShortId") -> str:
        """Return the id of the item or project that a short id names."""
        return self.queue.views.find(short)

    def waits(self) -> "Waits":
        """Return the waits of the namespace, which report an outage on stderr."""
        return self.queue.waits(OutageNotice(self.output.notify))

    def show(
        self,
        published: Published[Data],
        render: Callable[[Data], str],
        empty: str = "",
    ) -> None:
        """Print a result and its hints; print `empty` if it renders as ""."""
        self.output.show(published.data, render, empty, **published.meta)
        for hint in published.hints:
            self.output.hint(hint)

    def naming_archive(
        self, error: errors.NoItem | errors.NoProject
    ) -> errors.NotFound:
        """Return an error that names the archive of what it is about, if there is one."""
        from taskorch_orchestrator.backup import archive_index

        (name,) = {"item", "project"} & error.details.keys()
        file = archive_index.find(
            self.settings.folder, str(error.details[name])
        )
        if file is None:
            return error
        return type(error)(**{**error.details, "archive": str(file)})

    def handoffs(self) -> "HandoffWriter":
        """Return the writer of the handoffs of new assignments."""
        from taskorch_orchestrator.mirror.handoff_writer import HandoffWriter

        return HandoffWriter(self.settings)

    def _open_queue(
        self, caller: Caller, requests: Requests | None = None
    ) -> Queue:
        queue = Queue(
            self._connection,
            self.settings.namespace,
            caller,
            requests=requests,
            damage=self.output.damage,
        )
        queue.report_upgrade(self.output.notify)
        return queue


def caller_of(settings: Settings) -> Caller:
    """Return the orchestrator that the settings name, on this host."""
    return Caller(
        agent=settings.orchestrator,
        host=os.uname().nodename,
        pid=os.getppid(),
        session=settings.session,
    )
