"""The context of a `worker` command: settings, output and session."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from taskorch.cli import app
from taskorch.cli.output import terminal_width
from taskorch.cli.text import folded
from taskorch.connections import open_connection, unanswered_requests
from taskorch.domain.access import Access
from taskorch.domain.item import Receipt
from taskorch.queue.agent_queue import ClaimNotice
from taskorch.queue.requests import Requests
from taskorch.transport.retry import OutageNotice

from taskorch_worker.render import items
from taskorch_worker.session import AgentSession

if TYPE_CHECKING:
    from taskorch.config.settings import Settings
    from taskorch.domain.short_id import ShortId

Result = TypeVar("Result")


class WorkerContext:
    """The settings, output and session of one command."""

    def __init__(
        self, access: Access, settings: "Settings | None" = None
    ) -> None:
        """Open the queue as the configured agent, with the settings of the command.

        Raises errors.Usage without an agent name, and errors.NoQueue.
        """
        self.settings = settings or app.settings()
        self.output = app.output()
        unanswered = unanswered_requests(self.settings, app.command_line())
        self.session = AgentSession(
            self.settings,
            open_connection(self.settings, self.output.notify, access),
            Requests(store=unanswered),
            self.output.damage,
        )
        self.session.queue.report_upgrade(self.output.notify)
        self.session.report_checks = self.output.hint

    def take_from(self, pools: Sequence[str]) -> None:
        """Take items from the pools of an option; () for those of the settings."""
        if pools:
            self.session.take_from(pools)
            self.session.queue.report_upgrade(self.output.notify)

    def find(self, short: "ShortId") -> str:
        """Return the id of the item that a short id names."""
        return self.session.queue.find(short)

    def claim_notice(self) -> ClaimNotice:
        """Return what reports a waiting claim: on a terminal, and each outage."""
        return ClaimNotice(
            wait=self.wait_notice("an item"),
            outage=OutageNotice(self.output.notify),
        )

    def wait_notice(self, awaited: str) -> Callable[[float], None]:
        """Return what reports a wait on a terminal, with its maximum in seconds."""

        def report(seconds: float) -> None:
            if sys.stderr is not None and sys.stderr.isatty():
                self.output.hint(
                    f"Waiting for {awaited}, at most {seconds:.0f} s. "
                    "Ctrl-C ends the wait."
                )

        return report

    def show(self, receipt: Receipt, **meta: object) -> None:
        """Print the result of a step."""
        self.show_folded(receipt, items.receipt, "", **meta)

    def show_folded(
        self,
        result: Result,
        render: Callable[[Result], str],
        empty: str = "",
        **meta: object,
    ) -> None:
        """Print a result like `output.show`, with lines that fit a terminal."""
        width = terminal_width()

        def fit(shown: Result) -> str:
            return folded(render(shown), width) if width else render(shown)

        self.output.show(result, fit, empty, **meta)
