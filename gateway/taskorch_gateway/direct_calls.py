"""Runs scripts from the event loop: all calls of a process share one socket, and no thread.

                  ,- replied --> the reply, or the refusal of the script
call --> socket --|
                  '- lost, or refused by the server --> the same request again, in a thread

The connections of the threads know what else to do: they install functions, start the
bundled server, follow a failover, and wait.
"""

import logging
from asyncio import (
    BufferedProtocol,
    Future,
    Semaphore,
    Task,
    TimerHandle,
    Transport,
    create_task,
    get_running_loop,
    shield,
)
from asyncio.transports import BaseTransport
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any, cast

import hiredis
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.queue.port import Argument, Reply, Script, ScriptError, repeated
from taskorch.transport import address, redis_errors
from taskorch.transport.address import ServerAddress
from taskorch.transport.socket import (
    CALL_TIMEOUT_S,
    CHUNK_BYTES,
    Command,
    ServerReply,
    Socket,
    error_line,
    new_reader,
    not_saved,
)

from taskorch_gateway.pool import SIZE, ConnectionPool

#: A socket that was not used for longer is not used again: a firewall may have forgotten
#: it, and a call would wait in vain.
IDLE_S = 60.0
#: How long calls go through threads after the socket was lost, or its server refused one.
REST_S = 1.0

Receive = Callable[[ServerReply], object]
_log = logging.getLogger(__name__)


class DirectCalls:
    """The calls of a process whose Redis is one server without TLS.

    With several servers, TLS, or steps that wait for replicas, each call has a thread.
    """

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        """Connect to nothing yet. Raises errors.Usage for an invalid address."""
        self._pool = pool
        self._address = _address(settings)
        self._socket: SharedSocket | None = None
        self._opening: Task[None] | None = None
        self._rests_until = 0.0
        #: Redis runs what one client has sent in one go, so that is bounded.
        self._turns = Semaphore(SIZE)

    async def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key; see taskorch.queue.port.Connection."""
        words = arguments
        async with self._turns:
            opened = self._usable() or await self._opened()
            if opened:
                try:
                    reply = await opened.run(script, key, words)
                except OSError:
                    self._rest()
                else:
                    line = error_line(reply)
                    if not line:
                        return cast("Reply", reply)
                    if redis_errors.is_of_script(line):
                        raise ScriptError(line)
                    self._rest()
                # a lost call may have run
                words = repeated(script, arguments)
        return await self._pool.run(
            lambda connection: connection.run_script(script, key, words)
        )

    def close(self) -> None:
        """Close the socket; calls that are under way are lost."""
        if self._socket:
            self._socket.close()

    def _usable(self) -> "SharedSocket | None":
        """Return the socket if it is still good."""
        if self._socket and not self._socket.is_usable:
            self.close()
            self._socket = None
        return self._socket

    def _rest(self) -> None:
        """Open another socket for later calls: the server may have changed its role."""
        self._rests_until = monotonic() + REST_S
        self.close()
        self._socket = None

    async def _opened(self) -> "SharedSocket | None":
        """Return the socket, opened for all calls that ask; None if there is none."""
        if self._address is None or monotonic() < self._rests_until:
            return None
        if self._opening is None:
            self._opening = create_task(self._open(self._address))
        await shield(self._opening)
        return self._socket

    async def _open(self, place: ServerAddress) -> None:
        try:
            opened = await self._pool.run(lambda _: _greeted(place))
            _, self._socket = await get_running_loop().create_connection(
                lambda: SharedSocket(confirms=place.is_bundled),
                sock=opened.given_away(),
            )
        except (OSError, errors.TaskOrchestratorError) as error:
            _log.debug("Calls go through threads: %s", error)
            self._rests_until = monotonic() + REST_S
        finally:
            self._opening = None


class SharedSocket(BufferedProtocol):
    """A socket to a server; its replies come in the order of the calls."""

    def __init__(self, *, confirms: bool) -> None:
        """With `confirms`, ask after each change whether it was saved.

        See SocketConnection.run_script.
        """
        self._confirms = confirms
        self._reader = new_reader()
        self._buffer = bytearray(CHUNK_BYTES)
        self._transport: Transport | None = None
        #: For each command that was sent: until when its reply must come, and who gets it.
        self._awaited: deque[tuple[float, Receive]] = deque()
        #: The changes whose replies have come since the newest PING.
        self._unconfirmed: list[tuple[Future[ServerReply], ServerReply]] = []
        self._limit: TimerHandle | None = None
        self._used_at = monotonic()
        #: Those who get an error if the socket is lost.
        self._calls: set[Future[ServerReply]] = set()

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and was used not long ago."""
        is_fresh = monotonic() < self._used_at + IDLE_S
        return self._transport is not None and is_fresh

    async def run(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> ServerReply:
        """Run a script as a function, and return the reply.

        Raises OSError if there is none, and errors.NotSaved.
        """
        call: Future[ServerReply] = get_running_loop().create_future()
        receive = partial(self._confirm if script.acts else _answer, call)
        command = ("FCALL", script.function, 1, key, *arguments)
        self._calls.add(call)
        try:
            self._send(command, receive)
            return await call
        finally:
            self._calls.discard(call)

    def connection_made(self, transport: BaseTransport) -> None:
        """Begin."""
        self._transport = cast("Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell all who wait for a reply."""
        self._transport = None
        if self._limit:
            self._limit.cancel()
        for call in tuple(self._calls):
            if not call.done():
                call.set_exception(ConnectionResetError(str(exc or "")))

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  asyncio's
        """Return where data is read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass on the replies."""
        try:
            cast("Any", self._reader).feed(self._buffer, 0, nbytes)
            while (reply := self._reader.gets()) is not ...:
                _, receive = self._awaited.popleft()
                receive(reply)
        except (hiredis.ProtocolError, IndexError):
            self.close()
            return
        if self._unconfirmed:
            done, self._unconfirmed = self._unconfirmed, []
            self._send(("PING",), partial(_confirmed, done))

    def close(self) -> None:
        """Close it."""
        if self._transport:
            self._transport.abort()

    def _send(self, command: Command, receive: Receive) -> None:
        """Send a command. Raises OSError for a socket that was lost."""
        if not self._transport:
            raise ConnectionResetError
        self._used_at = monotonic()
        self._awaited.append((self._used_at + CALL_TIMEOUT_S, receive))
        self._transport.write(hiredis.pack_command(cast("Any", command)))
        if not self._limit:
            self._limit_time(CALL_TIMEOUT_S)

    def _limit_time(self, seconds: float) -> None:
        loop = get_running_loop()
        self._limit = loop.call_later(seconds, self._check_time)

    def _check_time(self) -> None:
        """Close the socket if its oldest call has waited for too long."""
        self._limit = None
        if not self._awaited:
            return
        left_s = self._awaited[0][0] - monotonic()
        if left_s <= 0:
            self.close()
        else:
            self._limit_time(left_s)

    def _confirm(self, call: Future[ServerReply], reply: ServerReply) -> None:
        """Give the reply of a change to its call once the server has saved it."""
        if self._confirms and not error_line(reply):
            self._unconfirmed.append((call, reply))
        else:
            _answer(call, reply)


def _answer(call: Future[ServerReply], reply: ServerReply) -> None:
    if not call.done():
        call.set_result(reply)


def _confirmed(
    changes: Sequence[tuple[Future[ServerReply], ServerReply]],
    ping: ServerReply,
) -> None:
    """Give calls their replies, or errors.NotSaved if a PING is refused."""
    failure = not_saved(ping)
    for call, reply in changes:
        if failure and not call.done():
            call.set_exception(failure)
        else:
            _answer(call, reply)


def _address(settings: Settings) -> ServerAddress | None:
    """Return the address of a server that needs neither TLS nor waits for replicas."""
    if settings.wait_replicas:
        return None
    if not settings.redis_url:
        return address.bundled(settings.folder_path)
    place = address.parse(settings.redis_url, settings.redis_password)
    if not isinstance(place, ServerAddress) or place.tls is not None:
        return None
    return place


def _greeted(place: ServerAddress) -> Socket:
    """Return an open socket whose server has taken the greeting."""
    opened = Socket(place, CALL_TIMEOUT_S)
    opened.ask()
    return opened
