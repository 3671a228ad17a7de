"""Where a worker's command sits: what its agent holds, and where it prints."""

from collections.abc import Callable

from taskorch.cli import app
from taskorch.connect import open_connection, unanswered_requests
from taskorch.domain.access import Access
from taskorch.domain.item import Lease, Receipt
from taskorch.queue.requests import Requests

from taskorch_worker.render import items
from taskorch_worker.session import AgentSession


class WorkerContext:
    """One command of one agent."""

    def __init__(self, access: Access) -> None:
        """Open the queue as the configured agent; errors.Usage without one, errors.NoQueue."""
        self.settings = app.settings()
        self.output = app.output()
        self.session = AgentSession(
            self.settings,
            open_connection(self.settings, self.output.notify, access),
            Requests(store=unanswered_requests(self.settings, app.command_line())),
            self.output.damage,
        )
        self.agent, self.queue = self.session.agent, self.session.queue

    def report(self, item: str, verb: Callable[[Lease], Receipt]) -> None:
        """Make a step that claims the item if it is still queued, and print what it did."""
        self.output.show(self.session.report(item, verb), items.receipt)

    def step(self, item: str, verb: Callable[[Lease], Receipt]) -> None:
        """Make a step of the item's holder, and print what it did."""
        self.output.show(self.session.step(item, verb), items.receipt)

    def check(self, *, limit: int) -> None:
        """Print what is assigned to this agent, and which of it another session of the name holds."""
        assigned = self.queue.check(limit=limit)
        theirs = {
            i.id
            for i in assigned.items
            if i.holder and self.session.lease(i.id).token != i.token
        }
        self.output.show(assigned, lambda _: items.assignments(assigned, theirs))

    def pop(self, count: int | None, *, wait_s: float, lease_ms: int | None) -> bool:
        """Claim the next items, and print what they carry; False when there was nothing to claim.

        With a `count` they are a list, also where there is one.
        """
        taken = self.session.pop(count or 1, wait_s=wait_s, lease_ms=lease_ms)
        if taken and count:
            self.output.show(taken, items.claims)
        elif taken:
            self.output.show(taken[0], items.claim)
        return bool(taken)

    def get(
        self, item: str, *, peek: bool, takeover: bool, lease_ms: int | None
    ) -> None:
        """Show an item, and claim it if it is queued for this agent."""
        self.output.show(
            self.session.get(item, peek=peek, takeover=takeover, lease_ms=lease_ms),
            items.claim,
        )

    def note(self, item: str, text: str) -> None:
        """Keep a note, in the queue and in the workspace."""
        if trouble := self.session.note(item, text):
            self.output.notify(trouble)
        self.output.show({"id": item}, lambda _: f"Noted on {item}.")

    def whoami(self) -> dict[str, object]:
        """Return who this agent is and how it reaches the queue, and where each setting comes from."""
        from taskorch.transport import address

        settings = self.settings
        return {
            "agent": self.agent,
            "session": settings.session,
            "host": self.session.caller.host,
            "pid": self.session.caller.pid,
            "redis_url": address.shown(address.of(settings)),
            "redis_password": "***" if settings.redis_password else "",
            "wait_replicas": settings.wait_replicas,
            "wait_timeout": f"{settings.wait_timeout_ms}ms",
            "namespace": settings.namespace,
            "root": settings.root_path,
            "service": "on" if settings.service else "off",
            "orchestrator": settings.orchestrator,
            "sources": {
                **settings.sources,
                "host": "this machine",
                "pid": "the process that called",
            },
        }
