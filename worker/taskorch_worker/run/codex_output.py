"""The output of codex exec --json: lines, with items and the end of each turn.

An item is a message of the model, a call of a tool, or a command in the shell.
"""

import re
import shlex

from taskorch.domain import errors

from taskorch_worker.run import program_usage
from taskorch_worker.run.program_result import (
    CallEnd,
    Object,
    OutputReading,
    Program,
    QueueCall,
    object_of,
    shell_call,
    text_of,
    tool_call,
)

#: In the error of a tool that no person could approve, or that was not called.
NOT_APPROVED = re.compile("approv|cancelled|denied", re.IGNORECASE)
#: What `worker` prints in a sandbox that forbids sockets, and a shell without `worker`.
SANDBOXED = errors.NotPermitted.message.partition("{")[0]
NOT_FOUND = re.compile(r"worker: (?:command )?not found|worker: No such file")


def _of_item(event: Object, reading: OutputReading) -> bool:
    item = object_of(event.get("item"))
    if not text_of(item.get("id")):
        return False
    reading.call(_call(item))
    if item.get("type") == "agent_message":
        reading.text = text_of(item.get("text")) or reading.text
    reading.failed = False
    return True


def _call(item: Object) -> QueueCall | None:
    """Return the call of the queue that an item is, or None."""
    id_ = text_of(item.get("id"))
    match item.get("type"):
        case "mcp_tool_call":
            server, tool = (
                text_of(item.get("server")),
                text_of(item.get("tool")),
            )
            return tool_call(id_, f"{server}.{tool}", _end_of_tool(item))
        case "command_execution":
            script = _script(text_of(item.get("command")))
            return shell_call(id_, script, _end_of_command(item))
    return None


def _end_of_tool(item: Object) -> CallEnd:
    if item.get("result") is not None:
        return CallEnd.ANSWERED
    error = text_of(object_of(item.get("error")).get("message"))
    return CallEnd.REFUSED if NOT_APPROVED.search(error) else CallEnd.FAILED


def _end_of_command(item: Object) -> CallEnd:
    """Return how a command with `worker` ended: Codex, or its sandbox, may refuse it."""
    output = text_of(item.get("aggregated_output"))
    is_refused = item.get("status") == "declined" or SANDBOXED in output
    if is_refused or NOT_FOUND.search(output):
        return CallEnd.REFUSED
    return CallEnd.ANSWERED


def _script(command: str) -> str:
    """Return the script of a shell, such as that in `/bin/bash -lc 'worker check'`."""
    try:
        words = shlex.split(command)
    except ValueError:
        return command
    is_shell = len(words) == 3 and words[1] in ("-c", "-lc")  # noqa: PLR2004
    return words[2] if is_shell else command


def _of_completed_turn(event: Object, reading: OutputReading) -> bool:
    reading.failed = False
    reading.usage = program_usage.of_codex(event)
    return True


def _of_failed_turn(event: Object, reading: OutputReading) -> bool:
    error = text_of(object_of(event.get("error")).get("message"))
    reading.text = error or reading.text
    reading.failed = True
    return True


PROGRAM = Program(
    opening="thread.started",
    opening_id="thread_id",
    readers={
        "item.completed": _of_item,
        "turn.completed": _of_completed_turn,
        "turn.failed": _of_failed_turn,
    },
)
