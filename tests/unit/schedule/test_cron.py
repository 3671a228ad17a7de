"""The times of cron lines, across the changes of daylight saving time."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from taskorch.domain import errors
from taskorch_orchestrator.schedule import cron

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN) -> int:
    """Return a local time in ms since the epoch; a second one has "*" behind it."""
    local = datetime.fromisoformat(text.removesuffix("*"))
    fold = int(text.endswith("*"))
    aware = local.replace(tzinfo=ZoneInfo(zone), fold=fold)
    return round(aware.timestamp() * 1000)


def times(line: str, after: str, count: int, zone: str = BERLIN) -> list[int]:
    """Return the first times of a line after another time."""
    found, last = [], at(after, zone)
    for _ in range(count):
        last = cron.next_after(line, zone, last)
        found.append(last)
    return found


def test_workdays_skip_the_weekend() -> None:
    found = times("0 6 * * 1-5", "2026-01-09 06:00", 2, "UTC")

    assert found == [
        at("2026-01-12 06:00", "UTC"),
        at("2026-01-13 06:00", "UTC"),
    ]


def test_line_follows_its_zone() -> None:
    assert times("0 6 * * *", "2026-03-28 12:00", 1) == [
        at("2026-03-29 06:00")
    ]
    assert at("2026-03-29 06:00") == at("2026-03-29 04:00", "UTC")


def test_skipped_time_comes_right_after_the_gap() -> None:
    found = times("30 2 * * *", "2026-03-28 12:00", 2)

    assert found == [at("2026-03-29 03:00"), at("2026-03-30 02:30")]


def test_doubled_time_comes_once() -> None:
    found = times("30 2 * * *", "2026-10-24 12:00", 2)

    assert found == [at("2026-10-25 02:30"), at("2026-10-26 02:30")]


def test_frequent_line_comes_in_both_hours() -> None:
    found = times("*/30 * * * *", "2026-10-25 01:59", 4)

    assert found == [
        at("2026-10-25 02:00"),
        at("2026-10-25 02:30"),
        at("2026-10-25 02:00*"),
        at("2026-10-25 02:30*"),
    ]


def test_hourly_line_skips_missing_hour() -> None:
    found = times("0 * * * *", "2026-03-29 00:30", 3)

    assert found == [
        at("2026-03-29 01:00"),
        at("2026-03-29 03:00"),
        at("2026-03-29 04:00"),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0 30 2 *", "'0 0 30 2 *' is not a cron line: Bad day-of-month."),
        ("0 0 31 4,6 *", "Bad day-of-month"),
        ("0 0 29 2 MON#5,", "Bad day-of-week"),
        ("60 * * * *", "'60 * * * *' is not a cron line: Bad minute."),
        ("0 0 * * 8", "Bad day-of-week"),
        ("*/0 * * * *", "Bad minute"),
        ("", "it has 0 fields, not 5"),
        ("* * * * * *", "it has 6 fields, not 5"),
        ("@daily", "it has 1 fields, not 5"),
        ("0 0 30,31 2 *", "Bad day-of-month"),
    ],
)
def test_impossible_line_is_refused(line: str, reason: str) -> None:
    with pytest.raises(errors.Invalid) as refusal:
        cron.next_after(line, "UTC", 0)

    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "zone",
    ["Mars/Olympus", "", "../etc/passwd", "/etc/passwd", "a\0b", "x" * 99],
)
def test_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(errors.Invalid, match="There is no time zone"):
        cron.next_after("0 6 * * *", zone, 0)
