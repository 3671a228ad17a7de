"""The result that an agent program reports on stdout, if it prints JSON.

claude -p --output-format json, stream-json      a line or a list with type "result"
codex exec --json                                lines; the last agent message
gemini --output-format json, stream-json         an object with "response"; lines

The format is recognized by the output alone. Any other output has no such result.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from taskorch.domain.frozen import Frozen

Object = Mapping[str, object]


class ProgramResult(Frozen):
    """The result of an agent program."""

    #: Its last message to the user, or the error.
    text: str
    #: Whether the program says that it has failed.
    failed: bool


def read(stdout: str, *, is_whole: bool) -> ProgramResult | None:
    """Return the result in an output or in the end of one, or None."""
    if is_whole:
        for document in _documents(stdout):
            if result := _of_document(document):
                return result
    return _of_events(_objects(stdout))


def _documents(stdout: str) -> Iterator[object]:
    """Yield the output as one document, and the last document after other lines."""
    text = stdout.strip()
    yield _parsed(text)
    start = text.rfind("\n{\n")
    if start >= 0:
        yield _parsed(text[start:])


def _objects(stdout: str) -> Iterator[Object]:
    """Yield the JSON objects among the lines."""
    for line in stdout.split("\n"):
        if line.startswith("{"):
            found = _parsed(line)
            if isinstance(found, dict):
                yield found


def _parsed(text: str) -> object:
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return cast("object", json.loads(text))
    except (ValueError, RecursionError):
        return None


def _of_document(document: object) -> ProgramResult | None:
    if isinstance(document, list):
        return _of_events(each for each in document if isinstance(each, dict))
    if not isinstance(document, dict):
        return None
    if "type" in document:
        return _of_events([document])
    return _of_gemini(document)


def _of_gemini(document: Object) -> ProgramResult | None:
    has_stats = isinstance(document.get("stats"), dict)
    if not has_stats and not _text(document.get("session_id")):
        return None
    error = _message(document.get("error"))
    response = _text(document.get("response"))
    if not (error or response):
        return None
    return ProgramResult(text=error or response, failed=bool(error))


def _of_events(events: Iterable[Object]) -> ProgramResult | None:
    """Return the result of a stream of events; None if none is of a known program."""
    text, failed, is_known = "", False, False
    for event in events:
        reader = _READERS.get(_text(event.get("type")))
        change = reader(event, text) if reader else None
        if change:
            text, failed, is_known = change.text, change.failed, True
    return ProgramResult(text=text, failed=failed) if is_known else None


def _of_result(event: Object, text: str) -> ProgramResult | None:
    """Read the last event of claude or gemini."""
    if isinstance(event.get("is_error"), bool):
        return _of_claude(event) if _is_of_claude(event) else None
    status = event.get("status")
    if status not in ("success", "error"):
        return None
    error = _message(event.get("error"))
    return ProgramResult(text=error or text, failed=status == "error")


def _is_of_claude(event: Object) -> bool:
    return bool(_text(event.get("session_id")))


def _of_claude(event: Object) -> ProgramResult:
    subtype = _text(event.get("subtype"))
    failed = event["is_error"] is True or subtype.startswith("error")
    errors = event.get("errors")
    reasons = (
        [_text(each) for each in errors] if isinstance(errors, list) else []
    )
    text = _text(event.get("result")) or "\n".join(filter(None, reasons))
    return ProgramResult(
        text=text or (subtype if failed else ""), failed=failed
    )


def _of_claude_message(event: Object, text: str) -> ProgramResult | None:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list) or not _is_of_claude(event):
        return None
    texts = [
        _text(part.get("text"))
        for part in content
        if isinstance(part, dict) and part.get("type") == "text"
    ]
    return ProgramResult(text="\n".join(texts) or text, failed=False)


def _of_codex_item(event: Object, text: str) -> ProgramResult | None:
    item = event.get("item")
    if not isinstance(item, dict) or not _text(item.get("id")):
        return None
    if item.get("type") != "agent_message":
        return ProgramResult(text=text, failed=False)
    return ProgramResult(text=_text(item.get("text")) or text, failed=False)


def _of_codex_end(event: Object, text: str) -> ProgramResult | None:
    if event["type"] == "turn.completed":
        return ProgramResult(text=text, failed=False)
    return ProgramResult(
        text=_message(event.get("error")) or text, failed=True
    )


def _of_gemini_message(event: Object, text: str) -> ProgramResult | None:
    """Read a message or a piece of one; a message of the user begins a new answer."""
    content = _text(event.get("content"))
    if event.get("role") != "assistant":
        return ProgramResult(text="", failed=False) if content else None
    if event.get("delta") is True:
        content = text + content
    return ProgramResult(text=content, failed=False)


def _after_tool(event: Object, _: str) -> ProgramResult | None:
    """Begin a new answer after a tool of gemini."""
    if isinstance(event.get("tool_id"), str):
        return ProgramResult(text="", failed=False)
    return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _message(error: object) -> str:
    return _text(error.get("message")) if isinstance(error, dict) else ""


#: Type of an event -> its reader, which gets the event and the text so far, and returns
#: None for an event of an unknown program.
_READERS: Mapping[str, Callable[[Object, str], ProgramResult | None]] = {
    "result": _of_result,
    "assistant": _of_claude_message,
    "item.completed": _of_codex_item,
    "turn.completed": _of_codex_end,
    "turn.failed": _of_codex_end,
    "message": _of_gemini_message,
    "tool_result": _after_tool,
}
