"""Times as files have them: ISO 8601 in the local time zone, which is not named."""

import re
from datetime import datetime

#: The year 5138 as seconds since the epoch; the year 1973 as milliseconds.
_MAX_SECONDS = 1e11
_NUMBER = re.compile(r"[0-9]{9,30}(\.[0-9]{1,30})?")


def local_time(at: int, microseconds: int = 0) -> str:
    """Return a time in ms since the epoch as files have it."""
    whole = datetime.fromtimestamp(at // 1000)  # noqa: DTZ006  files have naive times
    microseconds += at % 1000 * 1000
    exact = whole.replace(microsecond=microseconds)
    return exact.isoformat(timespec="microseconds")


def moment_of(written: str) -> int:
    """Return the time that a file has as ms since the epoch; 0 if it is not a time.

    A time without a zone is in the zone of this machine. Nine digits or more are a
    number of seconds since the epoch, or of milli-, micro- or nanoseconds.
    """
    if _NUMBER.fullmatch(written):
        seconds = float(written)
        while seconds >= _MAX_SECONDS:
            seconds /= 1000
        return int(seconds * 1000)
    try:
        return int(datetime.fromisoformat(written).timestamp() * 1000)
    except (ValueError, OverflowError, OSError):
        return 0
