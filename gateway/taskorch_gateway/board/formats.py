"""Times, numbers, states and texts as the board shows them. Templates use them as filters."""

import re
from collections.abc import Callable, Mapping
from time import gmtime, strftime

from markupsafe import Markup, escape
from taskorch.cli import text
from taskorch.cli.amounts import used
from taskorch.domain.amounts import dollars, owner_in_words
from taskorch.domain.clock import rfc3339_seconds
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
#: From this age on, a duration has no minutes.
LONG_MS = 10 * HOUR_MS
#: A URL without what could hide where it leads.
_URL = r"https?://[!-~]{1,2000}"


class StateMark(Frozen):
    """The shape, the colour and the words of a state."""

    #: The symbol of the sprite, and the class of its colour, without prefixes.
    glyph: str
    style: str
    words: str


#: State of an item -> how it looks.
STATES: Mapping[State, StateMark] = {
    State.PENDING: StateMark(glyph="pending", style="rest", words="no agent"),
    State.WAITING: StateMark(glyph="wait", style="wait", words="waiting"),
    State.QUEUED: StateMark(glyph="queued", style="queued", words="queued"),
    State.DELAYED: StateMark(
        glyph="delayed", style="delayed", words="delayed"
    ),
    State.IN_PROGRESS: StateMark(
        glyph="work", style="work", words="in progress"
    ),
    State.BLOCKED: StateMark(glyph="ask", style="ask", words="blocked"),
    State.REVIEW: StateMark(glyph="review", style="review", words="in review"),
    State.FAILED: StateMark(glyph="failed", style="failed", words="failed"),
    State.COMPLETED: StateMark(glyph="done", style="done", words="completed"),
    State.CANCELLED: StateMark(
        glyph="cancelled", style="cancelled", words="cancelled"
    ),
}


def visible(value: object) -> object:
    """Return a value as a template prints it: texts of others hide nothing.

    Invisible characters, such as those that turn the direction of writing, are escaped.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    # nearly all of them: a page prints thousands
    if value.isascii() and value.isprintable():
        return value
    return text.lines(value)


def typed(value: str) -> Markup:
    """Return what was typed into a field, to the letter."""
    return Markup(escape(value))  # noqa: S704  it is escaped


def duration(ms: int) -> str:
    """Return a duration in words: 40 s, 14 min, 1 h 05 min, 14 h, 3 d."""
    ms = max(0, ms)
    if ms < MINUTE_MS:
        return f"{ms // SECOND_MS} s"
    if ms < HOUR_MS:
        return f"{ms // MINUTE_MS} min"
    if ms < LONG_MS:
        return f"{ms // HOUR_MS} h {ms % HOUR_MS // MINUTE_MS:02} min"
    if ms < 2 * DAY_MS:
        return f"{ms // HOUR_MS} h"
    return f"{ms // DAY_MS} d"


def exact(at_ms: int) -> str:
    """Return a time to the second: 12 March 2026, 12:04:11 UTC."""
    at = gmtime(at_ms // 1000)
    return f"{at.tm_mday} {strftime('%B %Y, %H:%M:%S UTC', at)}"


def clock(at_ms: int) -> str:
    """Return a time to the minute, for a reader without the script: 12 Mar, 12:04 UTC."""
    at = gmtime(at_ms // 1000)
    return f"{at.tm_mday} {strftime('%b, %H:%M UTC', at)}"


def counted(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: 1 item, 2 items."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def mark(state: State) -> StateMark:
    """Return how a state looks."""
    return STATES[state]


def failed(attempts: int, max_attempts: int) -> str:
    """Return how an item has failed, in words."""
    if attempts < max_attempts:
        return "failed, no retry"
    return f"failed {attempts} of {max_attempts}"


def shortened(value: str, most: int) -> str:
    """Return the start of a text on one line."""
    line = " ".join(value.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def url(value: str) -> str:
    """Return a text that a page may link to, "" for any other: only http and https."""
    return value if re.fullmatch(_URL, value) else ""


#: The filters of templates.
FILTERS: Mapping[str, Callable[..., object]] = {
    "clock": clock,
    "counted": counted,
    "dollars": dollars,
    "duration": duration,
    "exact": exact,
    "mark": mark,
    "owner": owner_in_words,
    "rfc3339": rfc3339_seconds,
    "shortened": shortened,
    "typed": typed,
    "url": url,
    "used": used,
}
