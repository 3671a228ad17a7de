"""The leases of a client, which keeps them itself: the gateway is stateless.

A result names the leases that its call has claimed. Later calls of the holder show them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from taskorch.domain import errors, limits
from taskorch.domain.item import Lease

#: The fencing token, and the id of its claim.
_SHOWN = r"([1-9][0-9]{0,15}):([0-9a-f]{0,64})"


class ClientLeases:
    """The lease store of one call: it has the lease that the client has shown."""

    inherited: Lease | None = None

    def __init__(self, shown: Lease | None = None) -> None:
        self._shown = shown
        #: What the call has claimed.
        self.claimed: list[Lease] = []

    def lease(self, item: str) -> Lease:
        """Return the shown lease, or one without a token for another item."""
        if self._shown and self._shown.item == item:
            return self._shown
        return Lease(item=item)

    def leases(self) -> Sequence[Lease]:
        """Return the shown lease."""
        return [self._shown] if self._shown else []

    @contextmanager
    def reserve(self, count: int = 1) -> Iterator[Sequence["ClaimedLease"]]:
        """Reserve nothing: the client has its own space."""
        yield [ClaimedLease(self.claimed) for _ in range(count)]

    def forget(self, item: str) -> None:
        """Keep nothing: an error or a state tells the client."""

    def refuse_next_item(self) -> None:
        """Refuse nothing."""


class ClaimedLease:
    """The place of one lease among those that a call has claimed."""

    def __init__(self, claimed: list[Lease]) -> None:
        self._claimed = claimed

    def keep(self, lease: Lease) -> None:
        """Add the lease of a claim."""
        self._claimed.append(lease)


def shown(item: str, token: str) -> Lease | None:
    """Return the lease whose token a client has shown, None for "".

    Raises errors.Usage for what cannot be one, and errors.NoItem.
    """
    if not token:
        return None
    match = re.fullmatch(_SHOWN, token)
    if not match:
        raise errors.Usage(
            reason="token is not one of those in meta.tokens of a claim."
        )
    number, claim = match.groups()
    return Lease(item=limits.item_id(item), token=int(number), claim=claim)
