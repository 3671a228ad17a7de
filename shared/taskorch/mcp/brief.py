"""The results of tools as a model needs them: what is empty is left out, lists are short.

A model pays for each character of a result, and reads it once. So a list has the items
without their details, which the tool for one item shows.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import cast

from taskorch.cli.json_output import Json, plain
from taskorch.domain.item import DEFAULT_PRIORITY, Discovery

#: Characters of a title, and of a report, in a list.
TITLE_LENGTH, REPORT_LENGTH = 120, 100
#: Fields that only the queue needs, such as the ids of claims.
INTERNAL = frozenset((
    "token", "claim", "lease", "written_at", "changed_at", "pid", "version", "looked_at",
    "traceparent",
))  # fmt: skip
#: The names and values of these are those of users.
OF_USERS = frozenset(("context", "deliverables", "links", "details"))
#: What names commands to an agent.
HINTS = frozenset(("hint", "hints", "command"))
#: Fields whose zero is a value; any other zero means "none".
ZEROS = frozenset(("count", "priority", "percent", "exit_code"))
#: The fields of an item that a list leaves out.
DETAILS = frozenset((
    "project", "description", "requirements", "context", "resources", "deliverables_expected",
    "criteria", "checks", "reviewer", "evidence", "labels", "holder", "attempts", "max_attempts",
    "lease_expires_at", "depends_on", "assigned_by", "returned", "created_at", "assigned_at",
    "started_at", "completed_at",
))  # fmt: skip


def brief(
    value: Json, hint: Callable[[str], str], *, is_whole: bool = True
) -> Json:
    """Return a result without what is empty or internal, and with short lists.

    An item on its own stays whole, and so does a next one that came with a step. `hint`
    translates the commands in hints.
    """
    if isinstance(value, list):
        return [brief(each, hint, is_whole=False) for each in value]
    if not isinstance(value, dict):
        return value
    if is_item(value) and not is_whole:
        value = row(value)
    found: dict[str, Json] = {}
    for name, member in value.items():
        shown = member
        if name in HINTS:
            shown = _translated(member, hint)
        elif name not in OF_USERS:
            shown = brief(member, hint, is_whole=is_whole and name == "next")
        if name not in INTERNAL and not _is_empty(name, shown):
            found[name] = shown
    return found


def is_item(value: Mapping[str, Json]) -> bool:
    """Tell whether an object is an item, perhaps with more fields."""
    return "max_attempts" in value and "requirements" in value


def row(
    item: Mapping[str, Json], without: Collection[str] = ()
) -> dict[str, Json]:
    """Return an item as a row of a list."""
    shown = {
        name: value
        for name, value in item.items()
        if name not in DETAILS and name not in without
    }
    if shown.get("priority") == DEFAULT_PRIORITY:
        del shown["priority"]
    if not shown.get("percent"):
        shown.pop("percent", None)
    return {**shown, "title": cut(str(item["title"]), TITLE_LENGTH)}


def discoveries(found: Iterable[Discovery]) -> list[Json]:
    """Return discoveries; the cursor of the last one is in meta."""
    shown: list[Json] = []
    for each in found:
        one = cast("dict[str, Json]", plain(each))
        del one["cursor"]
        shown.append(one)
    return shown


def cut(text: str, length: int) -> str:
    """Return the beginning of a text, with a mark if there is more."""
    return text if len(text) <= length else f"{text[:length]}…"


def _translated(hints: Json, translate: Callable[[str], str]) -> Json:
    if isinstance(hints, list):
        return [_translated(each, translate) for each in hints]
    return translate(hints) if isinstance(hints, str) else hints


def _is_empty(name: str, value: Json) -> bool:
    if value == 0 and not isinstance(value, bool):
        return name not in ZEROS
    return value in (None, "", [], {}, False)
