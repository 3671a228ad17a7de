"""A call of a tool in its own thread: its progress, its answer, its cancellation."""

import json
import os
from collections.abc import Mapping
from enum import Enum
from threading import Event, Lock, Semaphore, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.mcp import answers, messages
from taskorch.mcp.background import Background
from taskorch.mcp.messages import Message, ProtocolError
from taskorch.mcp.protocol import ClientSession, takes_tasks
from taskorch.mcp.tool import performed
from taskorch.mcp.tool_set import Requested
from taskorch.mcp.tool_texts import Tools

if TYPE_CHECKING:
    from taskorch.mcp.call import LocalCall

#: When the client is first notified that a call continues, and how often after that.
FIRST_PROGRESS_S, PROGRESS_S = 1.0, 10.0
#: A cancellation within this time may have crossed the result; a later one is ignored.
CROSSED_S = 2.0
#: How often a wait that is about to start is ended again.
TRY_AGAIN_S = 0.05
#: Codex's id of its session in the `_meta` of a call. Its shell has it, too.
SESSION_ID = "threadId"


class Sender(Protocol):
    """Where a call writes its messages."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message."""


class CallContext(Frozen):
    """What the calls of a server share."""

    role: str
    settings: Settings
    #: The tools in place of commands, in hints.
    commands: Tools
    session: ClientSession
    output: Sender
    #: A call takes one while it runs.
    slots: Semaphore
    background: Background[Any]


class _State(Enum):
    RUNNING = "running"
    #: Its result was sent. It can still be undone.
    ANSWERED = "answered"
    #: It is being ended and undone.
    CANCELLED = "cancelled"
    #: It was cancelled, and nothing of it is left to do.
    OVER = "over"


class RunningCall:
    """A call of a tool that a client has requested."""

    def __init__(
        self,
        request: Message,
        requested: Requested,
        context: CallContext,
    ) -> None:
        self._request = request
        self._tool, self._arguments = requested
        self._context = context
        self._state = _State.RUNNING
        self._answered_at = 0.0
        #: Held while the state changes, and while the result is sent.
        self._lock = Lock()
        #: Set when the thread of the call has ended.
        self._ended = Event()
        self._call: LocalCall | None = None

    def has_id(self, id_: object) -> bool:
        """Return whether this is the call of a request: 1 and "1" are two ids."""
        return messages.is_id(id_) and id_ == self._request.id

    @property
    def is_running(self) -> bool:
        """Whether the client still waits for the result."""
        with self._lock:
            return self._state is _State.RUNNING

    @property
    def is_done(self) -> bool:
        """Whether it was answered, or cancelled and undone."""
        with self._lock:
            return self._state in (_State.ANSWERED, _State.OVER)

    def start(self) -> None:
        """Perform the call in a thread of its own."""
        Thread(target=self._run, daemon=True).start()
        if messages.is_id(self._request.meta.get("progressToken")):
            Thread(target=self._report_progress, daemon=True).start()

    def cancel(self) -> None:
        """End the call unanswered, and give back what it has claimed.

        A call whose result may have crossed its cancellation is undone, too.
        """
        with self._lock:
            crossed = (
                self._state is _State.ANSWERED
                and monotonic() - self._answered_at < CROSSED_S
            )
            if self._state is not _State.RUNNING and not crossed:
                return
            self._state = _State.CANCELLED
        Thread(target=self._undo, daemon=True).start()

    def end_waits(self) -> None:
        """End a wait of the call with an error; other steps continue."""
        if self._call:
            self._call.end_waits()

    def refuse(self, error: ProtocolError) -> None:
        """Answer the call with an error, unless it was answered."""
        self._answer(messages.refusal(self._request.id, error))

    def _run(self) -> None:
        id_ = self._request.id
        try:
            with self._context.slots:
                content = self._perform()
        except ProtocolError as error:
            answer = messages.refusal(id_, error)
        else:
            result = self._context.session.completed(content)
            answer = messages.result(id_, result)
        self._ended.set()
        self._answer(answer)

    def _answer(self, message: Mapping[str, Any]) -> None:
        with self._lock:
            if self._state is _State.RUNNING:
                self._context.output.send(message)
                self._state = _State.ANSWERED
                self._answered_at = monotonic()

    def _undo(self) -> None:
        """End the call, and undo it when its thread has ended."""
        while not self._ended.wait(TRY_AGAIN_S):
            if self._call:
                self._call.cancel()
        try:
            if self._call and self._call.undo:
                self._call.undo()
        except Exception as error:  # noqa: BLE001  it is logged
            _log("A cancelled call could not be undone", error)
        with self._lock:
            self._state = _State.OVER

    def _report_progress(self) -> None:
        """Notify the client that the call continues, as long as it does."""
        began, pause_s = monotonic(), FIRST_PROGRESS_S
        while not self._ended.wait(pause_s):
            passed_s = monotonic() - began
            notice = messages.progress(
                self._request.meta["progressToken"], passed_s
            )
            with self._lock:  # after its result, the client knows no such call
                if self._state is not _State.RUNNING:
                    return
                self._context.output.send(notice)
            pause_s = PROGRESS_S

    def _perform(self) -> dict[str, Any]:
        """Perform the call, and return its result or its error.

        Raises ProtocolError for a method that fails, which has no result then.
        """
        from taskorch.mcp.call import CallCancelled, LocalCall

        commands = self._context.commands
        try:
            arguments = self._tool.parse(self._arguments)
            self._call = LocalCall(
                self._context.settings,
                self._tool.access,
                self._words(),
                self._program_session(),
            )
            self._call.takes_tasks = takes_tasks(self._request)
            self._call.background = self._context.background
            result = performed(arguments, self._call)
            return answers.of_result(
                result, self._tool, commands, self._call.damage
            )
        except errors.TaskOrchestratorError as error:
            refusal = error
        except ProtocolError:
            raise
        except CallCancelled as error:
            refusal = answers.unexpected(error)
        except Exception as error:  # noqa: BLE001  it is logged
            _log("A tool failed", error)
            refusal = answers.unexpected(error)
        finally:
            if self._call:
                self._call.close()
        return answers.of_error(refusal, self._tool, commands)

    def _program_session(self) -> str:
        """Return the client's id of its session, "" if it sends none."""
        id_ = self._request.meta.get(SESSION_ID)
        return id_ if isinstance(id_, str) else ""

    def _words(self) -> str:
        """Return the same text for the same call: a repeat acts once."""
        arguments = json.dumps(self._arguments, sort_keys=True)
        return f"{self._context.role} mcp {self._tool.name} {arguments}"


def _log(what: str, error: Exception) -> None:
    # slow to import, and most servers log nothing
    from logging import getLogger

    traceback = error if os.environ.get("TASKORCH_DEBUG") else None
    getLogger(__name__).error("%s: %r", what, error, exc_info=traceback)
