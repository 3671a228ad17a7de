"""The tools of a role for an agent's program: names, descriptions, arguments.

It is loaded before the first answer to a client, so it imports nothing heavy.
"""

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.frozen import Frozen, replace
from taskorch.mcp.arguments import Kind, kind_of

if TYPE_CHECKING:
    from taskorch.mcp.call import ToolCall


#: The description of the argument of a wait.
SECONDS = f"Seconds, 0 to {limits.LONGEST_WAIT_S}. Many programs end a call after 120"


class ToolResult:
    """The result of a tool: the data and the meta of its document."""

    #: Whether the data contains text that other agents wrote.
    quotes_others = False

    def __init__(self, data: object, **meta: object) -> None:
        self.data = data
        self.meta = meta


class QuotingResult(ToolResult):
    """A result with text of others, of a tool that does not always quote them."""

    quotes_others = True


class ProtocolResult(ToolResult):
    """A result in the words of the protocol, such as a task."""

    def __init__(self, content: Mapping[str, object]) -> None:
        super().__init__(None)
        self.content = content


class Continued(ToolResult):
    """The result of a first step: the rest is a call of another tool."""

    def __init__(self, rest: "ToolArguments") -> None:
        super().__init__(None)
        self.rest = rest


class ToolArguments(Frozen):
    """The arguments of a tool, as fields.

    The docstring of a subclass is the description of the tool, which agents read. What
    a class says about its tool has no annotation: it is no argument.
    """

    name = ""
    read_only = False
    #: Whether a call may discard work: its program asks a person first.
    destroys = False
    #: Whether a second call with the same arguments changes nothing more.
    idempotent = False
    #: What the tool may do if the bundled server does not run.
    access = Access.USE
    #: Whether every result contains text that other agents wrote.
    quotes_others = False
    #: The argument with the seconds of its wait, "" if it never waits.
    waits_for = ""
    #: Whether it is a method of the protocol, such as "tasks/get", which no list has.
    is_method = False

    @abstractmethod
    def perform(self, call: "ToolCall") -> ToolResult:
        """Perform the call. Raises errors.TaskOrchestratorError."""

    def after_wait(self, left_s: float, cursor: str) -> Self:  # noqa: ARG002
        """Return the arguments to go on with when a part of the wait is over.

        `cursor` is that of the stream in which nothing had happened by then.
        """
        return replace(self, **{self.waits_for: left_s})

    @classmethod
    def kinds(cls) -> Mapping[str, Kind]:
        """Return the kinds of the arguments, by name."""
        return {
            name: kind_of(annotation)
            for name, annotation in cls.__annotations__.items()
        }

    @classmethod
    def parse(cls, arguments: Mapping[str, object]) -> Self:
        """Return the arguments of a call. Raises errors.Usage if they are not valid.

        null is the default: some programs name every argument.
        """
        kinds = cls.kinds()
        values, mistakes = {}, []
        for name, value in arguments.items():
            if name not in kinds:
                shown, known = limits.shortened(name), ", ".join(kinds)
                mistakes.append(
                    f"There is no argument {shown}; there are {known}."
                )
            elif value is not None or not hasattr(cls, name):
                try:
                    values[name] = kinds[name].read(name, value)
                except ValueError as error:
                    mistakes.append(f"{error}.")
        mistakes.extend(
            f"The argument {name} is missing."
            for name in kinds
            if name not in arguments and not hasattr(cls, name)
        )
        if mistakes:
            raise errors.Usage(reason=" ".join(mistakes))
        return cls(**values)


def performed(arguments: ToolArguments, call: "ToolCall") -> ToolResult:
    """Perform a call to its end. Raises errors.TaskOrchestratorError."""
    result = arguments.perform(call)
    while isinstance(result, Continued):
        result = result.rest.perform(call)
    return result


def listed(tool: type[ToolArguments]) -> dict[str, Any]:
    """Return a tool as clients list it."""
    return {
        "name": tool.name,
        "description": " ".join((tool.__doc__ or "").split()),
        "inputSchema": _schema(tool),
        "annotations": {
            "readOnlyHint": tool.read_only,
            "destructiveHint": tool.destroys,
            "idempotentHint": tool.read_only or tool.idempotent,
            "openWorldHint": False,
        },
    }


def seconds(value: float, argument: str) -> float:
    """Return a timeout in seconds. Raises errors.Invalid if it is too long."""
    if not 0 <= value <= limits.LONGEST_WAIT_S:
        raise errors.Invalid(
            reason=f"The {argument} in seconds is {value}. It must be 0 to {limits.LONGEST_WAIT_S}."
        )
    return value


def _schema(tool: type[ToolArguments]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, as short as agents need it."""
    properties, required = {}, []
    for name, kind in tool.kinds().items():
        properties[name] = dict(kind.schema)
        if "" in (choices := kind.schema.get("enum", ())):
            # some programs refuse an empty choice: to leave it out is the same
            properties[name]["enum"] = [each for each in choices if each]
        if not hasattr(tool, name):
            required.append(name)
        elif default := getattr(tool, name):
            properties[name]["default"] = default
    schema = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema
