"""The result that an agent program reports, and the calls of the queue in its output."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from taskorch.domain.frozen import Frozen, replace

#: A JSON object.
Object = Mapping[str, object]

#: The name of our server in the files of `orchestrate setup`. Each program makes the
#: name of a tool from it, such as `mcp__task-orchestrator__report`.
SERVER = "task-orchestrator"
#: `worker` and one of its commands, where a shell command can begin. The limits keep the
#: search in a long script short.
COMMAND = re.compile(
    r"(?:^|[\s;&|(/'\"`])(?:tm_)?worker(?:\.py)?(?: -\S{1,200}){0,9} "
    r"(?:check|pop|get|progress|notes|discover|discoveries|blocker|wait"
    r"|complete|ack|fail|release|renew|prime|whoami|logs)\b"
)
CALL_LENGTH = 80


class CallEnd(Enum):
    """How a call of the queue ended."""

    #: The program did not permit it, or did not know the tool.
    REFUSED = "refused"
    #: The queue has answered, if only with an error.
    ANSWERED = "answered"
    UNKNOWN = "unknown"


class QueueCall(Frozen):
    """A call of the queue by the model of an agent program."""

    #: The program's id of the call.
    id: str
    #: The name of the tool, or the beginning of the shell command.
    name: str
    end: CallEnd = CallEnd.UNKNOWN


class ProgramResult(Frozen):
    """The result of an agent program."""

    #: Its last message to the user, or the error.
    text: str = ""
    #: Whether the program says that it has failed.
    failed: bool = False
    #: The calls of the queue, as far as the output shows them.
    calls: tuple[QueueCall, ...] = ()

    @property
    def refused(self) -> Sequence[str]:
        """Return the names of the refused calls if the queue has answered no call."""
        if any(call.end is CallEnd.ANSWERED for call in self.calls):
            return []
        refused = [
            call.name for call in self.calls if call.end is CallEnd.REFUSED
        ]
        return list(dict.fromkeys(refused))

    def calling(self, *calls: QueueCall | None) -> "ProgramResult":
        """Return the result with further calls; None is not a call of the queue."""
        known = {call.id: call for call in self.calls}
        known |= {call.id: call for call in calls if call}
        return replace(self, calls=tuple(known.values()))

    def ending(self, id: str, end: CallEnd) -> "ProgramResult":  # noqa: A002  as in QueueCall
        """Return the result with the end of a call, if that is one of the queue."""
        ended = (
            replace(call, end=end) if call.id == id else call
            for call in self.calls
        )
        return replace(self, calls=tuple(ended))


#: Reads an event of a stream. It gets the result of the events before, and returns that
#: of all, or None for an event of an unknown program.
EventReader = Callable[[Object, ProgramResult], ProgramResult | None]


def tool_call(
    id: str,  # noqa: A002  as in QueueCall
    tool: str,
    end: CallEnd = CallEnd.UNKNOWN,
) -> QueueCall | None:
    """Return the call of a tool of our MCP server; None for any other tool."""
    if SERVER not in tool:
        return None
    return QueueCall(id=id, name=tool, end=end)


def shell_call(
    id: str,  # noqa: A002  as in QueueCall
    script: str,
    end: CallEnd = CallEnd.UNKNOWN,
) -> QueueCall | None:
    """Return the call of `worker` in a shell command; None if there is none."""
    found = COMMAND.search(script)
    if not found:
        return None
    name, _, _ = script[found.start() :].strip().partition("\n")
    return QueueCall(id=id, name=name[:CALL_LENGTH], end=end)


def text_of(value: object) -> str:
    """Return a text, or "" for any other value."""
    return value if isinstance(value, str) else ""


def object_of(value: object) -> Object:
    """Return an object, or an empty one for any other value."""
    return value if isinstance(value, dict) else {}


def objects_of(value: object) -> Sequence[Object]:
    """Return the objects in a list; none for any other value."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]
