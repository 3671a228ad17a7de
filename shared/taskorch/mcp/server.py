"""The MCP server of one role, on standard input and output.

Each call has its own thread and its own connection: calls never wait for each other,
and an outage ends with the calls that met it. One thread reads the messages of the
client; until the first call, it loads little more than a short command does.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from select import select
from threading import Lock, Semaphore, Timer
from time import monotonic, sleep
from typing import Any

from taskorch.config.settings import Settings
from taskorch.mcp import messages
from taskorch.mcp.background import Background
from taskorch.mcp.messages import Message, ProtocolError
from taskorch.mcp.protocol import ClientSession
from taskorch.mcp.running_call import CallContext, RunningCall
from taskorch.mcp.tool_set import ToolSet

#: Maximum number of concurrent calls. More wait for one of these to end.
MOST_CALLS = 100
#: How often the end looks for calls that still run.
LOOK_S = 0.02
#: How long calls may continue when the server stops.
LAST_CALLS_S = 3.0
#: How long calls may continue when standard input is closed. Waits end immediately.
LAST_ANSWERS_S = 5.0
PIECE_BYTES = 65536


def serve(tool_set: ToolSet, settings: Settings) -> None:
    """Serve the tools of a role until standard input ends, SIGTERM or Ctrl-C."""
    if sys.stdin and sys.stdout:  # otherwise there is no client
        RoleServer(tool_set, settings).run()


class RoleServer:
    """The server of one role."""

    def __init__(self, tool_set: ToolSet, settings: Settings) -> None:
        self._tool_set = tool_set
        self._session = ClientSession(tool_set.server())
        self._woken, self._wake = os.pipe()
        self._output = Output(_own_descriptor(), self._stop)
        self._is_stopped = False
        self._context = CallContext(
            role=tool_set.role,
            settings=settings,
            commands=tool_set.commands,
            session=self._session,
            output=self._output,
            slots=Semaphore(MOST_CALLS),
            background=Background(),
        )
        #: The calls that run, and those that were answered since the last one began.
        self._calls: list[RunningCall] = []

    def run(self) -> None:
        """Serve until the end."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop_at_signal)
        for line in self._lines():
            self._receive(line)
        if not self._is_stopped:
            self._finish()
        self._end_calls()

    def _stop_at_signal(self, number: int, _: object) -> None:
        """Stop at the first signal. A second one kills the process."""
        signal.signal(number, signal.SIG_DFL)
        # even if this thread blocks, because the client reads nothing
        timer = Timer(LAST_CALLS_S, os._exit, [0])
        timer.daemon = True
        timer.start()
        self._stop()

    def _stop(self) -> None:
        if not self._is_stopped:
            self._is_stopped = True
            os.write(self._wake, b"!")

    def _lines(self) -> Iterator[str]:
        """Yield the lines of standard input, and a last one without a newline."""
        pieces: list[bytes] = []
        while not self._is_stopped:
            readable, _, _ = select([0, self._woken], [], [])
            if self._woken in readable:
                return
            try:
                piece = os.read(0, PIECE_BYTES)
            except (
                OSError
            ):  # it is open for writing only, or its terminal is gone
                return
            *ends, rest = piece.split(b"\n") if piece else (b"", b"")
            for end in ends:
                line = b"".join([*pieces, end]).decode(errors="replace")
                if line.strip():
                    yield line
                pieces.clear()
            if not piece:
                return
            pieces.append(rest)

    def _receive(self, line: str) -> None:
        """Act on a message, and answer it unless a call does.

        A line that is not a message is answered with an error: its sender would wait
        forever otherwise.
        """
        try:
            message = messages.read(line)
        except ProtocolError as error:
            self._output.send(messages.refusal(error.id, error))
            return
        if message is None:
            return
        if message.id is None:
            if message.method == "notifications/cancelled":
                self._cancel(message.params.get("requestId"))
            return
        try:
            result = self._session.answer(message)
            if result is None:
                self._call(message)
                return
        except ProtocolError as error:
            self._output.send(messages.refusal(message.id, error))
        else:
            self._output.send(messages.result(message.id, result))

    def _call(self, request: Message) -> None:
        """Start a call of a tool. Raises ProtocolError if there is no such tool."""
        requested = self._tool_set.requested(request)
        # the client has read the results of the earlier calls
        self._calls = [call for call in self._calls if not call.is_done]
        call = RunningCall(request, requested, self._context)
        self._calls.append(call)
        call.start()

    def _cancel(self, id_: object) -> None:
        for call in self._calls:
            if call.has_id(id_):
                call.cancel()

    def _finish(self) -> None:
        """Answer every request: end the waits, and let other calls finish."""
        deadline = monotonic() + LAST_ANSWERS_S
        while waiting := [call for call in self._calls if call.is_running]:
            if self._is_stopped or monotonic() > deadline:
                break
            for call in waiting:
                call.end_waits()
            sleep(LOOK_S)
        reason = f"Redis has not answered within {LAST_ANSWERS_S:.0f} s after standard input was closed."
        for call in waiting:
            call.refuse(ProtocolError(messages.INTERNAL_ERROR, reason))

    def _end_calls(self) -> None:
        """Cancel the calls that still run, and let them give back what they claimed."""
        for call in self._calls:
            if call.is_running:
                call.cancel()
        deadline = monotonic() + LAST_CALLS_S
        while monotonic() < deadline and not all(
            call.is_done for call in self._calls
        ):
            sleep(LOOK_S)


class Output:
    """The messages on standard output, each as a line. Threads share it."""

    def __init__(self, descriptor: int, stop: Callable[[], None]) -> None:
        """`stop` is called if the client is gone."""
        self._descriptor = descriptor
        self._stop = stop
        self._lock = Lock()

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a message."""
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        rest = f"{text}\n".encode(errors="replace")
        with self._lock:
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # the client has made the pipe so
                    select([], [self._descriptor], [])
                except OSError:
                    self._stop()
                    return


def _own_descriptor() -> int:
    """Return a descriptor of standard output that nothing else in the process uses.

    What is printed by mistake, or by the bundled server, goes to stderr.
    """
    descriptor = os.dup(1)
    try:
        os.dup2(2, 1)
    except OSError:  # there is no stderr
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    return descriptor
