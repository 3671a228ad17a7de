"""The JSON that the commands print: one document, the same object for the same thing everywhere."""

import json
from collections.abc import Mapping

from taskorch.cli import text
from taskorch.domain.clock import rfc3339
from taskorch.domain.errors import Detail, TaskOrchestratorError
from taskorch.domain.frozen import Frozen, flat, is_hidden, members

SCHEMA_VERSION = 1

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def document(data: object, meta: Mapping[str, object]) -> dict[str, Json]:
    """Return the document of a result."""
    return {"schema_version": SCHEMA_VERSION, "data": plain(data), "meta": plain(meta)}


def line(data: object) -> str:
    """Return one object of a stream of them."""
    return dump(plain(data))


def damage(rows: Mapping[tuple[str, str], str]) -> list[dict[str, str]]:
    """Return which rows a result lacks because they are damaged, and why."""
    return [
        {"kind": kind, "id": id_, "reason": reason}
        for (kind, id_), reason in rows.items()
    ]


def error_document(error: TaskOrchestratorError, **more: Json) -> dict[str, Json]:
    """Return the document of an error, with `more` fields of it."""
    details = {name: _detail(name, value) for name, value in error.details.items()}
    content: dict[str, Json] = {
        "code": error.word,
        "message": str(error),
        "hint": error.hint(),
        "retryable": error.retryable,
        "details": details,
        **more,
    }
    return {"schema_version": SCHEMA_VERSION, "error": content}


def dump(document: object) -> str:
    """Return JSON on one line, with every character that a screen would not show as an escape."""
    return text.escaped(json.dumps(document, ensure_ascii=False), _escape)


def plain(value: object) -> Json:
    """Return what is ours as JSON: what is frozen as an object, times (`…_at`, `at`, `since`) as RFC 3339 or null."""
    if isinstance(value, Frozen):
        return _object(value)
    if isinstance(value, Mapping):
        return {str(name): plain(member) for name, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(member) for member in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value)


def _object(value: Frozen) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for name, member in members(value):
        if is_hidden(value, name):
            continue
        if name == flat(value) and isinstance(member, Frozen):
            found.update(_object(member))
        else:
            found[name] = _member(name, member)
    return found


def _member(name: str, value: object) -> Json:
    if isinstance(value, int) and (name in ("at", "since") or name.endswith("_at")):
        return rfc3339(value) if value else None
    return plain(value)


def _detail(name: str, value: Detail) -> Json:
    """Return a detail of an error, which scripts give as text: times and numbers as anywhere else."""
    if name in ("since", "expires"):
        return rfc3339(int(str(value))) if value else None
    return (
        int(str(value))
        if name in ("pid", "token", "newest", "attempts") and value
        else plain(value)
    )


def _escape(character: str) -> str:
    return json.dumps(character)[1:-1]
