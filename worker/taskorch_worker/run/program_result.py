"""The result that an agent program reports, and the calls of the queue in its output."""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.usage import NONE, ModelUsage

#: A JSON object.
Object = Mapping[str, object]

#: The name of our server in the files of `orchestrate setup`. Each program makes the
#: name of a tool from it, such as `mcp__task-orchestrator__report`.
SERVER = "task-orchestrator"
#: `worker` and one of its commands, where a shell command can begin. The limits keep the
#: search in a long script short.
COMMAND = re.compile(
    r"(?:^|[\s;&|(/'\"`])(?:tm_)?worker(?:\.py)?(?: -\S{1,200}){0,9} "
    r"(?:check|pop|get|progress|notes|discover|discoveries|blocker|comment|wait"
    r"|complete|ack|fail|release|renew|reviews|accept|send-back|prime|whoami|logs)\b"
)
CALL_LENGTH = 80


class CallEnd(Enum):
    """How a call of the queue ended."""

    #: The program did not permit it, or did not know the tool.
    REFUSED = "refused"
    #: The queue has answered, if only with an error.
    ANSWERED = "answered"
    #: It failed in the program, such as a call with wrong arguments.
    FAILED = "failed"
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
    #: What it has used, as far as the output shows it.
    usage: ModelUsage = NONE

    @property
    def refused(self) -> Sequence[str]:
        """Return the names of the refused calls if the queue has answered no call."""
        if any(call.end is CallEnd.ANSWERED for call in self.calls):
            return []
        refused = [
            call.name for call in self.calls if call.end is CallEnd.REFUSED
        ]
        return list(dict.fromkeys(refused))


class OutputReading:
    """The result of the events that were read so far.

    It changes with each event: a copy of all calls for each would take seconds.
    """

    def __init__(self) -> None:
        """Begin with no event."""
        self.text = ""
        self.failed = False
        self.usage = NONE
        self._calls: dict[str, QueueCall] = {}

    def call(self, *calls: QueueCall | None) -> None:
        """Add calls; None is not a call of the queue."""
        self._calls |= {call.id: call for call in calls if call}

    def end(self, id: str, end: CallEnd) -> None:  # noqa: A002  as in QueueCall
        """Note the end of a call, if that is one of the queue."""
        call = self._calls.get(id)
        if call:
            self._calls[id] = replace(call, end=end)

    def result(self) -> ProgramResult:
        """Return the result of all events."""
        calls = tuple(self._calls.values())
        return ProgramResult(
            text=self.text, failed=self.failed, calls=calls, usage=self.usage
        )


#: Reads an event of a stream. It returns False for an event of an unknown program, which
#: changes nothing.
EventReader = Callable[[Object, OutputReading], bool]


class Program(Frozen):
    """The events of a program."""

    #: The type of the first event of a stream, and the id that it has.
    opening: str
    opening_id: str
    #: By the type of an event.
    readers: Mapping[str, EventReader]

    def opens(self, event: Object) -> bool:
        """Return whether this is the first event of a stream of the program."""
        has_id = bool(text_of(event.get(self.opening_id)))
        return has_id and event.get("type") == self.opening


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
