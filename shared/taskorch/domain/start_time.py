"""The earliest start of an item, as a duration from now or a time."""

from typing import NamedTuple

from taskorch.domain import errors, limits


class StartTime(NamedTuple):
    """A delay in ms from now, or a time in ms since the epoch; the other is 0."""

    delay_ms: int = 0
    at: int = 0
    #: A note for the user if the text names no time zone, with the zone that was used.
    remark: str = ""


def parse(value: str) -> StartTime:
    """Return the start time that a text names: "30m" or "2030-01-31T08:00:00Z".

    A time without a zone is in the local zone. Raises errors.Invalid.
    """
    if limits.is_duration(value):
        return StartTime(delay_ms=limits.duration_ms(value))
    from datetime import datetime

    try:
        moment = datetime.fromisoformat(value)
        at = limits.number(
            int(moment.timestamp() * 1000), "time", 1, limits.LARGEST
        )
    except (ValueError, OverflowError, errors.Invalid):
        raise errors.Invalid(
            reason=f"{value!r} is not a time. Write one such as 30m or "
            "2030-01-31T08:00:00Z."
        ) from None
    if moment.tzinfo:
        return StartTime(at=at)
    return StartTime(at=at, remark=_local_time_remark(value, at))


def _local_time_remark(value: str, at_ms: int) -> str:
    from datetime import UTC, datetime

    utc = datetime.fromtimestamp(at_ms / 1000, UTC)
    local = utc.astimezone()
    return (
        f"{value} has no time zone. It is read as {utc:%Y-%m-%dT%H:%M:%SZ}, "
        f"in the local time zone ({local:%Z}, UTC{local.isoformat()[-6:]})."
    )
