"""Text that strangers wrote, made fit for a person's screen: nothing in it can move the cursor or forge a line."""

import re
from time import gmtime, strftime

#: C0 and C1 controls, and the characters that turn the direction of the text around.
_UNSAFE = "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u061c\u200e\u200f]"
_UNSAFE_IN_BLOCK = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\u061c\u200e\u200f]"
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def line(text: str) -> str:
    """Return a text as one line: control characters, line breaks too, are shown escaped."""
    return text if text.isprintable() else re.sub(_UNSAFE, _escaped, text)


def block(text: str, indent: str) -> str:
    """Return a text with its own line breaks, the later lines indented; other control characters are shown escaped."""
    lines = text.replace("\r\n", "\n").split("\n")
    return f"\n{indent}".join(
        each if each.isprintable() else re.sub(_UNSAFE_IN_BLOCK, _escaped, each) for each in lines
    )


def moment(at: int) -> str:
    """Return a time in ms since the epoch for people: UTC, to the second."""
    return strftime("%Y-%m-%d %H:%M:%SZ", gmtime(at / 1000)) if at else "never"


def length(ms: int) -> str:
    """Return a length of time for people: in its two largest units, to the second."""
    seconds = max(0, ms) // 1000
    units = {"d": seconds // 86400, "h": seconds // 3600 % 24, "m": seconds // 60 % 60, "s": seconds % 60}
    shown = [f"{n}{unit}" for unit, n in units.items()]
    first = next((place for place, n in enumerate(units.values()) if n), len(shown) - 1)
    return " ".join(shown[first : first + 2])


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT.get(character) or character.encode("unicode_escape").decode()
