"""The tools of a role for an agent's program, and one call of a tool.

A call works like a command: it has its own connection, makes one call of the library,
and returns the document that `--json` prints.
"""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from taskorch.config.settings import Settings
from taskorch.connections import open_connection, unanswered_requests
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.queue.fields import Damage
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.requests import Requests

logger = logging.getLogger(__name__)


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


class ToolArguments(BaseModel):
    """The arguments of a tool, as fields.

    The docstring of a subclass is the description of the tool, which agents read.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    read_only: ClassVar[bool] = False
    #: Whether a call may discard work: its program asks a person first.
    destroys: ClassVar[bool] = False
    #: Whether a second call with the same arguments changes nothing more.
    idempotent: ClassVar[bool] = False
    #: What the tool may do if the bundled server does not run.
    access: ClassVar[Access] = Access.USE
    #: Whether every result contains text that other agents wrote.
    quotes_others: ClassVar[bool] = False

    @abstractmethod
    def perform(self, call: "ToolCall") -> ToolResult:
        """Perform the call. Raises errors.TaskOrchestratorError."""

    @classmethod
    def parse(cls, arguments: Mapping[str, object]) -> Self:
        """Return the arguments of a call. Raises errors.Usage if they are not valid."""
        try:
            return cls.model_validate(arguments)
        except ValidationError as error:
            mistakes = [
                _mistake(cls, mistake)
                for mistake in error.errors(include_url=False)
            ]
            raise errors.Usage(reason=" ".join(mistakes)) from None


class ToolCall:
    """One call of a tool, with its connection."""

    def __init__(self, settings: Settings, access: Access, words: str) -> None:
        """Open the connection of a call; `words` are the tool and its arguments.

        A call with the same words repeats a request that Redis left unanswered. With
        "", it repeats none.
        """
        self.settings = settings
        self._opened = open_connection(settings, logger.warning, access)
        self.connection = StoppableConnection(self._opened)
        self.requests = Requests(store=unanswered_requests(settings, words))
        #: Kind and id of a damaged row that the result lacks -> the reason.
        self.damage: Damage = {}
        #: Whether the thread of the call has ended.
        self.is_over = False
        #: Gives back what the call claimed, if the client cancels the call.
        self.undo: Callable[[], None] | None = None

    def cancel(self) -> None:
        """End a wait, and make no further step: each raises CallCancelled."""
        self.connection.is_cancelled = True
        self.close()

    def end_waits(self) -> None:
        """End a wait with errors.InputClosed; other steps continue.

        A wait that is about to start may miss it: call this again until the call is
        over.
        """
        self.connection.refuses_waits = True
        if self.connection.is_waiting:
            self.close()

    def close(self) -> None:
        """Close the connection."""
        self._opened.close()

    def new_call(self) -> "ToolCall":
        """Return another call, to give back what this one claimed."""
        return ToolCall(self.settings, Access.USE, "")


class CallCancelled(Exception):
    """The client cancelled its call."""


class StoppableConnection(ConnectionWrapper):
    """The connection of a call that can be cancelled while another thread uses it.

    A call that took a wake token still claims the item: otherwise the item is ready and
    the other waiters sleep on.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        #: Whether every step raises CallCancelled.
        self.is_cancelled = False
        #: Whether every wait raises errors.InputClosed.
        self.refuses_waits = False
        self.is_waiting = False
        self._has_token = False

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script, unless the call is cancelled."""
        if not self._has_token:
            self._check()
        self._has_token = False
        return super().run_script(script, key, arguments)

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token, unless the call is cancelled."""
        self._has_token = self._wait(
            lambda: self.connection.wait_for_wake(key, timeout_s)
        )
        return self._has_token

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Wait for an entry of a stream, unless the call is cancelled."""
        return self._wait(
            lambda: self.connection.wait_for_entry(key, cursor, timeout_s)
        )

    def _wait(self, wait: Callable[[], bool]) -> bool:
        self.is_waiting = True
        try:
            self._check_wait()
            found = wait()
        except errors.Unavailable:
            self._check_wait()  # cancelling a wait closes its connection
            raise
        finally:
            self.is_waiting = False
        if not found:
            self._check_wait()
        return found

    def _check_wait(self) -> None:
        self._check()
        if self.refuses_waits:
            raise errors.InputClosed

    def _check(self) -> None:
        if self.is_cancelled:
            raise CallCancelled


def description(tool: type[ToolArguments]) -> str:
    """Return the description of a tool, on one line."""
    return " ".join((tool.__doc__ or "").split())


def schema(tool: type[ToolArguments]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments, as short as agents need it."""
    whole = tool.model_json_schema()
    fields = {
        name: _without_noise(field)
        for name, field in whole["properties"].items()
    }
    shown = {"type": "object", "properties": fields}
    if "required" in whole:
        shown["required"] = whole["required"]
    return shown


def seconds(value: float, argument: str) -> float:
    """Return a timeout in seconds. Raises errors.Invalid if it is too long."""
    what = f"{argument} in seconds"
    return limits.number(cast("int", value), what, 0, limits.LONGEST_WAIT_S)


def _without_noise(field: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of a field without its title and an empty default."""
    return {
        key: value
        for key, value in field.items()
        if key != "title" and (key != "default" or value)
    }


def _mistake(tool: type[ToolArguments], mistake: Any) -> str:  # noqa: ANN401  pydantic's own dictionary
    name = ".".join(str(step) for step in mistake["loc"])
    if mistake["type"] == "missing":
        return f"The argument {name} is missing."
    if mistake["type"] == "extra_forbidden":
        known = ", ".join(tool.model_fields)
        return f"There is no argument {limits.shortened(name)}; there are {known}."
    return f"{name}: {mistake['msg']}."
