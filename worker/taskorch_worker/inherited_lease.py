"""The lease that `worker run` hands to its command, in environment variables."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING

from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Item, Lease

from taskorch_worker.lease_store import Workspace

if TYPE_CHECKING:
    from taskorch.domain.leases import LeaseSlot, LeaseStore

    from taskorch_worker.git import Work

ITEM, LEASE = "TASKORCH_ITEM_ID", "TASKORCH_LEASE"
#: What the command reads from its standard input: "item", "prompt" or "none".
STDIN = "TASKORCH_STDIN"
#: The path of the item's git worktree, and the branch that was made for it.
OF_WORKTREE = WORKTREE, BRANCH = "TASKORCH_WORKTREE", "TASKORCH_BRANCH"


def store(workspace: Workspace) -> "LeaseStore":
    """Return where this process keeps its leases: the workspace, outside of a run."""
    item = os.environ.get(ITEM, "")
    if not item:
        return workspace
    return InheritedLease(_lease(item, workspace), workspace)


def handed_down(lease: Lease, item: Item) -> Lease:
    """Return the lease that a command gets for an item of its run.

    If the item has acceptance checks, the command may report, and only the run
    completes the item. Scripts know this token by the claim, whose id the command
    cannot find from it: see scripts/prelude/leases.lua.
    """
    if not item.checks:
        return lease
    from hashlib import sha1

    claim = sha1(f"{lease.claim} reports".encode(), usedforsecurity=False)
    return replace(lease, claim=claim.hexdigest()[:16])


def work_on(
    lease: Lease, deliverables: Mapping[str, str] = MappingProxyType({})
) -> "Work | None":
    """Return what the command of `worker run` has left in the worktree of its item.

    Files among the `deliverables` are part of it. Return None for another item, and
    without a worktree.
    """
    tree = os.environ.get(WORKTREE)
    if not tree or lease.item != os.environ.get(ITEM):
        return None
    # only commands of a run with worktrees need it
    from pathlib import Path

    from taskorch_worker.git import keep_delivered, work_in

    keep_delivered(Path(tree), Path.cwd(), deliverables)

    return work_in(Path(tree), os.environ.get(BRANCH, ""))


def _lease(item: str, workspace: Workspace) -> Lease:
    """Return the lease of the run.

    A program may remove variables that it does not know. The run keeps the token in the
    workspace, too.
    """
    token, _, claim = os.environ.get(LEASE, "").partition(":")
    if token.isdecimal():
        return Lease(item=item, token=int(token), claim=claim)
    return workspace.lease(item)


class InheritedLease:
    """The lease store of a command of `worker run`: it holds the item of its run.

    Leases that the command claims itself are kept in the workspace, marked with that
    item: the run releases them when the command has ended. Leases of other sessions
    and slots in the same workspace are not those of the command.
    """

    def __init__(self, lease: Lease, workspace: Workspace) -> None:
        self.inherited: Lease | None = lease
        self._lease = lease
        self._workspace = workspace

    def lease(self, item: str) -> Lease:
        """Return the inherited lease, or that of another item which is marked."""
        if item == self._lease.item:
            return self._lease
        for lease in self._claimed():
            if lease.item == item:
                return lease
        return Lease(item=item)

    def leases(self) -> Sequence[Lease]:
        """Return the inherited lease, and those that the command has claimed."""
        return [self._lease, *self._claimed()]

    def reserve(
        self, count: int = 1
    ) -> "AbstractContextManager[Sequence[LeaseSlot]]":
        """Reserve disk space for `count` leases in the workspace."""
        return self._workspace.reserve(count, run=self._lease)

    def forget(self, item: str) -> None:
        """Remove the lease on an item from the workspace."""
        self._workspace.forget(item)

    def refuse_next_item(self) -> None:
        """Raise errors.RunHolds: the run claims the next item, not its command."""
        raise errors.RunHolds(item=self._lease.item)

    def _claimed(self) -> Sequence[Lease]:
        claimed = self._workspace.claimed_in_run(self._lease)
        return [each for each in claimed if each.item != self._lease.item]
