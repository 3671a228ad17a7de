"""Reads the fields of records in Redis, and says which one is damaged.

Other programs can write to Redis, so each id, name, number and JSON value is checked.
"""

import json
import re
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TypeVar, cast

from taskorch.domain import errors, limits
from taskorch.domain.item import State
from taskorch.queue.port import Reply

#: The fields of a hash, or of an entry of a stream.
Fields = dict[str, str]
#: The rows that were skipped because they are damaged: kind and id -> reason.
Damage = dict[tuple[str, str], str]
Row = TypeVar("Row")

#: The fields that count items by state.
COUNTS = {state: f"n_{state}" for state in State}

#: A number with more digits is damaged.
MOST_DIGITS = 16
#: Patterns, as text: `re` compiles one when it is first used.
_WORD = r"[a-z_]{1,32}"
_SURROGATE = "[\ud800-\udfff]"


class DamagedField(ValueError):
    """The value of a field cannot be right; the argument is the name of the field."""

    def __str__(self) -> str:
        return f"its {self.args[0]} cannot be right"


class Reading:
    """A block that reads one record; a wrong or missing field raises errors.Damaged."""

    def __init__(self, kind: str, id_: str) -> None:
        self._kind = kind
        self._id = id_

    def __enter__(self) -> None:
        """Begin to read the record."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        wrong: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise errors.Damaged if the record could not be read."""
        if isinstance(wrong, KeyError):
            reason = f"its {wrong.args[0]} is missing"
        elif isinstance(
            wrong, ValueError | TypeError | ArithmeticError | RecursionError
        ):
            reason = str(wrong)
        else:
            return
        raise errors.Damaged(
            kind=self._kind, id=self._id, reason=limits.shortened(reason)
        ) from None


def readable(
    read: Callable[[Reply], Row], views: Iterable[Reply], damage: Damage
) -> tuple[Row, ...]:
    """Read rows; a damaged one is skipped and added to `damage`."""
    found = []
    for view in views:
        try:
            found.append(read(view))
        except errors.Damaged as error:
            record_damage(error, damage)
    return tuple(found)


def record_damage(error: errors.Damaged, damage: Damage) -> None:
    """Add the record that an error is about to `damage`."""
    key = str(error.details["kind"]), str(error.details["id"])
    damage[key] = str(error.details["reason"])


def rows(reply: Reply) -> list[list[Reply]]:
    """Return a reply with the type of a list of lists."""
    return cast("list[list[Reply]]", reply)


def texts(reply: Reply) -> list[str]:
    """Return a reply with the type of a list of texts."""
    return cast("list[str]", reply)


def fields_of(flat: Reply) -> Fields:
    """Return the fields in a flat list of names and values."""
    words = iter(texts(flat))
    return dict(zip(words, words, strict=True))


def entry(view: Reply) -> tuple[str, Fields]:
    """Return the id and the fields of an entry of a stream."""
    id_, flat = cast("tuple[str, Reply]", view)
    return id_, fields_of(flat)


def made_at(id_: str, fields: Fields) -> int:
    """Return the time of a stream entry in ms: that of its file, or else of its id."""
    return number(fields, "made_at", 0) or int(id_.partition("-")[0])


def whole(value: str | int) -> int:
    """Return a number of Redis, such as a score, as an integer; 0 for ""."""
    return int(float(value)) if value else 0


def whole_numbers(value: str) -> tuple[int, ...]:
    """Return the numbers in a text such as "1 3"."""
    return tuple(map(int, value.split()))


def number(fields: Fields, name: str, missing: int | None = None) -> int:
    """Return a number of 0 or more; `missing` replaces an empty or missing value."""
    if missing is not None and not fields.get(name):
        return missing
    value = fields[name]
    if not _has_digits_only(value) or int(value) > limits.LARGEST:
        raise DamagedField(name)
    return int(value)


def _has_digits_only(text: str) -> bool:
    """Tell whether a text is 1 to 16 ASCII digits. A regex takes twice as long."""
    return len(text) <= MOST_DIGITS and text.isascii() and text.isdecimal()


def counts(fields: Fields) -> dict[State, int]:
    """Return the number of items in each state, from a project or an agent."""
    found = dict.fromkeys(COUNTS, 0)
    for state, name in COUNTS.items():
        if name in fields:
            if not _has_digits_only(fields[name].removeprefix("-")):
                raise DamagedField(name)
            found[state] = int(fields[name])
    return found


def state(fields: Fields) -> State:
    """Return the state of an item."""
    try:
        return State(fields["state"])
    except ValueError:
        raise DamagedField("state") from None


def agent_name(fields: Fields, name: str, missing: str | None = None) -> str:
    """Return the name of an agent, or ""."""
    value = fields[name] if missing is None else fields.get(name, missing)
    if value and not limits.is_name(value):
        raise DamagedField(name)
    return value


def word(fields: Fields, name: str) -> str:
    """Return a word of the protocol, such as a verb."""
    if not re.fullmatch(_WORD, fields[name]):
        raise DamagedField(name)
    return fields[name]


def cursor(fields: Fields, name: str) -> str:
    """Return the id of a stream entry, or ""."""
    value = fields.get(name, "")
    if value and not limits.is_cursor(value):
        raise DamagedField(name)
    return value


def text_list(fields: Fields, name: str) -> tuple[str, ...]:
    """Return a JSON list of texts; () if it is missing."""
    if name not in fields:
        return ()
    listed = json_value(fields, name)
    if listed == {}:  # Lua writes an empty list so
        return ()
    if not isinstance(listed, list) or not all(map(is_text, listed)):
        raise DamagedField(name)
    return tuple(listed)


def text_map(fields: Fields, name: str) -> dict[str, str]:
    """Return a JSON object of texts; {} if it is missing."""
    if name not in fields:
        return {}
    mapped = json_value(fields, name)
    if mapped == []:  # Lua writes an empty object so
        return {}
    if not isinstance(mapped, dict):
        raise DamagedField(name)
    if not all(map(is_text, mapped)) or not all(map(is_text, mapped.values())):
        raise DamagedField(name)
    return mapped


def records(fields: Fields, name: str) -> list[Fields]:
    """Return a JSON list of objects of texts; [] if it is missing."""
    if name not in fields:
        return []
    listed = json_value(fields, name)
    if not isinstance(listed, list):
        raise DamagedField(name)
    for each in listed:
        if not isinstance(each, dict) or not all(
            map(is_text, (*each, *each.values()))
        ):
            raise DamagedField(name)
    return listed


def json_value(fields: Fields, name: str) -> object:
    """Return the value of a JSON field."""
    try:
        return json.loads(fields[name])
    except (ValueError, RecursionError):
        raise DamagedField(name) from None


def is_text(value: object) -> bool:
    """Tell whether a JSON value is text that UTF-8 can encode: no lone surrogate."""
    return isinstance(value, str) and not re.search(_SURROGATE, value)


def item_id(id_: str) -> str:
    """Return the id of an item that a script found; "" if it cannot be one."""
    return id_ if limits.is_item_id(id_) else ""
