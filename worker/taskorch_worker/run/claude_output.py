"""The output of Claude Code and Qwen Code: --output-format json, or stream-json.

The last event has the result, and the calls of tools that were not permitted. The
events before it are printed by stream-json, and by --verbose.
"""

from taskorch_worker.run import program_usage
from taskorch_worker.run.program_result import (
    CallEnd,
    Object,
    OutputReading,
    Program,
    QueueCall,
    object_of,
    objects_of,
    shell_call,
    text_of,
    tool_call,
)

#: The tools that run a command in a shell, of both programs.
SHELLS = ("Bash", "run_shell_command")
#: The beginning of a result with which Qwen Code reports an error as a success.
API_ERROR = "[API Error: "
#: The beginning of the result of a tool that was not called, such as an unknown one.
TOOL_ERROR = "<tool_use_error>"
WRONG_ARGUMENTS = f"{TOOL_ERROR}InputValidationError"


def _of_result(event: Object, reading: OutputReading) -> bool:
    """Read the last event."""
    is_error = event.get("is_error")
    if not isinstance(is_error, bool) or not _has_session(event):
        return False
    subtype = text_of(event.get("subtype"))
    is_failure = is_error or subtype.startswith("error")
    errors = event.get("errors")
    reasons = (
        [text_of(each) for each in errors] if isinstance(errors, list) else []
    )
    text = text_of(event.get("result")) or "\n".join(filter(None, reasons))
    failed = is_failure or text.startswith(API_ERROR)
    refused = [
        _call(each, "tool_use_id", "tool_name", "tool_input")
        for each in objects_of(event.get("permission_denials"))
    ]
    reading.call(*refused)
    for call in filter(None, refused):
        reading.end(call.id, CallEnd.REFUSED)
    reading.text = text or (subtype if failed else "")
    reading.failed = failed
    reading.usage = program_usage.of_claude(event)
    return True


def _of_message(event: Object, reading: OutputReading) -> bool:
    """Read a message of the model: its text, and its calls of tools."""
    content = object_of(event.get("message")).get("content")
    if not isinstance(content, list) or not _has_session(event):
        return False
    parts = objects_of(content)
    texts = [
        text_of(part.get("text"))
        for part in parts
        if part.get("type") == "text"
    ]
    calls = [
        _call(part, "id", "name", "input")
        for part in parts
        if part.get("type") == "tool_use"
    ]
    reading.call(*calls)
    reading.text = "\n".join(texts) or reading.text
    reading.failed = False
    return True


def _of_tool_results(event: Object, reading: OutputReading) -> bool:
    """Read the results of tools. Those of calls without permission are named last."""
    content = object_of(event.get("message")).get("content")
    if not isinstance(content, list) or not _has_session(event):
        return False
    for part in objects_of(content):
        end = _end(text_of(part.get("content")))
        reading.end(text_of(part.get("tool_use_id")), end)
    return True


def _end(answer: str) -> CallEnd:
    """Return how the call with this result of the tool ended."""
    if answer.startswith(WRONG_ARGUMENTS):
        return CallEnd.FAILED
    if answer.startswith(TOOL_ERROR):
        return CallEnd.REFUSED
    return CallEnd.ANSWERED


def _call(event: Object, id_: str, name: str, input_: str) -> QueueCall | None:
    """Return the call of the queue that an event has under these names, or None."""
    call_id, tool = text_of(event.get(id_)), text_of(event.get(name))
    script = text_of(object_of(event.get(input_)).get("command"))
    if tool in SHELLS:
        return shell_call(call_id, script)
    return tool_call(call_id, tool)


def _has_session(event: Object) -> bool:
    return bool(text_of(event.get("session_id")))


PROGRAM = Program(
    opening="system",
    opening_id="session_id",
    readers={
        "result": _of_result,
        "assistant": _of_message,
        "user": _of_tool_results,
    },
)
