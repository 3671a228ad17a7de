"""The output of Gemini CLI: gemini --output-format json (one object) or stream-json."""

from collections.abc import Iterator, Mapping

from taskorch.domain.frozen import replace

from taskorch_worker.run.program_result import (
    CallEnd,
    EventReader,
    Object,
    ProgramResult,
    QueueCall,
    object_of,
    shell_call,
    text_of,
    tool_call,
)

SHELL = "run_shell_command"
#: The error of a call that the queue has answered with an error.
ERROR_OF_SERVER = "mcp_tool_error"
#: The decisions after which a tool is called.
PERMITTED = ("accept", "modify", "auto_accept")


def of_document(document: Object) -> ProgramResult | None:
    """Return the result in the object of the format json, or None."""
    has_stats = isinstance(document.get("stats"), dict)
    if not has_stats and not text_of(document.get("session_id")):
        return None
    error = _message(document)
    response = text_of(document.get("response"))
    if not (error or response):
        return None
    result = ProgramResult(text=error or response, failed=bool(error))
    return result.calling(*_calls(object_of(document.get("stats"))))


def _calls(stats: Object) -> Iterator[QueueCall | None]:
    """Yield the calls of our tools in the statistics, which have one row for each tool.

    They do not tell which commands a shell was given.
    """
    tools = object_of(object_of(stats.get("tools")).get("byName"))
    for name, row in tools.items():
        decisions = object_of(object_of(row).get("decisions"))
        is_permitted = any(decisions.get(each) for each in PERMITTED)
        end = CallEnd.ANSWERED if is_permitted else CallEnd.REFUSED
        yield tool_call(name, name, end)


def _of_result(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Read the last event. Without statistics, it is of some other program."""
    status = event.get("status")
    has_stats = isinstance(event.get("stats"), dict)
    if not has_stats or status not in ("success", "error"):
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


def _of_tool(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Read a call of a tool."""
    id_, tool = text_of(event.get("tool_id")), text_of(event.get("tool_name"))
    if not (id_ and tool):
        return None
    script = text_of(object_of(event.get("parameters")).get("command"))
    call = shell_call(id_, script) if tool == SHELL else tool_call(id_, tool)
    return so_far.calling(call)


def _after_tool(event: Object, so_far: ProgramResult) -> ProgramResult | None:
    """Begin a new answer after a tool, and read whether it was called."""
    id_ = text_of(event.get("tool_id"))
    if not id_:
        return None
    error = text_of(object_of(event.get("error")).get("type"))
    is_answered = error in ("", ERROR_OF_SERVER)
    end = CallEnd.ANSWERED if is_answered else CallEnd.REFUSED
    return replace(so_far.ending(id_, end), text="", failed=False)


def _message(event: Object) -> str:
    return text_of(object_of(event.get("error")).get("message"))


READERS: Mapping[str, EventReader] = {
    "result": _of_result,
    "message": _of_message,
    "tool_use": _of_tool,
    "tool_result": _after_tool,
}
