"""Times as text. Redis is the clock: all times are in ms since the epoch, in UTC."""

from time import gmtime, strftime


def rfc3339(at_ms: int) -> str:
    """Return a time as RFC 3339, to the millisecond: 2026-01-31T12:00:00.000Z."""
    seconds, ms = divmod(at_ms, 1000)
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(seconds)) + f".{ms:03d}Z"


def rfc3339_seconds(at_ms: int) -> str:
    """Return a time as RFC 3339, to the second: 2026-01-31T12:00:00Z."""
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(at_ms // 1000))
