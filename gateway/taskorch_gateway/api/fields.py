"""The types of arguments that several verbs take, with the schema of each."""

from collections.abc import Mapping
from typing import Annotated, Any

from taskorch.domain import limits, usage
from taskorch.domain.amounts import MICROS
from taskorch.domain.item import Order, State

from taskorch_gateway.waits import LONGEST_WAIT_S

_TEXT: Mapping[str, Any] = {"type": "string"}

_ITEM, _PROJECT = "item_[0-9a-z]{1,32}", "proj_[0-9a-z]{1,32}"


def _matching(pattern: str, times: str = "") -> Mapping[str, Any]:
    """Return the schema of a text; with "?", it may be empty."""
    return {**_TEXT, "pattern": f"^({pattern}){times}$"}


Texts = tuple[str, ...]
#: None leaves a field as it is.
MaybeText = Annotated[str | None, _TEXT]
MaybeTexts = Annotated[
    tuple[str, ...] | None, {"type": "array", "items": _TEXT}
]
_ACCEPT: Mapping[str, Any] = {
    "type": "array",
    "items": {
        "anyOf": [
            _TEXT,
            {
                "type": "object",
                "properties": {
                    "run": {"type": "array", "items": _TEXT},
                    "timeout": {
                        **_TEXT,
                        "description": "Of run; 10m if not given",
                    },
                    "file": _TEXT,
                    "deliverable": _TEXT,
                    "review": _TEXT,
                },
            },
        ]
    },
}
Accept = Annotated[
    tuple[object, ...],
    _ACCEPT,
    "Criteria in words, and rules: run (an argument list), file or deliverable is an "
    "acceptance check, review names a reviewer",
]
MaybeAccept = Annotated[
    tuple[object, ...] | None,
    _ACCEPT,
    "As in create. Only the kinds of entries that it has are replaced",
]
Pairs = Annotated[
    dict[str, str], {"type": "object", "additionalProperties": _TEXT}
]
Title = Annotated[
    str, {"type": "string", "maxLength": limits.TITLE_CHARACTERS}
]
Item = Annotated[str, _matching(_ITEM), "item_…"]
Items = Annotated[
    tuple[str, ...],
    {
        "type": "array",
        "items": _matching(_ITEM),
        "minItems": 1,
        "maxItems": limits.BATCH_STEPS,
    },
    "item_…: all are changed, or none",
]
Project = Annotated[str, _matching(_PROJECT), "proj_…"]
AnyProject = Annotated[
    str, _matching(_PROJECT, "?"), "Only of this project; none for all"
]
ItemOrProject = Annotated[
    str, _matching(f"({_ITEM}|{_PROJECT})"), "item_… or proj_…"
]
_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
Agent = Annotated[
    str, _matching(_NAME, "?"), "The name of an agent, or else name a pool"
]
Pool = Annotated[
    str, _matching(_NAME, "?"), "The name of a pool, instead of an agent"
]
Cursor = Annotated[str, _TEXT, "The cursor of an earlier reply"]
Duration = Annotated[
    str, _matching("[0-9]{1,12}(ms|s|m|h|d)", "?"), "Such as 30m or 4h"
]


def whole(least: int, most: int) -> Mapping[str, Any]:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": least, "maximum": most}


def duration_ms(duration: str) -> int | None:
    """Return a duration such as "30m" in ms, None for ""."""
    return limits.duration_ms(duration) if duration else None


ROWS = whole(1, 5000)
SHOWN = whole(1, limits.SHOWN_ITEMS)
Rows = Annotated[int, ROWS, "Maximum number of rows"]
Priority = Annotated[
    int | None, whole(0, 4), "From 0 (most urgent) to 4; 2 if not given"
]
Attempts = Annotated[
    int | None,
    whole(1, 1000),
    "Attempts before the item becomes a dead letter; 3 if not given",
]
Percent = Annotated[int | None, whole(0, 100), "Percentage done"]
Question = Annotated[
    int,
    whole(0, limits.LARGEST),
    "The number of the question; 0: the only one",
]
Tokens = Annotated[
    int,
    whole(0, usage.MOST_TOKENS),
    "Tokens since your last report; tokens_in is without cache_read",
]
Cost = Annotated[
    float,
    {"type": "number", "minimum": 0, "maximum": usage.MOST_MICROS // MICROS},
    "Cost in dollars since your last report",
]
Model = Annotated[
    str,
    _matching("[!-~]{1,100}", "?"),
    "The model that was used",
]
Wait = Annotated[
    float,
    {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S},
    "Maximum duration of the wait in seconds",
]
Token = Annotated[
    str,
    {"type": "string", "pattern": "^([1-9][0-9]{0,15}:[0-9a-f]{0,64})?$"},
    "The holder's token: that of meta.tokens of the claim. Without one, a report "
    "claims an item that is queued for you",
]
States = Annotated[
    tuple[str, ...],
    {
        "type": "array",
        "items": {"type": "string", "enum": [state.value for state in State]},
    },
    "Only items in one of these states",
]
Priorities = Annotated[
    tuple[int, ...],
    {"type": "array", "items": whole(0, 4)},
    "Only items of one of these priorities",
]
Sort = Annotated[
    str,
    {"type": "string", "enum": ["", *(order.value for order in Order)]},
    "The newest, the last changed or the most urgent items first",
]
