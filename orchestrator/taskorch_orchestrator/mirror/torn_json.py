"""What can be saved of a JSON text that breaks off: its longest valid prefix, closed."""

import json
import re
from collections.abc import Iterator

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')
_CLOSING = {"{": "}", "[": "]"}


def prefix(text: str, depth: int) -> Json:
    """Return the longest prefix of a broken JSON text that is a value once its brackets are closed; None for none.

    What lies below so many brackets is whole or left out.
    """
    for end, closing in reversed(list(_ends(text[: _broken_at(text)], depth))):
        try:
            value: Json = json.loads(text[:end] + closing)
        except (ValueError, RecursionError):
            continue
        return value
    return None


def _broken_at(text: str) -> int:
    """Return up to where a text may be JSON."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos
    except (ValueError, RecursionError):
        pass
    return len(text)


def _ends(text: str, depth: int) -> Iterator[tuple[int, str]]:
    """Yield each place where a value may have ended, and what closes the brackets that are open there: few enough."""
    stack: list[str] = []
    for token in _TOKEN.finditer(text):
        end = token.end()
        if token.group() in _CLOSING:
            stack.append(_CLOSING[token.group()])
        elif stack and token.group() == stack[-1]:
            stack.pop()
        elif token.group() == ",":
            end = token.start()
        else:
            continue
        if len(stack) <= depth:
            yield end, "".join(reversed(stack))
