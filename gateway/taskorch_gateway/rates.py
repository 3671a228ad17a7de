"""How often one access token may call."""

from time import monotonic

from taskorch.domain import errors

#: Maximum number of tokens that are counted; above it, all counts start again.
KEPT = 10_000


class Rates:
    """Counts the calls of each token, in one process.

    A token that was not used for a while may call twice as often for a moment.
    """

    def __init__(self, calls_per_second: int) -> None:
        """Allow this number of calls a second; 0 for any number."""
        self._rate = calls_per_second
        #: Token -> the number of calls that it had left, and when that was.
        self._left: dict[str, tuple[float, float]] = {}

    def count(self, token: str) -> None:
        """Count a call. Raises errors.RateLimited."""
        if not self._rate:
            return
        most = 2.0 * self._rate
        now = monotonic()
        left, at = self._left.get(token, (most, now))
        left = min(most, left + (now - at) * self._rate)
        if left < 1:
            self._left[token] = left, now
            raise errors.RateLimited(url="", calls=self._rate)
        if len(self._left) >= KEPT:
            self._left.clear()
        self._left[token] = left - 1, now
