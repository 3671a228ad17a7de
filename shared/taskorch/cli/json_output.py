"""The JSON of `--json` and MCP: an object looks the same in every document."""

import json
from collections.abc import Mapping

from taskorch.cli import text
from taskorch.domain.clock import rfc3339
from taskorch.domain.errors import Detail, TaskOrchestratorError
from taskorch.domain.frozen import Frozen, flat, is_hidden, members

SCHEMA_VERSION = 1
#: Details of errors that are times in ms, and numbers; scripts return them as text.
TIME_DETAILS = ("since", "expires")
NUMBER_DETAILS = ("pid", "token", "newest", "attempts")

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def document(data: object, meta: Mapping[str, object]) -> dict[str, Json]:
    """Return the document of a result."""
    return {
        "schema_version": SCHEMA_VERSION,
        "data": plain(data),
        "meta": plain(meta),
    }


def error_document(
    error: TaskOrchestratorError, **more: Json
) -> dict[str, Json]:
    """Return the document of an error, with `more` fields of the error."""
    details: dict[str, Json] = {}
    for name, value in error.details.items():
        details[name] = _detail(name, value)
    content: dict[str, Json] = {
        "code": error.word,
        "message": str(error),
        "hint": error.hint(),
        "retryable": error.retryable,
        "details": details,
        **more,
    }
    return {"schema_version": SCHEMA_VERSION, "error": content}


def damage(rows: Mapping[tuple[str, str], str]) -> list[dict[str, str]]:
    """Return the damaged rows that a result lacks, with the reason of each."""
    return [
        {"kind": kind, "id": id_, "reason": reason}
        for (kind, id_), reason in rows.items()
    ]


def line(data: object) -> str:
    """Return one entry of a stream as JSON on a line."""
    return dump(plain(data))


def dump(document: object, *, compact: bool = False) -> str:
    """Return JSON on one line, `compact` without blanks between values.

    Invisible characters are written as escapes.
    """

    def escape(character: str) -> str:
        return json.dumps(character)[1:-1]

    separators = (",", ":") if compact else None
    written = json.dumps(document, ensure_ascii=False, separators=separators)
    return text.escaped(written, escape)


def plain(value: object) -> Json:
    """Return a value as JSON, a frozen class as an object.

    Times of such a class (`at`, `since`, `…_at`) are RFC 3339, or null for 0.
    """
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
        is_time = name in ("at", "since") or name.endswith("_at")
        if is_hidden(value, name):
            continue
        if name == flat(value) and isinstance(member, Frozen):
            found.update(_object(member))
        elif is_time and isinstance(member, int):
            found[name] = rfc3339(member) if member else None
        else:
            found[name] = plain(member)
    return found


def _detail(name: str, value: Detail) -> Json:
    if name in TIME_DETAILS:
        return rfc3339(int(str(value))) if value else None
    if name in NUMBER_DETAILS and value:
        return int(str(value))
    return plain(value)
