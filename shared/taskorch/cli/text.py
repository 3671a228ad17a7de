"""Text for a screen or a model: it hides nothing and forges no line."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import gmtime, localtime, strftime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskorch.domain.item import ClosedQuestions

# The patterns are strings, compiled on first use: most commands print ASCII only.
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
#: Invisible characters that `str.isprintable` accepts: fillers and variation selectors.
_BLANK = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
#: Spaces that `str.isprintable` rejects. They have a width, so they are visible.
_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI = (
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEYCAP = "[0-9#*]"
#: Letters that a joiner changes: Arabic to N'Ko, the scripts of India, Myanmar, Khmer,
#: Mongolian.
_JOINING = "[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1820-\u18aa]"
#: Code points that Unicode reserves for emoji: Python's tables may be older than one.
_FIRST_RESERVED, _LAST_RESERVED = "\U0001f300", "\U0001faff"
#: The units of an age with their length in ms, and the number from which each is used.
_AGES = (("d", 86_400_000, 2), ("h", 3_600_000, 1), ("min", 60_000, 1))
#: The units of a size with their length in bytes.
_SIZES = (("GB", 10**9), ("MB", 10**6), ("kB", 1000))
#: The start of a continued line.
CONTINUED = "    | "
#: Items whose closed questions are named.
CLOSED_SHOWN = 5
_NOT_ASCII = "[^ -~]+"
_WIDE_GAP = f"[ {_SPACES}]{{2,}}"


def line(text: str) -> str:
    """Return a text on one line: line breaks and invisible characters are escaped."""
    return escaped(text, _escape)


def cell(text: str) -> str:
    """Return a text for a table cell: one line, without gaps as between columns."""
    return re.sub(_WIDE_GAP, " ", line(text))


def one_line(text: str) -> str:
    """Return a text of several lines for a table cell: "; " separates its lines."""
    rows = text.replace("\r\n", "\n").split("\n")
    return cell("; ".join(filter(None, map(str.strip, rows))))


def block(text: str, indent: str) -> str:
    """Return a text with its line breaks and tabs, and marks for its lines.

    Each further line begins with `indent` and "| ". No other line does, so a text
    cannot forge one.
    """
    return lines(text).replace("\n", f"\n{indent}| ")


def folded(text: str, width: int) -> str:
    """Return a text with lines of at most `width` columns, broken between words.

    The rest of a broken line follows a mark. A word that is too long stays whole.
    """
    return "\n".join(_folded_line(line, width) for line in text.split("\n"))


def lines(text: str) -> str:
    """Return a text with its line breaks and tabs; the rest that is invisible is escaped."""
    split = text.replace("\r\n", "\n").split("\n")
    return "\n".join(escaped(each, _escape, kept="\t") for each in split)


def pairs(values: Mapping[str, str]) -> list[str]:
    """Return each pair as `name: value`."""
    return [f"{name}: {value}" for name, value in values.items()]


def labelled(label: str, rows: Iterable[str]) -> list[str]:
    """Return a label and its rows, a line each; no lines if there are no rows."""
    lines = [f"  - {row}" for row in rows]
    return [f"{label}:", *lines] if lines else []


def questions(numbers: Sequence[int]) -> str:
    """Return numbers of questions, such as "question 2" or "questions 1, 3"."""
    if not numbers:
        return ""
    noun = "question" if len(numbers) == 1 else "questions"
    return f"{noun} {', '.join(map(str, numbers))}"


def closed_questions(closed: "Sequence[ClosedQuestions]") -> str:
    """Return a sentence that names questions which were closed, or ""."""
    if not closed:
        return ""
    named = [
        f"{questions(each.questions)} on {each.item}"
        for each in closed[:CLOSED_SHOWN]
    ]
    if len(closed) > CLOSED_SHOWN:
        left = len(closed) - CLOSED_SHOWN
        named.append(f"those on {counted(left, 'more item', 'more items')}")
    return f"Closed without an answer: {'; '.join(named)}."


def escaped(text: str, escape: Callable[[str], str], kept: str = "") -> str:
    """Return a text in which `escape` replaces invisible characters not in `kept`.

    Invisible are controls, format characters, private, unassigned and surrogate code
    points, line separators, fillers, variation selectors and tags. An emoji keeps the
    selector and the joiners that it is made of. A word keeps a joiner between two
    letters of a script that needs it.
    """
    if _is_visible(text):
        return text

    def escape_run(match: re.Match[str]) -> str:
        if _is_visible(match.group()):
            return match.group()
        characters = []
        for at in range(*match.span()):
            character = text[at]
            if character not in kept and not _is_visible_at(text, at):
                character = escape(character)
            characters.append(character)
        return "".join(characters)

    return re.sub(_NOT_ASCII, escape_run, text)


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: 1 item, 2 items."""
    return f"{number} {one if number == 1 else many}"


def timestamp(at: int) -> str:
    """Return a time in ms since the epoch, to the second: UTC, local on a terminal."""
    if not at:
        return "never"
    if sys.stdout is not None and sys.stdout.isatty():
        return strftime("%Y-%m-%d %H:%M:%S", localtime(at / 1000))
    return strftime("%Y-%m-%d %H:%M:%SZ", gmtime(at / 1000))


def duration(ms: int) -> str:
    """Return a duration for people, in its two largest units: 3d 4h, 5m 0s."""
    seconds = max(0, ms) // 1000
    amounts = {
        "d": seconds // 86400,
        "h": seconds // 3600 % 24,
        "m": seconds // 60 % 60,
        "s": seconds % 60,
    }
    shown: list[str] = []
    for unit, amount in amounts.items():
        if shown or amount or unit == "s":
            shown.append(f"{amount}{unit}")
    return " ".join(shown[:2])


def size(count: int) -> str:
    """Return a number of bytes, such as "0.7 kB" or "1 GB"."""
    unit, length = next(
        (each for each in _SIZES if count >= each[1]), _SIZES[-1]
    )
    return f"{count / length:.1f}".removesuffix(".0") + f" {unit}"


def ago(ms: int) -> str:
    """Return an age for people, in its largest unit: 3 min ago, 2 h ago, 5 d ago."""
    for unit, unit_ms, least in _AGES:
        if ms >= least * unit_ms:
            return f"{ms // unit_ms} {unit} ago"
    return "just now"


def _folded_line(text: str, width: int) -> str:
    rows = []
    mark = ""
    while _columns(mark + text) > width:
        end = _last_blank(text, width - len(mark))
        if not end:
            break
        rows.append(mark + text[:end])
        text = text[end:].lstrip(" ")
        mark = CONTINUED
    return "\n".join([*rows, mark + text])


def _last_blank(text: str, width: int) -> int:
    """Return the index of the last blank between words that fit; 0 if none does."""
    indent = len(text) - len(text.lstrip(" "))
    at = text.find(" ", indent)
    if at < 0 or not text[at:].strip(" "):
        return 0
    following = at
    while following >= 0 and _columns(text[:following]) <= width:
        at = following
        following = text.find(" ", at + 1)
    return at


def _columns(text: str) -> int:
    """Return the number of columns that a text takes on a terminal."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(
        0 if combining(each) else 1 + (east_asian_width(each) in "WF")
        for each in text
    )


def _is_visible(text: str) -> bool:
    if not text.isprintable():
        return False
    return text.isascii() or not re.search(_BLANK, text)


def _is_visible_at(text: str, at: int) -> bool:
    """Return whether the character at an index is visible, or changes one that is."""
    character = text[at]
    if character in "\ufe0e\ufe0f":
        return _selects_emoji(text, at)
    if character in (_ZWNJ, _ZWJ):
        return _joins(text, at)
    if re.match(_BLANK, character):
        return False
    return (
        character.isprintable()
        or character in _SPACES
        or _FIRST_RESERVED <= character <= _LAST_RESERVED
    )


def _selects_emoji(text: str, at: int) -> bool:
    """Return whether the selector follows an emoji, or makes a keycap."""
    before = text[at - 1 : at]
    after = text[at + 1 : at + 2]
    if after == "\u20e3" and re.match(_KEYCAP, before):
        return True
    return re.match(_EMOJI, before) is not None


def _joins(text: str, at: int) -> bool:
    """Return whether the joiner is between two emoji, or letters that it changes."""
    before = text[at - 1 : at]
    after = text[at + 1 : at + 2]
    if text[at] == _ZWJ and re.match(_EMOJI, after):
        if before == "\ufe0f":
            return _selects_emoji(text, at - 1)
        return re.match(_EMOJI, before) is not None
    is_after_letter = re.match(_JOINING, before) is not None
    return is_after_letter and re.match(_JOINING, after) is not None


def _escape(character: str) -> str:
    short = _SHORT_ESCAPES.get(character)
    return short or character.encode("unicode_escape").decode()
