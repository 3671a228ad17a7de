"""The output of Gemini CLI: gemini --output-format json (one object) or stream-json."""

from collections.abc import Mapping

from taskorch.domain.frozen import replace

from taskorch_worker.run.program_result import (
    EventReader,
    Object,
    ProgramResult,
    object_of,
    text_of,
)


def of_document(document: Object) -> ProgramResult | None:
    """Return the result in the object of the format json, or None."""
    has_stats = isinstance(document.get("stats"), dict)
    if not has_stats and not text_of(document.get("session_id")):
        return None
    error = _message(document)
    response = text_of(document.get("response"))
    if not (error or response):
        return None
    return ProgramResult(text=error or response, failed=bool(error))


def _of_result(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Read the last event."""
    status = event.get("status")
    if status not in ("success", "error"):
        return None
    text = _message(event) or so_far.text
    return replace(so_far, text=text, failed=status == "error")


def _of_message(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Read a message or a piece of one; a message of the user begins a new answer."""
    content = text_of(event.get("content"))
    if event.get("role") != "assistant":
        is_known = bool(content)
        return replace(so_far, text="", failed=False) if is_known else None
    if event.get("delta") is True:
        content = so_far.text + content
    return replace(so_far, text=content, failed=False)


def _after_tool(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Begin a new answer after a tool."""
    if isinstance(event.get("tool_id"), str):
        return replace(so_far, text="", failed=False)
    return None


def _message(event: Object) -> str:
    return text_of(object_of(event.get("error")).get("message"))


READERS: Mapping[str, EventReader] = {
    "result": _of_result,
    "message": _of_message,
    "tool_result": _after_tool,
}
