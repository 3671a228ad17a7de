"""A connection to Redis through a gateway: script names and arguments over HTTP.

The gateway decides what the access token allows, and runs the scripts.
"""

import json
import os
import re
import select
import socket
from collections.abc import Mapping, Sequence
from functools import partial
from typing import cast

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.port import (
    Argument,
    Reply,
    Script,
    ScriptError,
)
from taskorch.transport import http, redis_errors
from taskorch.transport.channels import Channel, Channels

CONNECT_TIMEOUT_S = 5
#: Longer than the gateway follows a failover of Redis.
CALL_TIMEOUT_S = 20
#: Maximum duration of one wait: proxies end longer ones.
WAIT_S = 55.0
#: A host without TLS must be this machine, where no one listens in.
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
#: A host, perhaps a port and a path: no user, no query, no fragment.
_URL = (
    r"(?P<scheme>https?)://(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)"
    r"(?::(?P<port>[0-9]{1,5}))?(?P<path>(?:/[A-Za-z0-9_.~-]+)*)/?"
)
_PORTS = {"https": 443, "http": 80}
#: The errors of a gateway, beside those of scripts.
_ERRORS: Mapping[str, type[errors.TaskOrchestratorError]] = {
    error.word: error
    for error in (
        errors.Usage, errors.Invalid, errors.Unreachable, errors.Stalled, errors.NotReplicated, errors.NotSaved,
        errors.NoItem, errors.TokenRefused, errors.NotAllowed, errors.OtherVersion, errors.OtherNamespace,
        errors.RateLimited, errors.TaskOrchestratorError,
    )
}  # fmt: skip


class GatewayAddress(Frozen):
    """The address of a gateway, and what it is shown."""

    _secret = ("token",)

    url: str
    is_tls: bool
    host: str
    port: int
    #: The path in front of ours, such as /queue; "" for none.
    path: str
    token: str


def parse(url: str, token: str) -> GatewayAddress:
    """Parse the address of a gateway.

    Raises errors.Usage for an invalid one, and for one without TLS that is not on this
    machine; errors.TokenRefused for a token that no header can hold.
    """
    match = re.fullmatch(_URL, url)
    if not match:
        raise errors.Usage(
            reason="The address of the gateway is not valid. Use "
            "https://HOST, https://HOST:PORT or https://HOST/PATH, without a user, a "
            "query or a fragment."
        )
    scheme, host = match["scheme"], match["host"]
    if scheme == "http" and host not in LOOPBACK:
        raise errors.Usage(
            reason=f"{url} would send the access token unencrypted. Use https://."
        )
    if not token.isascii() or not token.isprintable():
        raise errors.TokenRefused(url=url)
    return GatewayAddress(
        url=url,
        is_tls=scheme == "https",
        host=host.strip("[]"),
        port=int(match["port"] or _PORTS[scheme]),
        path=match["path"],
        token=token,
    )


class GatewayConnection:
    """Runs scripts over one kept-alive connection, which the first call opens.

    Threads take turns; each wait has a connection of its own. A call is one attempt.
    """

    def __init__(self, address: GatewayAddress) -> None:
        """Connect to `address` later on."""
        self._address = address
        self._channels = Channels(partial(_Channel, address), CALL_TIMEOUT_S)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Have the gateway run a script by its name."""
        call = {
            "script": script.name,
            "key": key,
            "arguments": [str(each) for each in arguments],
        }
        with self._channels.turn:
            try:
                reply = self._channels.for_calls().ask("/call", call)
            except OSError as error:
                self._channels.drop()
                raise self._silence(error) from error
        return self._answer(reply)

    def run_command(self, key: str, *command: Argument) -> Reply:  # noqa: ARG002
        """Refuse a command about the server: it is the gateway's."""
        reason = "a gateway passes on calls of scripts only"
        raise errors.Refused(url=self._address.url, reason=reason)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, or the gateway knows of one."""
        own, *of_pools = lists
        call: dict[str, object] = {"key": own}
        if of_pools:
            call["pool_keys"] = of_pools
        return self._wait("/wait", call, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        return self._wait("/follow", {"key": key, "cursor": cursor}, timeout_s)

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        self._channels.break_off(thread)

    def close(self) -> None:
        """Close the sockets, without waiting for other threads."""
        self._channels.close()

    def _wait(
        self, target: str, call: dict[str, object], timeout_s: float
    ) -> bool:
        """Have the gateway wait, on a channel of its own.

        A longer wait ends early, and the caller looks again.
        """
        limit_s = min(max(timeout_s, 0), WAIT_S)
        limited = {**call, "seconds": limit_s}
        try:
            reply = self._channels.wait(
                limit_s + CALL_TIMEOUT_S,
                lambda waiting: waiting.ask(target, limited),
            )
        except OSError as error:
            raise self._silence(error) from error
        return bool(self._answer(reply))

    def _answer(self, reply: http.HttpReply) -> Reply:
        """Return the reply of a script, or raise the error that came instead."""
        content = _content(reply)
        if reply.status == 200 and "reply" in content:  # noqa: PLR2004  OK
            return cast("Reply", content["reply"])
        if "refusal" in content:
            raise ScriptError(str(content["refusal"]))
        if error := self._error(content):
            raise error
        reason = f"it answered with HTTP status {reply.status}"
        if reply.status >= 500:  # noqa: PLR2004  a proxy without its gateway
            raise errors.Unreachable(url=self._address.url, reason=reason)
        raise errors.NoGateway(url=self._address.url, reason=reason)

    def _error(
        self, content: Mapping[str, object]
    ) -> errors.TaskOrchestratorError | None:
        """Return the error of a gateway, None for a reply of something else."""
        given = content.get("error")
        if not isinstance(given, dict):
            return None
        kind = _ERRORS.get(str(given.get("code")))
        details = given.get("details")
        if kind is None or not isinstance(details, dict):
            return None
        shown = {
            str(name): value if isinstance(value, int) else str(value)
            for name, value in details.items()
        }
        try:
            failure = kind(**{**shown, "url": self._address.url})
        except (KeyError, TypeError):
            return None
        if isinstance(failure, errors.NotReplicated):
            failure.reply = given.get("reply")
        return failure

    def _silence(self, error: OSError) -> errors.Unavailable:
        return redis_errors.of_silence(error, self._address.url)


class _Channel(Channel):
    """An open connection to the gateway."""

    def __init__(self, address: GatewayAddress, timeout_s: float) -> None:
        """Open it; each reply may take `timeout_s` seconds. Raises OSError."""
        self._address = address
        super().__init__(_open(address), timeout_s)

    @property
    def is_usable(self) -> bool:
        """Whether the next reply will belong to the next request.

        A connection with something to read was closed by the gateway, or is out of
        step.
        """
        if not super().is_usable:
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def ask(self, target: str, call: Mapping[str, object]) -> http.HttpReply:
        """Send a request and return its reply. Raises OSError."""
        self._is_in_step = False
        body = json.dumps(call).encode()
        address = self._address
        head = http.request(
            "POST",
            address.path + target,
            {
                "Host": _host(address),
                "Authorization": f"Bearer {address.token}",
                "Content-Type": "application/json",
                "Content-Length": str(len(body)),
                "User-Agent": "task-orchestrator",
            },
        )
        self._socket.sendall(head + body)
        reply = http.read_reply(self._socket)
        self._is_in_step = not reply.is_last
        return reply


def _content(reply: http.HttpReply) -> dict[str, object]:
    """Return the JSON object of a reply, {} for a reply of something else."""
    try:
        content = json.loads(reply.body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _host(address: GatewayAddress) -> str:
    """Return the header that names the gateway."""
    host = f"[{address.host}]" if ":" in address.host else address.host
    if address.port == _PORTS["https" if address.is_tls else "http"]:
        return host
    return f"{host}:{address.port}"


def _open(address: GatewayAddress) -> socket.socket:
    """Open a socket to a gateway, through a proxy if the environment names one."""
    place = address.host, address.port
    proxy = None
    if address.is_tls:
        from taskorch.transport import proxies

        proxy = proxies.find(address.host, os.environ)
    opened = socket.create_connection(
        (proxy.host, proxy.port) if proxy else place, CONNECT_TIMEOUT_S
    )
    try:
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if not address.is_tls:
            return opened
        if proxy:
            proxies.connect(opened, proxy, *place)
        import ssl

        context = ssl.create_default_context()
        return context.wrap_socket(opened, server_hostname=address.host)
    except BaseException:
        opened.close()
        raise
