"""The context of a `worker` command: settings, output and session."""

from typing import TYPE_CHECKING

from taskorch.cli import app
from taskorch.connect import open_connection, unanswered_requests
from taskorch.domain.access import Access
from taskorch.domain.item import Receipt
from taskorch.queue.requests import Requests

from taskorch_worker.render import items
from taskorch_worker.session import AgentSession

if TYPE_CHECKING:
    from taskorch.domain.short_id import ShortId


class WorkerContext:
    """The settings, output and session of one command."""

    def __init__(self, access: Access) -> None:
        """Open the queue as the configured agent.

        Raises errors.Usage without an agent name, and errors.NoQueue.
        """
        self.settings = app.settings()
        self.output = app.output()
        unanswered = unanswered_requests(self.settings, app.command_line())
        self.session = AgentSession(
            self.settings,
            open_connection(self.settings, self.output.notify, access),
            Requests(store=unanswered),
            self.output.damage,
        )

    def find(self, short: "ShortId") -> str:
        """Return the id of the item that a short id names."""
        return self.session.queue.find(short)

    def show(self, receipt: Receipt) -> None:
        """Print the result of a step."""
        self.output.show(receipt, items.receipt)
