"""How often clients may call, and how often they may show tokens that are refused."""

from time import monotonic

from taskorch.domain import access_token, errors

#: Maximum number of tokens, or addresses, that are counted; above it, all counts start
#: again.
KEPT = 10_000
#: Refused tokens of one address, and the number that it may show in a minute again.
FAILURES, FAILURES_A_MINUTE = 10, 10
MINUTE_S = 60
CALLS = "calls a second with one access token"
REFUSED = "refused access tokens a minute from one address"


class Buckets:
    """A number that each key may take at once, and that fills up again."""

    def __init__(self, most: float, a_second: float) -> None:
        self._most = most
        self._a_second = a_second
        #: Key -> the number that it had left, and when that was.
        self._left: dict[str, tuple[float, float]] = {}

    def has(self, key: str) -> bool:
        """Return whether a key may take one."""
        return self._left_of(key, monotonic()) >= 1

    def take(self, key: str) -> bool:
        """Take one, and return whether the key had it."""
        now = monotonic()
        left = self._left_of(key, now)
        if left < 1:
            return False
        if len(self._left) >= KEPT:
            self._left.clear()
        self._left[key] = left - 1, now
        return True

    def _left_of(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._most, now))
        return min(self._most, left + (now - at) * self._a_second)


class Rates:
    """Counts the calls of each token, in one process.

    A token that was not used for a while may call twice as often for a moment.
    """

    def __init__(self, calls_per_second: int) -> None:
        """Allow this number of calls a second; 0 for any number."""
        self._rate = calls_per_second
        self._buckets = Buckets(2.0 * calls_per_second, calls_per_second)

    def count(self, token: str) -> None:
        """Count a call. Raises errors.RateLimited."""
        if self._rate and not self._buckets.take(token):
            raise errors.RateLimited(
                url="", calls=self._rate, what=CALLS, seconds=1
            )


class FailedTokens:
    """Counts the refused tokens of each address, in one process.

    Other clients may have the address of an attacker, such as that of a proxy. So a
    token is not checked only after others with its id were refused, and those that
    were valid here are not asked about.
    """

    def __init__(self) -> None:
        self._buckets = Buckets(FAILURES, FAILURES_A_MINUTE / MINUTE_S)

    def admit(self, address: str, token: str) -> None:
        """Raise errors.RateLimited if no such token of an address is checked now."""
        if not self._buckets.has(_key(address, token)):
            raise _too_often()

    def count(self, address: str, token: str) -> None:
        """Count a refused token.

        Raises errors.RateLimited if its address has shown too many of any kind.
        """
        key, of_address = _key(address, token), _key(address, "")
        if key != of_address:
            self._buckets.take(key)
        if not self._buckets.take(of_address):
            raise _too_often()


def _key(address: str, token: str) -> str:
    """Return the address and the id of a token, the same for all malformed ones."""
    credentials = access_token.parse(token)
    return f"{address} {credentials.id if credentials else ''}"


def _too_often() -> errors.RateLimited:
    return errors.RateLimited(
        url="",
        calls=FAILURES_A_MINUTE,
        what=REFUSED,
        seconds=MINUTE_S // FAILURES_A_MINUTE,
    )
