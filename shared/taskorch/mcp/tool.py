"""A tool of a role as an agent's program has it, and one call of it.

A call is what a command is: a connection of its own, one library call, and the document that `--json` prints.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from taskorch.config.settings import Settings
from taskorch.connect import open_connection, unanswered_requests
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.queue.fields import Damage
from taskorch.queue.port import Argument, Connection, ConnectionWrapper, Reply, Script
from taskorch.queue.requests import Requests

logger = logging.getLogger(__name__)


class ToolResult:
    """What a tool returns: the data and the meta of the document."""

    def __init__(self, data: object, **meta: object) -> None:
        self.data = data
        self.meta = meta


class ToolArguments(BaseModel):
    """The arguments of a tool: its fields. The docstring of a subclass describes the tool to agents."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    read_only: ClassVar[bool] = False
    #: What it may do where the bundled server does not run.
    access: ClassVar[Access] = Access.USE
    #: Whether its result contains text that other agents wrote.
    quotes_others: ClassVar[bool] = False

    @abstractmethod
    def perform(self, call: "ToolCall") -> ToolResult:
        """Make the call; raises errors.TaskOrchestratorError."""

    @classmethod
    def parse(cls, arguments: Mapping[str, object]) -> Self:
        """Return the tool with its arguments; errors.Usage for what they cannot be."""
        try:
            return cls.model_validate(arguments)
        except ValidationError as error:
            mistakes = [_mistake(cls, each) for each in error.errors(include_url=False)]
            raise errors.Usage(reason=" ".join(mistakes)) from None


class ToolCall:
    """One call of a tool: who makes it, its connection, and what takes it back."""

    def __init__(self, settings: Settings, access: Access, words: str) -> None:
        """`words` are the tool and its arguments: the same again repeats a request that Redis left unanswered."""
        self.settings = settings
        self._opened = open_connection(settings, logger.warning, access)
        self._ended = False
        self.connection = StoppableConnection(self._opened, self._is_ended)
        self.requests = Requests(store=unanswered_requests(settings, words))
        #: The damaged rows that its result lacks, by kind and id: why.
        self.damage: Damage = {}
        #: Whether its thread has ended.
        self.over = False
        #: Gives back what the call has taken, if it took something: for a client that takes the call back.
        self.undo: Callable[[], None] | None = None

    def end(self) -> None:
        """Break off a wait, and call nothing any more."""
        self._ended = True
        self.close()

    def end_waits(self) -> None:
        """Break off a wait with errors.InputClosed; other steps go on. A wait that is just beginning needs a repeat."""
        self.connection.waits_no_more = True
        if self.connection.is_waiting:
            self.close()

    def close(self) -> None:
        """Give the sockets back."""
        self._opened.close()

    def again(self) -> "ToolCall":
        """Return another call in the same name, to give back what this one took."""
        return ToolCall(self.settings, Access.USE, "")

    def _is_ended(self) -> bool:
        return self._ended


class CallCancelled(Exception):
    """The client has taken its call back."""


class StoppableConnection(ConnectionWrapper):
    """A connection that does nothing more once its call has ended: CallCancelled; or waits no more: errors.InputClosed.

    But who has taken a wake token looks: else another waiter would sleep on, beside an item that is ready.
    """

    def __init__(self, connection: Connection, is_ended: Callable[[], bool]) -> None:
        super().__init__(connection)
        self._is_ended = is_ended
        self._has_token = False
        self.is_waiting = self.waits_no_more = False

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script."""
        if not self._has_token:
            self._check()
        self._has_token = False
        return super().run_script(script, key, arguments)

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token."""
        self._has_token = self._waiting(
            lambda: self.connection.wait_for_wake(key, timeout_s)
        )
        return self._has_token

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream."""
        return self._waiting(
            lambda: self.connection.wait_for_entry(key, cursor, timeout_s)
        )

    def _waiting(self, wait: Callable[[], bool]) -> bool:
        self.is_waiting = True
        try:
            self._check_wait()
            came = wait()
        except errors.Unavailable:
            self._check_wait()  # it was broken off, which looks like an outage
            raise
        finally:
            self.is_waiting = False
        if not came:
            self._check_wait()
        return came

    def _check_wait(self) -> None:
        self._check()
        if self.waits_no_more:
            raise errors.InputClosed

    def _check(self) -> None:
        if self._is_ended():
            raise CallCancelled


def description(tool: type[ToolArguments]) -> str:
    """Return what a tool does, in a line."""
    return " ".join((tool.__doc__ or "").split())


def schema(tool: type[ToolArguments]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments: no word more than it takes to use it."""
    whole = tool.model_json_schema()
    fields = {name: _bare(field) for name, field in whole["properties"].items()}
    required = {"required": whole["required"]} if "required" in whole else {}
    return {"type": "object", "properties": fields, **required}


def seconds(value: float, what: str) -> float:
    """Return how long a call may wait, within the patience of an agent's program."""
    return limits.number(
        cast("int", value), f"{what} in seconds", 0, limits.LONGEST_WAIT_S
    )


def _bare(field: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in field.items()
        if key != "title" and (key != "default" or value)
    }


def _mistake(tool: type[ToolArguments], mistake: Any) -> str:  # noqa: ANN401  pydantic's own dictionary
    name = ".".join(map(str, mistake["loc"]))
    if mistake["type"] == "missing":
        return f"The argument {name} is missing."
    if mistake["type"] == "extra_forbidden":
        return f"There is no argument {limits.shortened(name)}; there are {', '.join(tool.model_fields)}."
    return f"{name}: {mistake['msg']}."
