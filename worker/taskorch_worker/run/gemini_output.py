"""The output of Gemini CLI: gemini --output-format json (one object) or stream-json."""

from collections.abc import Iterator

from taskorch_worker.run import program_usage
from taskorch_worker.run.program_result import (
    CallEnd,
    Object,
    OutputReading,
    Program,
    ProgramResult,
    QueueCall,
    object_of,
    shell_call,
    text_of,
    tool_call,
)

SHELL = "run_shell_command"
#: How a call with an error of this type ended. Every other error is a refusal.
ENDS = {
    "": CallEnd.ANSWERED,
    "mcp_tool_error": CallEnd.ANSWERED,
    "invalid_tool_params": CallEnd.FAILED,
}
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
    calls = _calls(object_of(document.get("stats")))
    return ProgramResult(
        text=error or response,
        failed=bool(error),
        calls=tuple(filter(None, calls)),
        usage=program_usage.of_gemini(object_of(document.get("stats"))),
    )


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


def _of_result(event: Object, reading: OutputReading) -> bool:
    """Read the last event. Without statistics, it is of some other program."""
    status = event.get("status")
    has_stats = isinstance(event.get("stats"), dict)
    if not has_stats or status not in ("success", "error"):
        return False
    reading.text = _message(event) or reading.text
    reading.failed = status == "error"
    reading.usage = program_usage.of_gemini(object_of(event.get("stats")))
    return True


def _of_message(event: Object, reading: OutputReading) -> bool:
    """Read a message or a piece of one; a message of the user begins a new answer."""
    content = text_of(event.get("content"))
    if event.get("role") != "assistant":
        if not content:
            return False
        content = ""
    elif event.get("delta") is True:
        content = reading.text + content
    reading.text = content
    reading.failed = False
    return True


def _of_tool(event: Object, reading: OutputReading) -> bool:
    """Read a call of a tool."""
    id_, tool = text_of(event.get("tool_id")), text_of(event.get("tool_name"))
    if not (id_ and tool):
        return False
    script = text_of(object_of(event.get("parameters")).get("command"))
    call = shell_call(id_, script) if tool == SHELL else tool_call(id_, tool)
    reading.call(call)
    return True


def _after_tool(event: Object, reading: OutputReading) -> bool:
    """Begin a new answer after a tool, and read whether it was called."""
    id_ = text_of(event.get("tool_id"))
    if not id_:
        return False
    error = text_of(object_of(event.get("error")).get("type"))
    reading.end(id_, ENDS.get(error, CallEnd.REFUSED))
    reading.text = ""
    reading.failed = False
    return True


def _message(event: Object) -> str:
    return text_of(object_of(event.get("error")).get("message"))


PROGRAM = Program(
    opening="init",
    opening_id="session_id",
    readers={
        "result": _of_result,
        "message": _of_message,
        "tool_use": _of_tool,
        "tool_result": _after_tool,
    },
)
