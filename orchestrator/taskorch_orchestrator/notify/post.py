"""One attempt to send a message over HTTP, within a time and to a permitted address.

no connection ------------------> not delivered: may be repeated
request sent --> 2xx -----------> delivered
             --> 429, 5xx ------> not delivered: may be repeated
             --> another status > refused
             --> no answer -----> unknown: it may have arrived, so it is not repeated
"""

import os
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from threading import Thread, Timer
from time import monotonic

from taskorch.config.notify_target import PORTS, NotifyTarget
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.notification import AttemptOutcome
from taskorch.transport import http, proxies
from taskorch.version import __version__

#: How long an attempt may take.
TIMEOUT_S = 5.0
#: Statuses that ask for another attempt, beside those of 500 and more.
TRY_AGAIN = (408, 425, 429)
#: The codes of OpenSSL for a certificate that no known authority has signed.
UNKNOWN_AUTHORITY = (18, 19, 20, 21)
#: IPv6 addresses that lead to an IPv4 address behind a translator.
TRANSLATED = IPv6Network("64:ff9b::/96")


class PostResult(Frozen):
    """How an attempt ended, and why."""

    outcome: AttemptOutcome
    reason: str = ""


class HttpMessage(Frozen):
    """The body of a request, and the headers that belong to it."""

    headers: Mapping[str, str]
    body: bytes


class _Address(Frozen):
    """One address of a target: its family, and the address in numbers."""

    family: int
    literal: str


class _NotPermitted(Exception):
    """The target is at an address that it may not have."""


def post(
    target: NotifyTarget, message: HttpMessage, *, timeout_s: float = TIMEOUT_S
) -> PostResult:
    """Send a message to a target, and return how that ended. It raises nothing."""
    deadline = monotonic() + timeout_s
    try:
        opened = _open(target, deadline)
    except _NotPermitted as refusal:
        return PostResult(outcome=AttemptOutcome.FAILED, reason=str(refusal))
    except errors.Usage as error:
        return PostResult(outcome=AttemptOutcome.FAILED, reason=str(error))
    except OSError as error:
        words = _words(error)
        if monotonic() >= deadline:
            words = f"not within {timeout_s:g} s"
        return PostResult(
            outcome=AttemptOutcome.RETRY, reason=f"no connection: {words}"
        )
    with opened, _closed_at(opened, deadline):
        try:
            opened.sendall(_head(target, message) + message.body)
            reply = http.read_reply(opened, has_body=False)
        except OSError as error:
            words = _words(error)
            if monotonic() >= deadline:
                words = f"no answer within {timeout_s:g} s"
            reason = f"{words}; it may have the message, so it is not repeated"
            return PostResult(outcome=AttemptOutcome.FAILED, reason=reason)
    return _judged(reply.status)


def _judged(status: int) -> PostResult:
    """Return what a status of HTTP says about the message."""
    if 200 <= status < 300:  # noqa: PLR2004  the range of success
        return PostResult(outcome=AttemptOutcome.SENT)
    reason = f"it answered with HTTP status {status}"
    if 300 <= status < 400:  # noqa: PLR2004  the range of redirects
        reason += ", a redirect, which is not followed"
    may_repeat = status in TRY_AGAIN or status >= 500  # noqa: PLR2004  failures of servers
    outcome = AttemptOutcome.RETRY if may_repeat else AttemptOutcome.FAILED
    return PostResult(outcome=outcome, reason=reason)


def _head(target: NotifyTarget, message: HttpMessage) -> bytes:
    """Return the head of the request."""
    place = target.place
    host = f"[{target.host}]" if ":" in target.host else target.host
    if target.port != PORTS[place.scheme]:
        host += f":{target.port}"
    path = place.path or "/"
    if place.query:
        path += f"?{place.query}"
    headers = {
        "Host": host,
        "User-Agent": f"task-orchestrator/{__version__}",
        "Content-Length": str(len(message.body)),
        "Connection": "close",
        **message.headers,
    }
    return http.request("POST", path, headers)


def _open(target: NotifyTarget, deadline: float) -> socket.socket:
    """Open a connection to a target, by HTTPS_PROXY if that is set.

    Raises OSError, _NotPermitted, and errors.Usage for a wrong HTTPS_PROXY.
    """
    is_tls = target.place.scheme == "https"
    proxy = proxies.find(target.host, os.environ) if is_tls else None
    if proxy:
        # The proxy looks the name up. Only an address in numbers can be checked here.
        _refuse_literal(target)
        opened = socket.create_connection(
            (proxy.host, proxy.port), _left_s(deadline)
        )
    else:
        opened = _connected(target, deadline)
    try:
        opened.settimeout(_left_s(deadline))
        with _closed_at(opened, deadline):
            if proxy:
                proxies.connect(opened, proxy, target.host, target.port)
            if is_tls:
                context = ssl.create_default_context()
                return context.wrap_socket(opened, server_hostname=target.host)
    except BaseException:
        opened.close()
        raise
    return opened


def _connected(target: NotifyTarget, deadline: float) -> socket.socket:
    """Connect to the first permitted address of a target that accepts.

    The address that was checked is the one that is connected to: a name that is looked up
    twice could lead elsewhere the second time.
    """
    permitted = [
        each
        for each in _looked_up(target, deadline)
        if target.allow_private or _is_public(each.literal)
    ]
    if not permitted:
        raise _private(target)
    failure = OSError("it has no address")
    for place, each in enumerate(permitted):
        opened = socket.socket(each.family, socket.SOCK_STREAM)
        try:
            # an address that does not answer leaves time for those behind it
            left = len(permitted) - place
            opened.settimeout(_left_s(deadline) / left)
            opened.connect((each.literal, target.port))
        except OSError as error:
            opened.close()
            failure = error
        else:
            return opened
    raise failure


def _looked_up(target: NotifyTarget, deadline: float) -> list[_Address]:
    """Return the addresses of a target. The system's look-up has no time limit."""
    found: list[_Address] = []
    failures: list[OSError] = []

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(
                target.host, target.port, type=socket.SOCK_STREAM
            )
        except (OSError, UnicodeError) as error:
            failures.append(OSError(f"its name is unknown: {error}"))
        else:
            found.extend(
                _Address(family=family, literal=str(place[0]))
                for family, _, _, _, place in rows
            )

    thread = Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(_left_s(deadline))
    if failures:
        raise failures[0]
    if thread.is_alive():
        raise TimeoutError
    return found


def _refuse_literal(target: NotifyTarget) -> None:
    """Raise _NotPermitted for an address in numbers that the target may not have."""
    with suppress(ValueError):
        ip_address(target.host)
        if not target.allow_private and not _is_public(target.host):
            raise _private(target)


def _private(target: NotifyTarget) -> _NotPermitted:
    return _NotPermitted(
        f"{target.host} is on this machine or in a private network. If that is right, set "
        "allow_private = true"
    )


def _is_public(literal: str) -> bool:
    """Return whether an address belongs to a machine in the internet."""
    address = ip_address(literal.partition("%")[0])
    inner = _inner(address)
    return (
        address.is_global and not address.is_multicast and inner is None
    ) or (inner is not None and _is_public(str(inner)))


def _inner(address: IPv4Address | IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address leads to, or None."""
    if isinstance(address, IPv4Address):
        return None
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


@contextmanager
def _closed_at(opened: socket.socket, deadline: float) -> Iterator[None]:
    """Shut a connection down at a time: a slow server may send byte by byte."""
    handle = socket.socket(fileno=os.dup(opened.fileno()))

    def shut() -> None:
        with suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(0, deadline - monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        handle.close()


def _left_s(deadline: float) -> float:
    """Return the seconds until a time. Raises TimeoutError if it is over."""
    left_s = deadline - monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _words(error: OSError) -> str:
    """Return why a connection failed, in a few words of ours or of the system."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"its certificate is not valid: {error.verify_message}"
        if error.verify_code in UNKNOWN_AUTHORITY:
            words += ". SSL_CERT_FILE=FILE names an authority of your own"
        return words
    if isinstance(error, ssl.SSLError):
        return "TLS failed"
    if isinstance(error, http.NotHttp):
        return "its answer is not HTTP"
    return error.strerror or str(error)
