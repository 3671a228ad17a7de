"""A connection to one server: a socket, and hiredis to pack and to read; what a short command can afford to import."""

import os
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from threading import Lock
from time import sleep
from typing import TYPE_CHECKING, Any, cast

import hiredis

from taskorch.domain import errors
from taskorch.queue.port import (
    REPLICATED,
    UNREADABLE,
    WAIT_TIMEOUT_MS,
    Argument,
    Reply,
    Script,
)
from taskorch.transport import redis_errors

if TYPE_CHECKING:
    from taskorch.transport.server_address import Server

CONNECT_TIMEOUT_S = 3
CALL_TIMEOUT_S = 10
PIECE_BYTES = 65536
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 5.0

Words = tuple[Argument, ...]
#: What comes back for a command: an error of Redis is a reply, too.
Answer = Reply | hiredis.ReplyError


class SocketConnection:
    """Runs scripts over one socket, which is opened by the first call; threads take turns.

    The greeting goes out together with the first command, so that a call takes one round trip, and one for the socket.
    """

    def __init__(
        self,
        server: "Server",
        *,
        retries: int = 2,
        wait_replicas: int = 0,
        wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    ) -> None:
        """Speak to `server`; what gets no reply is asked again `retries` times, and the verbs of REPLICATED wait."""
        self._server = server
        self._retries = retries
        self._wait: Words = (
            ("WAIT", wait_replicas, wait_timeout_ms) if wait_replicas else ()
        )
        self._timeout_s = CALL_TIMEOUT_S + (
            wait_timeout_ms / 1000 if wait_replicas else 0
        )
        self._socket: Socket | None = None
        self._turn = Lock()
        #: The sockets that threads wait on.
        self._waiting: set[Socket] = set()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script by its SHA1, or by its text where Redis does not know it yet."""
        with self._turn:
            for failed in range(self._retries + 1):
                try:
                    return self._run(script, key, arguments)
                except OSError as error:
                    self._drop()
                    if failed == self._retries or redis_errors.is_not_permitted(error):
                        raise redis_errors.of_silence(
                            error, self._server.shown
                        ) from error
                from taskorch.domain.backoff import (
                    pause_s,
                )  # only then: it is slow to import

                sleep(pause_s(failed, FIRST_PAUSE_S, LONGEST_PAUSE_S))
        raise AssertionError

    def _run(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        after = self._wait if script.name in REPLICATED else ()
        reply, *waited = self._asked(("EVALSHA", script.sha, 1, key, *arguments), after)
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply, *waited = self._asked(
                ("EVAL", script.text, 1, key, *arguments), after
            )
        if isinstance(reply, hiredis.ReplyError):
            if redis_errors.word(str(reply)) in redis_errors.PASSING:
                self._drop()  # its role has changed: the address may lead to another server by now
            raise redis_errors.of_reply(str(reply), self._server.shown)
        if waited:
            redis_errors.need_replicas(waited[0], self._wait)
        if script.acts and self._server.is_bundled:
            self._need_saved()
        return reply

    def _need_saved(self) -> None:
        """Raise errors.NotSaved if the bundled server could not append what it has just done.

        It replies all the same, keeps the step in memory, and appends it once there is room. Until then a PING fails.
        """
        (reply,) = self._asked(("PING",))
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("MISCONF"):
            raise errors.NotSaved(reason=str(reply))

    def _asked(self, *commands: Words) -> list[Answer]:
        if self._socket is None or self._socket.process != os.getpid():
            self._socket = Socket(self._server, self._timeout_s)
        try:
            return self._socket.ask(*(words for words in commands if words))
        except (
            BaseException
        ):  # a reply that nobody has read would be taken for that of the next command
            self._drop()
            raise

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token, blocking for it on a socket of its own: no retries, a time limit above the wait."""
        return self._blocked(timeout_s, ("BLPOP", key, str(max(timeout_s, 0.001))))

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream after a cursor, in the same way."""
        block_ms = max(round(timeout_s * 1000), 1)
        return self._blocked(
            timeout_s, ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", key, cursor)
        )

    def _blocked(self, timeout_s: float, words: Words) -> bool:
        try:
            with closing(Socket(self._server, timeout_s + CALL_TIMEOUT_S)) as waiting:
                self._waiting.add(waiting)
                try:
                    (reply,) = waiting.ask(words)
                finally:
                    self._waiting.discard(waiting)
        except OSError as error:
            raise redis_errors.of_silence(error, self._server.shown) from error
        if isinstance(reply, hiredis.ReplyError):
            raise redis_errors.of_reply(str(reply), self._server.shown)
        return bool(reply)

    def close(self) -> None:
        """Give the socket back, unless a call uses it; a wait of another thread breaks off, as in an outage."""
        for waiting in tuple(self._waiting):
            waiting.break_off()
        if self._turn.acquire(
            blocking=False
        ):  # else a call is under way, and gets its reply: what it took would be lost with the socket
            self._drop()
            self._turn.release()

    def _drop(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None


class Socket:
    """An open socket to a server that has still to be greeted."""

    def __init__(self, server: "Server", timeout_s: float) -> None:
        """Open it; each reply may take `timeout_s` seconds. Raises OSError when it cannot be opened."""
        self._server = server
        self._reader = hiredis.Reader(
            encoding="utf-8", errors=UNREADABLE, notEnoughData=...
        )
        #: A process that was forked off must not use it.
        self.process = os.getpid()
        self._greeting = _greeting(server)
        self._socket = _opened(server)
        self._socket.settimeout(timeout_s)

    def ask(self, *commands: Words) -> list[Answer]:
        """Send commands in one go, the first time with the greeting, and return their replies.

        Raises errors.Unavailable and errors.TooOld for what the greeting brings, OSError when no reply comes.
        """
        greeting, self._greeting = self._greeting, []
        self._socket.sendall(
            b"".join(
                hiredis.pack_command(cast("Any", words))
                for words in (*greeting, *commands)
            )
        )
        for words in greeting:
            self._check(words[0], self._reply())
        return [self._reply() for _ in commands]

    def peer(self) -> int:
        """Return the pid of the server behind a Unix socket; 0 if it is in another pid namespace."""
        from taskorch.transport import unix_socket

        return unix_socket.peer(self._socket)[0]

    def break_off(self) -> None:
        """Let nothing more come; who waits for a reply gets OSError. Closing it is left to that thread."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self._socket.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never opened
            self.close()

    def _reply(self) -> Answer:
        while True:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError as error:
                raise OSError(f"what answers there is not Redis ({error})") from None
            if reply is not ...:
                return cast("Answer", reply)
            piece = self._socket.recv(PIECE_BYTES)
            if not piece:
                raise ConnectionResetError("Connection closed by server.")
            self._reader.feed(piece)

    def _check(self, command: Argument, reply: Answer) -> None:
        """Refuse a server that does not want this client, or that is too old to run the scripts."""
        url = self._server.shown
        if isinstance(reply, hiredis.ReplyError):
            if "unknown command" in str(reply).lower():
                raise errors.TooOld(url=url, version="5 or older")
            # Some servers and proxies quote the arguments of a command that they refuse.
            raise redis_errors.of_reply(
                str(reply).replace(self._server.password or "\0", "***"), url
            )
        if command == "HELLO":
            redis_errors.need_version(cast("dict[str, str]", reply)["version"], url)


def _greeting(server: "Server") -> list[Words]:
    user = server.user or "default"
    words: Words = (
        ("HELLO", 3, "AUTH", user, server.password) if server.password else ("HELLO", 3)
    )
    return [words, ("SELECT", server.db)] if server.db else [words]


def _opened(server: "Server") -> socket.socket:
    if server.path:
        from taskorch.transport import (
            unix_socket,
        )  # only then: it takes a millisecond to import

        return unix_socket.connected(
            server.path, CONNECT_TIMEOUT_S, private=server.is_bundled
        )
    opened = socket.create_connection((server.host, server.port), CONNECT_TIMEOUT_S)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if server.tls is None:
        return opened
    from taskorch.transport.tls import wrapped

    try:
        return wrapped(opened, server.host, server.tls)
    except PermissionError as error:  # of a file: the connection itself is open
        raise OSError(f"a file of the certificates cannot be read: {error}") from None
