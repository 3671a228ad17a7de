"""Changes of access tokens, for waits and streams that are open when they happen."""

from asyncio import Future, get_running_loop
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from time import monotonic

from taskorch.domain.access_token import ClientAccess

#: Event loops refuse timers of more than a day on some systems.
LONGEST_TIMER_S = 12 * 3600.0

Change = Future[None]


class TokenChanges:
    """The open waits and streams of one process, by the token of their client."""

    def __init__(self) -> None:
        self._open: dict[str, set[Change]] = defaultdict(set)

    @contextmanager
    def of(self, access: ClientAccess) -> Iterator[Change]:
        """Yield what is done as soon as a token is revoked or rotated, or expires.

        A client whose token may still be valid is then checked again, at least twice a
        day if its token expires at all.
        """
        change: Change = get_running_loop().create_future()
        token = access.token
        self._open[token].add(change)
        expiry = None
        if isfinite(access.valid_until):
            left_s = access.valid_until - monotonic()
            expiry = get_running_loop().call_later(
                min(left_s, LONGEST_TIMER_S), _end, change
            )
        try:
            yield change
        finally:
            if expiry:
                expiry.cancel()
            self._open[token].discard(change)
            if not self._open[token]:
                del self._open[token]

    def end(self, token: str) -> None:
        """End what is open for a token; "" for all of them."""
        wanted = [token] if token else list(self._open)
        for each in wanted:
            for change in tuple(self._open.get(each, ())):
                _end(change)


def _end(change: Change) -> None:
    if not change.done():
        change.set_result(None)
