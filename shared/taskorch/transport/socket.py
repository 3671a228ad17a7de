"""A connection to one server: a socket, packed and parsed by hiredis.

This is what a short command can afford to import.
"""

import os
import socket
import stat
import struct
from collections.abc import Mapping, Sequence
from errno import EACCES
from functools import partial
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
from taskorch.transport.channels import Channel, Channels
from taskorch.transport.script_calls import ScriptCalls

if TYPE_CHECKING:
    import ssl

    from taskorch.transport.address import ServerAddress

CONNECT_TIMEOUT_S = 3
CALL_TIMEOUT_S = 10
CHUNK_BYTES = 65536
#: What the option ssl_check_hostname has for "no", as in redis-py.
FALSE = ("0", "f", "false", "n", "no")
#: Linux has one option for pid and uid. macOS has two, without names in Python.
_PEER_CREDENTIALS = getattr(socket, "SO_PEERCRED", 0)
_MACOS_LEVEL, _MACOS_PEER_USER, _MACOS_PEER_PID = 0, 1, 2

Command = tuple[Argument, ...]
#: An error of Redis is a reply, too.
ServerReply = Reply | hiredis.ReplyError


class SocketConnection:
    """Runs scripts over one socket, which the first call opens; threads take turns.

    Each call is one attempt and one round trip. The first one sends the greeting along
    with it.
    """

    def __init__(
        self,
        address: "ServerAddress",
        *,
        wait_replicas: int = 0,
        wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    ) -> None:
        """Connect to `address` later on.

        With `wait_replicas`, the verbs of REPLICATED wait until as many replicas have
        the change.
        """
        self._address = address
        self._wait: tuple[Command, ...] = ()
        timeout_s: float = CALL_TIMEOUT_S
        if wait_replicas:
            self._wait = (("WAIT", wait_replicas, wait_timeout_ms),)
            timeout_s += wait_timeout_ms / 1000
        self._sockets = Channels(partial(Socket, address), timeout_s)
        self._script_calls = ScriptCalls()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script as a function, or else by its SHA1 or its text."""
        wait = self._wait if script.name in REPLICATED else ()

        def send(*command: Argument) -> tuple[list[ServerReply], str]:
            replies = opened.ask(command, *wait)
            return replies, error_line(replies[0])

        with self._sockets.turn:
            try:
                opened = self._sockets.for_calls()
                reply, *reached = self._script_calls.run(
                    script, (1, key, *arguments), send
                )
                if isinstance(reply, hiredis.ReplyError):
                    raise self._refusal(reply)
                if reached:
                    redis_errors.need_replicas(reply, reached[0], wait[0])
                if script.acts and self._address.is_bundled:
                    # The bundled server replies even if it could not append the change
                    # to its file. Until it can, a PING fails.
                    (ping,) = opened.ask(("PING",))
                    if failure := not_saved(ping):
                        raise failure
            except OSError as error:
                raise self._silence(error) from error
        return reply

    def run_command(self, key: str, *command: Argument) -> Reply:  # noqa: ARG002
        """Send a command; there is one server."""
        with self._sockets.turn:
            try:
                (reply,) = self._sockets.for_calls().ask(command)
            except OSError as error:
                raise self._silence(error) from error
        if isinstance(reply, hiredis.ReplyError):
            raise self._refusal(reply)
        return reply

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it."""
        limit_s = str(max(timeout_s, 0.001))
        return self._ask_blocking(timeout_s, ("BLPOP", *lists, limit_s))

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        block_ms = max(round(timeout_s * 1000), 1)
        options = ("COUNT", 1, "BLOCK", block_ms)
        return self._ask_blocking(
            timeout_s, ("XREAD", *options, "STREAMS", key, cursor)
        )

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        self._sockets.break_off(thread)

    def close(self) -> None:
        """Close the sockets, without waiting for other threads."""
        self._sockets.close()

    def _refusal(self, reply: hiredis.ReplyError) -> Exception:
        if redis_errors.stall_word(str(reply)) in redis_errors.PASSING:
            # The role of the server has changed: the address may lead elsewhere now.
            self._sockets.drop()
        return redis_errors.of_reply(str(reply), self._address.redacted)

    def _silence(self, error: OSError) -> errors.Unavailable:
        """Close the socket, and return our error for a reply that did not arrive."""
        self._sockets.drop()
        return redis_errors.of_silence(error, self._address.redacted)

    def _ask_blocking(self, timeout_s: float, command: Command) -> bool:
        """Send a command that blocks on a socket of its own."""
        try:
            (reply,) = self._sockets.wait(
                timeout_s + CALL_TIMEOUT_S,
                lambda waiting: waiting.ask(command),
            )
        except OSError as error:
            raise redis_errors.of_silence(
                error, self._address.redacted
            ) from error
        if isinstance(reply, hiredis.ReplyError):
            raise redis_errors.of_reply(str(reply), self._address.redacted)
        return bool(reply)


class Socket(Channel):
    """An open socket to a server, which the first request greets."""

    def __init__(self, address: "ServerAddress", timeout_s: float) -> None:
        """Open it; each reply may take `timeout_s` seconds.

        Raises OSError if it cannot be opened.
        """
        self._address = address
        self._reader = new_reader()
        self._greeting = _greeting(address)
        super().__init__(_open(address), timeout_s)

    def ask(self, *commands: Command) -> list[ServerReply]:
        """Send commands together, the first time after the greeting; return the replies.

        Raises errors.Unavailable or errors.TooOld if the server refuses the greeting,
        and OSError if a reply does not arrive.
        """
        greeting, self._greeting = self._greeting, []
        self._is_in_step = False
        request = bytearray()
        for command in (*greeting, *commands):
            request += hiredis.pack_command(cast("Any", command))
        self._socket.sendall(request)
        for command in greeting:
            self._check_greeting(command[0], self._reply())
        replies = [self._reply() for _ in commands]
        self._is_in_step = True
        return replies

    def peer(self) -> int:
        """Return the pid of the server behind a Unix socket.

        It is 0 if the server is in another pid namespace.
        """
        return peer_of(self._socket)[0]

    def _reply(self) -> ServerReply:
        while True:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError as error:
                raise OSError(
                    f"the server there is not Redis ({error})"
                ) from None
            if reply is not ...:
                return cast("ServerReply", reply)
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionResetError("Connection closed by server.")
            self._reader.feed(chunk)

    def _check_greeting(self, command: Argument, reply: ServerReply) -> None:
        """Raise the error for a server that refuses this client or is too old."""
        url = self._address.redacted
        if isinstance(reply, hiredis.ReplyError):
            line = str(reply)
            if "unknown command" in line.lower():
                raise errors.TooOld(url=url, version="5 or older")
            if self._address.password:
                # Some servers and proxies quote the arguments of a refused command.
                line = line.replace(self._address.password, "***")
            raise redis_errors.of_reply(line, url)
        if command == "HELLO":
            greeting = cast("dict[str, str]", reply)
            redis_errors.need_version(greeting["version"], url)


def new_reader() -> hiredis.Reader:
    """Return a reader of replies; `gets` returns ... while none is complete."""
    return hiredis.Reader(
        encoding="utf-8", errors=UNREADABLE, notEnoughData=...
    )


def error_line(reply: ServerReply) -> str:
    """Return the error that a reply is, or ""."""
    return str(reply) if isinstance(reply, hiredis.ReplyError) else ""


def not_saved(ping: ServerReply) -> errors.NotSaved | None:
    """Return the error if the reply to a PING says that changes are not saved."""
    line = error_line(ping)
    if not line.startswith("MISCONF"):
        return None
    return errors.NotSaved(reason=line)


def _greeting(address: "ServerAddress") -> list[Command]:
    hello: Command = ("HELLO", 3)
    if address.password:
        user = address.user or "default"
        hello = (*hello, "AUTH", user, address.password)
    greeting = [hello]
    if address.db:
        greeting.append(("SELECT", address.db))
    return greeting


def _open(address: "ServerAddress") -> socket.socket:
    """Open a socket to a server, TLS included. Raises OSError."""
    if address.path:
        return connect_unix(
            address.path, CONNECT_TIMEOUT_S, private=address.is_bundled
        )
    opened = socket.create_connection(
        (address.host, address.port), CONNECT_TIMEOUT_S
    )
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if address.tls is None:
        return opened
    try:
        return _tls_context(address.tls).wrap_socket(
            opened, server_hostname=address.host
        )
    except PermissionError as error:
        # Raised as it is, it would look as if the connection itself were forbidden.
        opened.close()
        raise OSError(f"a certificate file cannot be read: {error}") from None
    except BaseException:
        opened.close()
        raise


def _tls_context(options: Mapping[str, str]) -> "ssl.SSLContext":
    """Return the TLS settings of an address. Raises OSError for unusable files."""
    import ssl

    context = ssl.create_default_context(
        cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path")
    )
    required = options.get("ssl_cert_reqs", "required")
    checks_hostname = (
        options.get("ssl_check_hostname", "yes").lower() not in FALSE
    )
    context.check_hostname = required != "none" and checks_hostname
    context.verify_mode = ssl.VerifyMode[f"CERT_{required.upper()}"]
    if "ssl_certfile" in options or "ssl_keyfile" in options:
        context.load_cert_chain(
            options.get("ssl_certfile", ""),
            options.get("ssl_keyfile"),
            password=options.get("ssl_password"),
        )
    return context


def connect_unix(
    path: str, timeout_s: float, *, private: bool
) -> socket.socket:
    """Return a connection to the socket at `path`, to which nothing has been sent yet.

    `private` is for the bundled server: its folder must belong to this user, and its
    process to this user or to root. Any other socket may be in any folder, but if every
    user can write to one of the folders above it, a server of another user is refused.
    Raises errors.ForeignServer, and OSError if the connection is not possible.
    """
    if private:
        need_own_folder(path)
    opened = socket.socket(socket.AF_UNIX)
    try:
        opened.settimeout(timeout_s)
        try:
            opened.connect(path)
        except PermissionError as error:
            if error.errno == EACCES and not os.access(path, os.W_OK):
                reason = "its mode does not let this user in"
                raise PermissionError(EACCES, reason, path) from None
            raise
        _need_known_peer(opened, path, private=private)
    except BaseException:
        opened.close()
        raise
    return opened


def peer_of(opened: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the process at the other end of a Unix socket.

    The pid is 0 if the process is in another pid namespace.
    """
    if _PEER_CREDENTIALS:
        pid, uid, _ = struct.unpack(
            "3i", opened.getsockopt(socket.SOL_SOCKET, _PEER_CREDENTIALS, 12)
        )
        return pid, uid
    _, uid = struct.unpack_from(
        "Ii", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_USER, 76)
    )
    (pid,) = struct.unpack(
        "i", opened.getsockopt(_MACOS_LEVEL, _MACOS_PEER_PID, 4)
    )
    return pid, uid


def need_own_folder(path: str) -> None:
    """Check that another user or a checkout did not provide the socket at `path`.

    Its folder must belong to this user, and is made private. Neither may be a symbolic
    link. Raises errors.ForeignServer, and OSError if the folder does not exist.
    """
    folder = os.path.dirname(path)
    status = os.lstat(folder)
    owner, mode = status.st_uid, status.st_mode
    if stat.S_ISLNK(mode):
        raise _foreign(folder, "it is a symbolic link", is_bundled=True)
    if owner != os.getuid():
        reason = f"it belongs to another user (uid {owner})"
        raise _foreign(folder, reason, is_bundled=True)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        os.chmod(folder, stat.S_IRWXU)
    if os.path.islink(path):
        raise _foreign(path, "it is a symbolic link", is_bundled=True)


def _need_known_peer(
    opened: socket.socket, path: str, *, private: bool
) -> None:
    _, uid = peer_of(opened)
    if uid in (os.getuid(), 0):
        return
    if private or _is_open_to_everyone(path):
        reason = f"it belongs to another user (uid {uid})"
        raise _foreign(path, reason, is_bundled=private)


def _is_open_to_everyone(path: str) -> bool:
    """Return whether every user can write to a folder above the socket, such as /tmp."""
    folder = os.path.realpath(os.path.dirname(path))
    while True:
        if os.stat(folder).st_mode & stat.S_IWOTH:
            return True
        parent = os.path.dirname(folder)
        if parent == folder:
            return False
        folder = parent


def _foreign(
    place: str, reason: str, *, is_bundled: bool
) -> errors.ForeignServer:
    return errors.ForeignServer(
        place=place, reason=reason, bundled=int(is_bundled)
    )
