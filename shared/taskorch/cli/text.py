"""Text of strangers, fit for a screen or a model: nothing in it is invisible, moves the cursor or forges a line."""

import re
from collections.abc import Callable
from time import gmtime, strftime

# The patterns are text, compiled when they are first needed: an ordinary short command shows ASCII alone.
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
#: Characters that show nothing although `str.isprintable` accepts them: fillers and variation selectors.
_BLANK = "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
#: Spaces that `str.isprintable` rejects. They have a width, so they can be seen.
_SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_ZWNJ, _ZWJ = "\u200c", "\u200d"
_EMOJI = (
    "[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u25fe\u2600-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
_KEY = "[0-9#*]"
#: Letters that a joiner changes: Arabic to N'Ko, the scripts of India, Myanmar, Khmer, Mongolian.
_JOINING = (
    "[\u0620-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17b3\u17b6-\u17d3\u1820-\u18aa]"
)
#: Python's Unicode tables may be older than an emoji: code points that Unicode reserves for more of them stay.
_FIRST_RESERVED, _LAST_RESERVED = "\U0001f300", "\U0001faff"
_NOT_ASCII = "[^ -~]+"
_WIDE_GAP = f"[ {_SPACES}]{{2,}}"


def line(text: str) -> str:
    """Return a text as one line: line breaks, control characters and invisible characters are shown escaped."""
    return escaped(text, _escape)


def cell(text: str) -> str:
    """Return a text for a cell of a table: one line, in which no gap looks like the space between two columns."""
    return re.sub(_WIDE_GAP, " ", line(text))


def block(text: str, indent: str) -> str:
    """Return a text with its own line breaks and tabs; each line after the first begins with `indent` and "| ".

    No line of ours begins with "|", so a text cannot forge the line that follows it.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{indent}| ".join(escaped(each, _escape, kept="\t") for each in lines)


def escaped(text: str, escape: Callable[[str], str], kept: str = "") -> str:
    """Return a text in which `escape` has replaced what cannot be seen, except the characters in `kept`.

    That is: controls, format characters, private, unassigned and surrogate code points, line separators, fillers,
    variation selectors and tags. An emoji keeps the selector and the joiners that it is made of, and a word keeps a
    joiner between two letters of a script that needs it.
    """
    if _is_visible(text):
        return text

    def run(match: re.Match[str]) -> str:
        if _is_visible(match.group()):
            return match.group()
        places = range(match.start(), match.end())
        return "".join(
            text[at] if text[at] in kept or _shows(text, at) else escape(text[at])
            for at in places
        )

    return re.sub(_NOT_ASCII, run, text)


def counted(number: int, one: str, many: str) -> str:
    """Return a number with its noun: 1 item, 2 items."""
    return f"{number} {one if number == 1 else many}"


def timestamp(at: int) -> str:
    """Return a time in ms since the epoch for people: UTC, to the second."""
    return strftime("%Y-%m-%d %H:%M:%SZ", gmtime(at / 1000)) if at else "never"


def duration(ms: int) -> str:
    """Return a length of time for people: in its two largest units, to the second."""
    seconds = max(0, ms) // 1000
    units = {
        "d": seconds // 86400,
        "h": seconds // 3600 % 24,
        "m": seconds // 60 % 60,
        "s": seconds % 60,
    }
    shown = [f"{n}{unit}" for unit, n in units.items()]
    first = next((place for place, n in enumerate(units.values()) if n), len(shown) - 1)
    return " ".join(shown[first : first + 2])


def _is_visible(text: str) -> bool:
    return text.isprintable() and (text.isascii() or not re.search(_BLANK, text))


def _shows(text: str, at: int) -> bool:
    """Return whether the character at a place of a text can be seen, or changes one that can."""
    character = text[at]
    if character in "\ufe0e\ufe0f":
        return _is_chosen(text, at)
    if character in (_ZWNJ, _ZWJ):
        return _is_joined(text, at)
    if re.match(_BLANK, character):
        return False
    return (
        character.isprintable()
        or character in _SPACES
        or _FIRST_RESERVED <= character <= _LAST_RESERVED
    )


def _is_chosen(text: str, at: int) -> bool:
    """Return whether a variation selector follows an emoji, or makes a keycap of a digit."""
    before = text[at - 1 : at]
    return bool(
        re.match(_EMOJI, before)
        or (re.match(_KEY, before) and text[at + 1 : at + 2] == "\u20e3")
    )


def _is_joined(text: str, at: int) -> bool:
    """Return whether a joiner stands between two emoji, or between two letters of a script that needs it."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if text[at] == _ZWJ and re.match(_EMOJI, after):
        return bool(re.match(_EMOJI, before)) or (
            before == "\ufe0f" and _is_chosen(text, at - 1)
        )
    return bool(re.match(_JOINING, before) and re.match(_JOINING, after))


def _escape(character: str) -> str:
    return _SHORT.get(character) or character.encode("unicode_escape").decode()
