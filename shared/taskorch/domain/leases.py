"""Where a session of an agent keeps its leases, from one call to the next."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from taskorch.domain.item import Lease


class LeaseSlot(Protocol):
    """Space reserved for one lease."""

    def keep(self, lease: Lease) -> None:
        """Keep the lease of a claim in the reserved space. Raises OSError."""


class LeaseStore(Protocol):
    """The leases that a session holds, kept from one command to the next."""

    #: The lease that `worker run` gave to this process; None in any other process.
    inherited: Lease | None

    def lease(self, item: str) -> Lease:
        """Return the lease on an item; one without a token for an item not held."""

    def leases(self) -> Sequence[Lease]:
        """Return the newest leases of the session, at most 200."""

    def reserve(
        self, count: int = 1
    ) -> AbstractContextManager[Sequence[LeaseSlot]]:
        """Reserve space for `count` leases, all or none, before they are claimed.

        Raises errors.RootNotWritable if the disk is full or the folder is read-only.
        """

    def forget(self, item: str) -> None:
        """Remove the lease on an item, if there is one."""

    def refuse_next_item(self) -> None:
        """Raise errors.RunHolds in a command of `worker run`."""
