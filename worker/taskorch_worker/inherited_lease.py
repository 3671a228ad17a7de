"""The lease that `worker run` hands to its command, in environment variables."""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager

from taskorch.domain.item import Lease

from taskorch_worker.lease_store import LeaseSlot, Workspace

ITEM, TOKEN = "TASKORCH_ITEM_ID", "TASKORCH_TOKEN"


def from_environment() -> Lease | None:
    """Return the lease that `worker run` gave to this process; None in another one."""
    item = os.environ.get(ITEM, "")
    shown = os.environ.get(TOKEN, "")
    token, _, claim = shown.partition(":")
    if not item or not token.isdecimal():
        return None
    return Lease(item=item, token=int(token), claim=claim)


class InheritedLease:
    """The lease store of a command of `worker run`: it holds the item of its run.

    Leases that the command claims itself are kept in the workspace.
    """

    def __init__(self, lease: Lease, workspace: Workspace) -> None:
        self.inherited: Lease | None = lease
        self._lease = lease
        self._workspace = workspace

    def lease(self, item: str) -> Lease:
        """Return the inherited lease, or for another item that of the workspace."""
        if item == self._lease.item:
            return self._lease
        return self._workspace.lease(item)

    def leases(self) -> Sequence[Lease]:
        """Return the inherited lease."""
        return [self._lease]

    def reserve(
        self, count: int = 1
    ) -> AbstractContextManager[Sequence[LeaseSlot]]:
        """Reserve disk space for `count` leases in the workspace."""
        return self._workspace.reserve(count)

    def forget(self, item: str) -> None:
        """Remove the lease on an item from the workspace."""
        self._workspace.forget(item)
