"""The times of a cron line in a time zone.

Daylight saving works as in Debian's cron. A time that the clock skips comes right after
the gap; a time that comes twice comes once, the first time. A line with a star in its
minutes or hours, such as every 15 minutes, follows the clock as it is.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from taskorch.domain import errors, limits

#: Minute, hour, day of the month, month, day of the week.
FIELDS = 5


def next_after(line: str, zone: str, after_ms: int) -> int:
    """Return the first time of a line after another one, in ms since the epoch.

    Raises errors.Invalid for a line that is not one or never comes, and for an unknown
    time zone.
    """
    shown = limits.shortened(line)
    after = datetime.fromtimestamp(after_ms / 1000, UTC)
    words = line.split()
    if len(words) != FIELDS:
        raise errors.Invalid(
            reason=f"{shown!r} is not a cron line: it has {len(words)} fields, not 5, such "
            "as '0 6 * * 1-5' (minute, hour, day of the month, month, day of the week)."
        )
    try:
        times = CronSim(line, after.astimezone(_zone(zone)))
        found = next(times, None)
    except CronSimError as error:
        raise errors.Invalid(
            reason=f"{shown!r} is not a cron line: {error}."
        ) from None
    if found is None:
        raise errors.Invalid(reason=f"The cron line {shown!r} never comes.")
    return round(found.timestamp() * 1000)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise errors.Invalid(
            reason=f"There is no time zone {limits.shortened(name)!r} in the database of "
            "this machine, such as UTC or Europe/Berlin."
        ) from None


def local(zone: str, at_ms: int) -> datetime:
    """Return a time in a time zone. Raises errors.Invalid for an unknown zone."""
    return datetime.fromtimestamp(at_ms / 1000, _zone(zone))
