"""Where a worker's command sits: its queue, its workspace, and where it prints."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from taskorch import bounds, command, errors
from taskorch.agent_queue import AgentQueue
from taskorch.connection import connect_to, open_connection
from taskorch.item import Caller, Claim, Lease, Receipt, State
from taskorch.unanswered import StepConnection

from taskorch_worker import render
from taskorch_worker.workspace import Room, Workspace

if TYPE_CHECKING:
    from taskorch.waiting import Answered

#: In these states nobody holds the item, so its token is of no more use.
GIVEN_UP = (State.COMPLETED, State.FAILED, State.DELAYED, State.QUEUED, State.WAITING, State.PENDING)


class Desk:
    """One command of one agent."""

    def __init__(self, *, starts_server: bool = True) -> None:
        """Sit down as the agent that the settings name; errors.Usage when they name none.

        Without `starts_server` a bundled server that does not run is Redis that is away.
        """
        self.settings = command.settings()
        self.output = command.output()
        if not self.settings.agent:
            raise errors.Usage(reason="Which agent are you? Set AGENT_ID, or give --agent-id NAME.")
        self.agent = bounds.name(self.settings.agent, "an agent")
        opened = open_connection(self.settings, self.output.say) if starts_server else connect_to(self.settings)
        connection = StepConnection(opened, self.settings, command.typed())
        session = self.settings.session
        self.caller = Caller(agent=self.agent, host=os.uname().nodename, pid=os.getppid(), session=session)
        self.queue = AgentQueue(connection, self.settings.namespace, self.caller)
        self.workspace = Workspace(self.settings.folder_path, self.agent, session)

    def report(self, item: str, verb: Callable[[Lease], Receipt]) -> None:
        """Make a step that claims the item if it is still queued, and keep the token that comes with it."""
        if self._lease(item).token:
            self.step(item, verb)
            return
        with self.workspace.room() as room:
            receipt = verb(Lease(item=item))
            room.keep(receipt.lease)
        self.output.show(receipt, render.receipt)

    def step(self, item: str, verb: Callable[[Lease], Receipt]) -> None:
        """Make a step under the token that this session keeps, and forget it when the item is given up.

        It needs no room on the disk: what is done can be delivered when the disk is full.
        """
        try:
            receipt = verb(self._lease(item))
        except errors.Cancelled:
            self.workspace.forget(item)
            raise
        if receipt.state in GIVEN_UP:
            self.workspace.forget(item)
        self.output.show(receipt, render.receipt)

    def pop(self, count: int | None, *, wait_s: float, lease_ms: int | None) -> bool:
        """Claim the next items, keep their tokens, and print what they carry; False when there was nothing to claim.

        With a `count` they are a list, also where there is one.
        """
        with self.workspace.rooms(count or 1) as rooms:
            taken = self.queue.claim_many(count or 1, wait_s=wait_s, lease_ms=lease_ms)
            for room, claim in zip(rooms, taken, strict=False):
                self._keep(room, claim)
        if taken and count:
            self.output.show(taken, render.claims)
        elif taken:
            self.output.show(taken[0], render.claim)
        return bool(taken)

    def get(self, item: str, *, peek: bool, takeover: bool, lease_ms: int | None) -> None:
        """Show an item, and claim it if it is queued for this agent."""
        lease = self._lease(item)
        if peek:
            self.output.show(self.queue.get(lease, peek=True), render.claim)
            return
        with self.workspace.room() as room:
            taken = self.queue.get(lease, takeover=takeover, lease_ms=lease_ms)
            self._keep(room, taken)
        self.output.show(taken, render.claim)

    def wait(self, item: str, *, timeout_s: float) -> "Answered":
        """Wait for an answer, and forget the token when the item was cancelled meanwhile."""
        try:
            return self.queue.wait(self._lease(item), timeout_s=timeout_s)
        except errors.Cancelled:
            self.workspace.forget(item)
            raise

    def note(self, item: str, text: str) -> None:
        """Keep a note, in the queue and in the workspace."""
        self.queue.note(item, text)
        try:
            with self.workspace.room():
                self.workspace.add_note(item, text)
        except (OSError, errors.RootNotWritable) as error:
            self.output.say(f"The note is kept, but not in {item}_notes.md: {error}")
        self.output.show({"id": item}, lambda _: f"Noted on {item}.")

    def whoami(self) -> dict[str, object]:
        """Return who this agent is and how it reaches the queue, and where each setting comes from."""
        from taskorch import address

        settings = self.settings
        return {
            "agent": self.agent,
            "session": settings.session,
            "host": self.caller.host,
            "pid": self.caller.pid,
            "redis_url": address.shown(address.of(settings)),
            "redis_password": "***" if settings.redis_password else "",
            "wait_replicas": settings.wait_replicas,
            "namespace": settings.namespace,
            "root": settings.root_path,
            "sources": {**settings.sources, "host": "this machine", "pid": "the process that called"},
        }

    def _keep(self, room: Room, claim: Claim) -> None:
        if claim.lease:
            room.keep(claim.lease)

    def _lease(self, item: str) -> Lease:
        return self.workspace.lease(bounds.item_id(item))
