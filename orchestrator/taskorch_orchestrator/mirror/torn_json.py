"""The valid part of a JSON text that breaks off: its longest valid prefix, closed."""

import json
import re
from collections.abc import Iterator

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_CLOSING = {"{": "}", "[": "]"}


def longest_prefix(text: str, depth: int) -> Json:
    """Return the longest prefix of a broken JSON text that is valid when closed.

    A value inside more than `depth` brackets is kept whole or left out. Return None if
    no prefix is valid.
    """
    valid = text[: _error_position(text)]
    for end, closing in reversed(list(_possible_ends(valid, depth))):
        try:
            value: Json = json.loads(text[:end] + closing)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def _error_position(text: str) -> int:
    """Return where the parser finds an error; the end of the text if it is unknown."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):
        pass
    return len(text)


def _possible_ends(text: str, depth: int) -> Iterator[tuple[int, str]]:
    """Yield each position where a value may end, and the brackets that close it."""
    open_brackets: list[str] = []
    for match in _TOKEN.finditer(text):
        part, end = match.group(), match.end()
        if part in _CLOSING:
            open_brackets.append(_CLOSING[part])
        elif open_brackets and part == open_brackets[-1]:
            open_brackets.pop()
        elif part == ",":
            end = match.start()
        else:
            continue
        if len(open_brackets) <= depth:
            yield end, "".join(reversed(open_brackets))
