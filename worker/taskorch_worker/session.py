"""What a session of an agent holds: it acts under the tokens that its workspace keeps."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.item import Caller, Claim, Lease, Receipt, State
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Connection
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import Damage

from taskorch_worker import inherited_lease
from taskorch_worker.lease_store import LeaseSlot, Workspace

if TYPE_CHECKING:
    from taskorch.queue.wait_results import Answered

#: In these states nobody holds the item, so its token is of no more use.
GIVEN_UP = (
    State.COMPLETED,
    State.FAILED,
    State.DELAYED,
    State.QUEUED,
    State.WAITING,
    State.PENDING,
)


class AgentSession:
    """The queue and the workspace of one session of an agent."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        requests: Requests,
        damage: Damage,
    ) -> None:
        """Act as the agent that the settings name; errors.Usage when they name none.

        Damaged rows of lists are left out, and put into `damage`.
        """
        self.agent = agent_of(settings)
        session = settings.session
        self.caller = Caller(
            agent=self.agent,
            host=os.uname().nodename,
            pid=os.getppid(),
            session=session,
        )
        self.queue = AgentQueue(
            connection,
            settings.namespace,
            self.caller,
            requests=requests,
            damage=damage,
        )
        self.workspace = Workspace(settings.folder_path, self.agent, session)

    def report(self, item: str, verb: Callable[[Lease], Receipt]) -> Receipt:
        """Make a step that claims the item if it is still queued, and keep the token that comes with it."""
        if self.lease(item).token:
            return self.step(item, verb)
        with self.workspace.reserve() as (slot,):
            receipt = verb(Lease(item=item))
            slot.keep(receipt.lease)
        return receipt

    def step(self, item: str, verb: Callable[[Lease], Receipt]) -> Receipt:
        """Make a step under the token that this session keeps, and forget it when the item is given up, or taken away.

        It needs no room on the disk: what is done can be delivered when the disk is full.
        """
        try:
            receipt = verb(self.lease(item))
        except (errors.Cancelled, errors.NotYours):
            self.workspace.forget(item)
            raise
        if receipt.state in GIVEN_UP:
            self.workspace.forget(item)
        return receipt

    def pop(
        self, count: int, *, wait_s: float, lease_ms: int | None
    ) -> tuple[Claim, ...]:
        """Claim the next items, and keep their tokens; none when there was nothing to claim."""
        with self.workspace.reserve(count) as slots:
            taken = self.queue.claim_many(count, wait_s=wait_s, lease_ms=lease_ms)
            for slot, claim in zip(slots, taken, strict=False):
                _keep(slot, claim)
        return taken

    def get(
        self, item: str, *, peek: bool, takeover: bool, lease_ms: int | None
    ) -> Claim:
        """Return an item, and claim it if it is queued for this agent; errors.Usage for a takeover that only looks."""
        if peek and takeover:
            raise errors.Usage(reason="peek only looks: it goes without takeover.")
        lease = self.lease(item)
        if peek:
            return self.queue.get(lease, peek=True)
        with self.workspace.reserve() as (slot,):
            taken = self.queue.get(lease, takeover=takeover, lease_ms=lease_ms)
            _keep(slot, taken)
        said = [
            report.kind
            for report in taken.package.history
            if report.kind in ("progress", "blocker", "answer")
        ]
        if taken.lease and said[-1:] == ["answer"]:
            self._go_on(item)
        return taken

    def wait(self, item: str, *, timeout_s: float) -> "Answered":
        """Wait for an answer; errors.WaitOver when none came. The token of an item that was cancelled is forgotten."""
        try:
            answered = self.queue.wait_for_answer(self.lease(item), timeout_s=timeout_s)
        except errors.Cancelled:
            self.workspace.forget(item)
            raise
        if answered.is_open:
            state = f"{answered.item.state}, without an answer"
            raise errors.WaitOver(id=item, state=state, seconds=f"{timeout_s:g}")
        if answered.answer and answered.item.state is State.IN_PROGRESS:
            self._go_on(item)
        return answered

    def _go_on(self, item: str) -> None:
        """Report, for a command of `run`, that it has read the answer: one that ends without is given the item anew."""
        if inherited_lease.item() == item:
            self.queue.progress(self.lease(item), "Goes on with the answer.")

    def note(self, item: str, text: str) -> str:
        """Keep a note, in the queue and in the workspace; return what kept it out of the workspace, or ""."""
        self.queue.note(item, text)
        try:
            with self.workspace.reserve():
                self.workspace.add_note(item, text)
        except (OSError, errors.RootNotWritable) as error:
            return f"The note is kept, but not in {item}_notes.md: {error}"
        return ""

    def lease(self, item: str) -> Lease:
        """Return the lease that this session holds on an item, without a token if it holds none."""
        mine = inherited_lease.lease()
        return (
            mine
            if mine and mine.item == item
            else self.workspace.lease(limits.item_id(item))
        )

    def leases(self) -> tuple[Lease, ...]:
        """Return the leases that this session holds; a command of `run` has its own alone."""
        mine = inherited_lease.lease()
        return (mine,) if mine else self.workspace.leases()


def agent_of(settings: Settings) -> str:
    """Return which agent this is; errors.Usage when the settings name none."""
    if not settings.agent:
        raise errors.Usage(
            reason="Which agent are you? Set AGENT_ID, or give --agent-id NAME."
        )
    return limits.name(settings.agent, "an agent")


def _keep(slot: LeaseSlot, claim: Claim) -> None:
    if claim.lease:
        slot.keep(claim.lease)
