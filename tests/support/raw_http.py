"""Clients that speak HTTP over a plain socket, however badly."""

import select
import socket
from contextlib import suppress
from time import monotonic

from support.gateways import Gateway

#: How often a slow client sends a byte.
EVERY_S = 0.5
TIMEOUT_S = 60
#: What a client that reads nothing has room for.
SMALL_BYTES = 4096


def head(
    target: str, *headers: str, method: str = "POST", host: str = "localhost"
) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def opened(gateway: Gateway, *, receives: int = 0) -> socket.socket:
    """Return a connection; with `receives`, its buffer has about that size."""
    client = socket.socket()
    if receives:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
    client.settimeout(TIMEOUT_S)
    client.connect(("127.0.0.1", gateway.port))
    return client


def replies_to(gateway: Gateway, *parts: bytes) -> bytes:
    """Send parts of requests, and return everything until the gateway closes."""
    received = bytearray()
    with opened(gateway) as client, suppress(ConnectionError):
        for part in parts:
            client.sendall(part)
        while chunk := client.recv(65536):
            received += chunk
    return bytes(received)


class SlowClient:
    """Sends the beginning of a request, and then a byte now and then; reads nothing."""

    def __init__(self, gateway: Gateway, begin: bytes, then: bytes) -> None:
        """Send `then` for ever if it is one byte, nothing more if it is empty."""
        self.name = begin[:40]
        self._socket = opened(gateway, receives=SMALL_BYTES)
        self._socket.sendall(begin)
        self._then = then
        self._sent_at = monotonic()

    def is_cut(self) -> bool:
        """Send the next byte if its time has come; return whether the gateway cut it."""
        if self._then and monotonic() > self._sent_at + EVERY_S:
            self._sent_at = monotonic()
            try:
                self._socket.sendall(self._then)
            except ConnectionError:
                return True
        poll = select.poll()
        poll.register(self._socket, select.POLLHUP | select.POLLERR)
        if poll.poll(0):
            return True
        # a connection that was closed in peace has an end behind what it has received
        return self._has_ended()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _has_ended(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        return bool(poll.poll(0))
