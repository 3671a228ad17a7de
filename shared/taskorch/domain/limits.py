"""The limits of values, checked before a script is called.

Each function returns the value as it is stored. It raises errors.Invalid if the value
is not allowed, and errors.NoProject or errors.NoItem if it cannot be an id.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from taskorch.domain import errors

TITLE_CHARACTERS = 500
TEXT_BYTES = 64 * 1024
#: Maximum number of characters of the host and the session of a caller.
CALLER_CHARACTERS = 255
TRACEPARENT_BYTES = 512
LIST_VALUES = 200
#: Maximum number of labels of an item, and of characters of a label;
#: scripts/prelude/ has the same number of labels.
LABELS = 20
LABEL_CHARACTERS = 50
#: Maximum number of dependencies of an item; scripts/prelude/ has the same number.
DEPENDENCIES = 1000
#: Maximum number of open questions of an item; scripts/blocker.lua has the same number.
OPEN_QUESTIONS = 10
#: Maximum size of their texts in total; scripts/blocker.lua has the same number.
QUESTIONS_BYTES = 256 * 1024
#: Maximum size of an item: of the fields that `ITEM_FIELDS` names, as they are stored;
#: scripts/prelude/ has the same number and the same names.
ITEM_BYTES = 1024 * 1024
ITEM_FIELDS = (
    "title", "description", "requirements", "context", "resources",
    "deliverables_expected", "criteria", "checks", "labels", "deliverables",
)  # fmt: skip
#: Maximum number of items that are created in one step, with the maximum total number
#: of their dependencies; `depend` adds as many. The step blocks Redis for some
#: milliseconds.
BATCH_ITEMS = 50
BATCH_DEPENDENCIES = 150
#: Maximum total size of what one step writes of its items.
BATCH_BYTES = 1280 * 1024
#: Maximum number of items that are assigned, edited, claimed or completed in one step.
BATCH_STEPS = 16
#: Maximum number of items that one command claims, in several steps.
CLAIMS = 100
#: Maximum number of items that one call shows to an agent.
SHOWN_ITEMS = 100
#: Maximum size of a plan file.
PLAN_BYTES = 16 * 1024 * 1024
DELIVERABLES_BYTES = 256 * 1024
#: Pools that an agent takes items from.
POOLS = 16
LONGEST_MS = 365 * 24 * 3_600_000
#: The longest right to write the files of a root: that of a killed writer ends by then.
LONGEST_MIRROR_MS = 600_000
SHOWN_CHARACTERS = 80
#: The largest integer that both Redis and JSON store exactly.
LARGEST = 2**53
#: Maximum duration of a wait in one command or tool call. The programs that agents run
#: in allow a little more.
LONGEST_WAIT_S = 540
#: The wait that hints suggest: the shell of Claude Code moves a command to the background
#: after 120 s, and some programs end a tool call then.
SHORT_WAIT_S = 100

Value = TypeVar("Value")

_as_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_BYTES = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3}
#: Patterns, as text: `re` compiles one when it is first used, which a short command
#: may never do.
_DURATION = r"([0-9]{1,12})(ms|s|m|h|d)"
_SIZE = r"([0-9]{1,12})(k|M|G|)"
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
_LABEL = r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,49}"
_ID = r"(proj|item)_[0-9a-z]{1,32}"
#: What begins like one of our ids, which agents confuse with a name.
_LIKE_ID = r"(proj|item)_[0-9a-f]+"
#: The header `traceparent` of W3C Trace Context, of any version.
_TRACEPARENT = (
    r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    r"(-[!-~]*)?"
)
#: The number of characters of version 00; others may have more.
_TRACEPARENT_00_CHARACTERS = 55
_LIST_CURSOR = r"proj_[0-9a-z]{1,32}:[0-9]{1,19}"
_CURSOR = r"[0-9]{1,19}-[0-9]{1,19}"
_DISCOVERY_CURSOR = _CURSOR + r"(:proj_[0-9a-z]{1,32})?"


def name(value: str, what: str) -> str:
    """Return the name of an agent or a namespace; it becomes part of keys and paths."""
    _need_text(value, f"name of {what}")
    if not value:
        raise errors.Invalid(reason=f"The name of {what} is empty.")
    if not is_name(value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a name for {what}. A name has 1 to 64 "
            "letters, digits, '_', '-' and '.', starts with a letter or a digit, and has "
            "no '..'."
        )
    return value


def agent_name(value: str, setting: str = "") -> str:
    """Return the name of an agent to work on items; refuse one that looks like an id.

    `setting` is the setting that has it, or "" for an argument. `name` still accepts
    what earlier versions stored.
    """
    _need_text(value, "name of an agent")
    if re.fullmatch(_LIKE_ID, value):
        raise errors.NotAName(name=shortened(value), setting=setting)
    return name(value, "an agent")


def pool_name(value: str) -> str:
    """Return the name of a pool: it has the rules of an agent's name."""
    _need_text(value, "name of a pool")
    if re.fullmatch(_LIKE_ID, value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is the name of a pool, and looks like an id."
        )
    return name(value, "a pool")


def pools(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the pools of an agent, in their order: at most 16."""
    found = tuple(map(pool_name, sequence(names, "pools")))
    number(len(found), "number of pools", 0, POOLS)
    if len(set(found)) < len(found):
        raise errors.Invalid(
            reason=f"A pool is named twice: {', '.join(found)}."
        )
    return found


def session(value: str) -> str:
    """Return the session of a caller: at most 255 characters."""
    kept = text(value, "session")
    if len(kept) > CALLER_CHARACTERS:
        raise errors.Invalid(
            reason=f"The session {shortened(value)!r} has {len(kept)} characters; at "
            f"most {CALLER_CHARACTERS} are allowed."
        )
    return kept


def is_name(value: str) -> bool:
    """Tell whether a text can be the name of an agent or a namespace."""
    return re.fullmatch(_NAME, value) is not None and ".." not in value


def is_cursor(value: str) -> bool:
    """Tell whether a text can be the id of a stream entry."""
    return re.fullmatch(_CURSOR, value) is not None


def is_project_id(value: str) -> bool:
    """Tell whether a text can be the id of a project."""
    return value.startswith("proj_") and re.fullmatch(_ID, value) is not None


def is_item_id(value: str) -> bool:
    """Tell whether a text can be the id of an item."""
    return value.startswith("item_") and re.fullmatch(_ID, value) is not None


def project_id(value: str) -> str:
    """Return the id of a project. Raises errors.NoProject."""
    _need_text(value, "id of a project")
    if not is_project_id(value):
        raise errors.NoProject(project=shortened(value))
    return value


def item_id(value: str) -> str:
    """Return the id of an item. Raises errors.NoItem."""
    _need_text(value, "id of an item")
    if not is_item_id(value):
        raise errors.NoItem(item=shortened(value))
    return value


def cursor(value: str) -> str:
    """Return the cursor of a stream, such as 1700000000000-0."""
    _need_text(value, "cursor")
    if not is_cursor(value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a cursor. A cursor looks like "
            "1700000000000-0."
        )
    return value


def discovery_cursor(value: str) -> str:
    """Return the cursor of a discovery, which may have its project."""
    if not re.fullmatch(_DISCOVERY_CURSOR, value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a cursor. A cursor looks like "
            "1700000000000-0, and among several projects like "
            "1700000000000-0:proj_1a2b3c4d."
        )
    return value


def list_cursor(value: str) -> str:
    """Return a cursor of a list of items, or "" for its start."""
    if value and not re.fullmatch(_LIST_CURSOR, value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a cursor of a list. Use "
            "the cursor of the previous page."
        )
    return value


def title(value: str, what: str = "title") -> str:
    """Return a title: not blank, at most 500 characters."""
    kept = text(value, what, required=True)
    if len(kept) > TITLE_CHARACTERS:
        raise errors.Invalid(
            reason=f"The {what} has {len(kept)} characters; at most "
            f"{TITLE_CHARACTERS} are allowed."
        )
    return kept


def text(value: str, what: str, *, required: bool = False) -> str:
    """Return a text with normalised line ends: at most 64 KiB of UTF-8, without NUL."""
    _need_text(value, what)
    kept = normalised(value)
    if required and not kept.strip():
        raise errors.Invalid(reason=f"The {what} is empty.")
    if "\0" in kept:
        raise errors.Invalid(
            reason=f"There is a NUL character in the {what}. Remove it."
        )
    return sized(kept, what)


def normalised(value: str) -> str:
    """Return a text with line feeds as line ends, without a byte order mark."""
    return value.replace("\r\n", "\n").lstrip("\ufeff")


def sized(value: str, what: str) -> str:
    """Return a text unchanged: at most 64 KiB of UTF-8."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise errors.Invalid(
            reason=f"The {what} is not valid UTF-8 text."
        ) from None
    if size > TEXT_BYTES:
        raise too_long(what)
    return value


def too_long(what: str) -> errors.Invalid:
    """Return the error for a text over 64 KiB."""
    return errors.Invalid(
        reason=f"The {what} is longer than {TEXT_BYTES} bytes (64 KiB)."
    )


def sequence(listed: Iterable[Value], argument: str) -> Sequence[Value]:
    """Return a list or another sequence, but not a text: it has no values.

    `argument` is its name for the caller, such as requirements.
    """
    if isinstance(listed, str):
        raise errors.Invalid(
            reason=f"{argument} must be a list, not text. Write "
            f"[{shortened(listed)!r}]."
        )
    if not isinstance(listed, Sequence):
        raise _wrong_type(listed, "a list", argument)
    return listed


def values(listed: Sequence[str], what: str, argument: str) -> str:
    """Return a list of at most 200 texts as JSON; each is a `what`."""
    if len(sequence(listed, argument)) > LIST_VALUES:
        raise errors.Invalid(
            reason=f"{what.capitalize()}: {len(listed)} values; at most "
            f"{LIST_VALUES} are allowed."
        )
    return _as_json([text(value, what, required=True) for value in listed])


def traceparent(value: str) -> str:
    """Return the place of an item in a trace, as W3C Trace Context writes it."""
    _need_text(value, "traceparent")
    if not is_traceparent(value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a traceparent, such as "
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        )
    return value


def is_traceparent(value: str) -> bool:
    """Tell whether a text is a traceparent of at most 512 bytes."""
    most = TRACEPARENT_BYTES
    if value.startswith("00-"):
        most = _TRACEPARENT_00_CHARACTERS
    is_short = len(value) <= most
    return is_short and re.fullmatch(_TRACEPARENT, value) is not None


def label(value: str) -> str:
    """Return a label of an item."""
    _need_text(value, "label")
    if not re.fullmatch(_LABEL, value):
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a label. A label has 1 to "
            f"{LABEL_CHARACTERS} letters, digits, '_', '.', ':', '/', '@', '+' and "
            "'-', and starts with a letter or a digit."
        )
    return value


def is_label(value: str) -> bool:
    """Tell whether a text can be a label."""
    return re.fullmatch(_LABEL, value) is not None


def labels(listed: Sequence[str]) -> str:
    """Return at most 20 labels as JSON, each once."""
    unique = list(dict.fromkeys(map(label, sequence(listed, "labels"))))
    if len(unique) > LABELS:
        raise errors.Invalid(
            reason=f"There are {len(unique)} labels; at most {LABELS} are allowed."
        )
    return _as_json(unique)


def pairs(mapped: Mapping[str, object], what: str, argument: str) -> str:
    """Return at most 200 texts by name as JSON, at most 256 KiB in total.

    A value that is not a text, such as a number or a list, becomes JSON text.
    """
    if not isinstance(mapped, Mapping):
        raise _wrong_type(mapped, "a dict", argument)
    if len(mapped) > LIST_VALUES:
        raise errors.Invalid(
            reason=f"There are {len(mapped)} {what}; at most {LIST_VALUES} are allowed."
        )
    if not mapped:
        return "{}"
    checked = {
        text(key, f"name of one of the {what}", required=True): text(
            _as_text(value, f"{argument}[{key!r}]"), what
        )
        for key, value in mapped.items()
    }
    document = _as_json(checked)
    if len(document.encode()) > DELIVERABLES_BYTES:
        raise errors.Invalid(
            reason=f"The {what} have more than {DELIVERABLES_BYTES} bytes (256 KiB)."
        )
    return document


def item_size(fields: Mapping[str, object], item: str) -> None:
    """Check the bytes of an item: of its stored fields that count.

    `item` names it in the error. Raises errors.TooLarge.
    """
    texts = [str(fields.get(name, "")) for name in ITEM_FIELDS]
    size = len("".join(texts).encode())
    if size > ITEM_BYTES:
        raise errors.TooLarge(
            item=shortened(item), bytes=size, most=ITEM_BYTES
        )


def batch_items(count: int) -> str:
    """Return what is wrong with the number of items of a plan; "" if nothing is."""
    if count <= BATCH_ITEMS:
        return ""
    return (
        f"{count} items; at most {BATCH_ITEMS} are created in one step, all or none. "
        "Split the plan: the next one names the project and the ids of earlier items."
    )


def batch_steps(count: int) -> None:
    """Check the number of items that one call changes, all or none."""
    if not 1 <= count <= BATCH_STEPS:
        raise errors.Invalid(
            reason=f"The number of items is {count}. It must be 1 to {BATCH_STEPS} in a "
            "call, all or none. Use several calls for more."
        )


def batch_size(words: Iterable[object], times: int = 1) -> None:
    """Check the size of what one call writes: its words, for each of some items."""
    size = times * len("".join(map(str, words)).encode())
    if size > BATCH_BYTES:
        raise errors.Invalid(
            reason=f"The items of this call have {size} bytes in total; at most "
            f"{BATCH_BYTES} (1.25 MiB) are allowed in a call. Use several calls (of a plan: "
            "several plans), or put large content into files, and name their paths."
        )


def number(value: int, what: str, least: int, most: int) -> int:
    """Return a whole number within its range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong_type(value, "a whole number", f"The {what}")
    if not least <= value <= most:
        raise errors.Invalid(
            reason=f"The {what} is {value}. It must be {least} to {most}."
        )
    return value


def seconds(value: float, argument: str) -> float:
    """Return a number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong_type(value, "a number of seconds", argument)
    if not value >= 0:  # not a number at all, too
        raise errors.Invalid(
            reason=f"{argument} is {value}. It must be 0 or more seconds."
        )
    return value


def question(value: int) -> str | int:
    """Return the number of a question as scripts take it: "" for 0."""
    return number(value, "number of the question", 0, LARGEST) or ""


def shortened(value: str, characters: int = SHOWN_CHARACTERS) -> str:
    """Return the start of a text, as a message shows it."""
    return value if len(value) <= characters else value[:characters] + "…"


def is_duration(value: str) -> bool:
    """Tell whether a text has the form of a duration, such as 30m."""
    return bool(re.fullmatch(_DURATION, value))


def size(value: str) -> int:
    """Return a number of bytes such as 500000, 64k, 100M or 1G; a k is 1000 bytes."""
    match = re.fullmatch(_SIZE, value)
    if not match:
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a size. Write one such as 500000, "
            "64k, 100M or 1G."
        )
    return int(match[1]) * _BYTES[match[2]]


def duration_ms(value: str) -> int:
    """Return a duration such as 90s, 30m, 4h or 1d in ms: 1 ms to 365 days."""
    match = re.fullmatch(_DURATION, value)
    if not match:
        raise errors.Invalid(
            reason=f"{shortened(value)!r} is not a duration. Write one such as "
            "90s, 30m, 4h or 1d."
        )
    duration = int(match[1]) * _UNITS_MS[match[2]]
    if not 0 < duration <= LONGEST_MS:
        raise errors.Invalid(
            reason=f"{value!r} is not between 1 ms and 365 days."
        )
    return duration


def _as_text(value: object, place: str) -> str:
    """Return a text unchanged, and any other value as JSON."""
    if isinstance(value, str):
        return value
    try:
        return _as_json(value)
    except (TypeError, ValueError) as error:
        raise errors.Invalid(
            reason=f"{place} is neither text nor JSON: {error}."
        ) from None


def _need_text(value: object, what: str) -> None:
    if not isinstance(value, str):
        raise _wrong_type(value, "text", f"The {what}")


def _wrong_type(value: object, wanted: str, subject: str) -> errors.Invalid:
    given = f"{type(value).__name__}: {shortened(repr(value))}"
    return errors.Invalid(reason=f"{subject} must be {wanted}, not {given}.")
