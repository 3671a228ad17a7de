"""The HTTP proxy of a sandbox, which the environment names."""

import re
import socket
from base64 import b64encode
from collections.abc import Mapping

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.transport import http

_URL = r"(?:http://)?(?:(?P<user>[^@/]*)@)?(?P<host>\[[^\]]+\]|[^:/@\[\]]+)(?::(?P<port>[0-9]{1,5}))?/?"
DEFAULT_PORT = 3128
LAST_PORT = 65535
TUNNEL_IS_OPEN = 200


class Proxy(Frozen):
    """A proxy that tunnels TLS connections."""

    _secret = ("user",)

    host: str
    port: int
    #: User and password as its address has them; "" for none.
    user: str


def find(host: str, environment: Mapping[str, str]) -> Proxy | None:
    """Return the proxy for a host: HTTPS_PROXY, unless NO_PROXY names the host.

    Raises errors.Usage for an address that is not that of an HTTP proxy.
    """
    url = _variable(environment, "HTTPS_PROXY")
    if not url or _is_direct(host, _variable(environment, "NO_PROXY")):
        return None
    match = re.fullmatch(_URL, url)
    if not match or not _is_place(match["host"], match["port"]):
        raise errors.Usage(
            reason="HTTPS_PROXY is not the address of an HTTP proxy, such as "
            "http://proxy.example:3128"
        )
    return Proxy(
        host=match["host"].strip("[]"),
        port=int(match["port"] or DEFAULT_PORT),
        user=match["user"] or "",
    )


def connect(opened: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Have a proxy connect an open socket to a host. Raises OSError."""
    name = f"[{host}]" if ":" in host else host
    place = f"{name}:{port}"
    headers = {"Host": place}
    if proxy.user:
        from urllib.parse import unquote

        user = b64encode(unquote(proxy.user).encode()).decode()
        headers["Proxy-Authorization"] = f"Basic {user}"
    opened.sendall(http.request("CONNECT", place, headers))
    reply = http.read_reply(opened, has_body=False)
    if reply.status != TUNNEL_IS_OPEN:
        raise OSError(
            f"the proxy {proxy.host}:{proxy.port} answered with HTTP status "
            f"{reply.status}"
        )


def _is_place(host: str, port: str | None) -> bool:
    """Return whether the system can look up a host, and whether there is such a port."""
    try:
        host.encode("idna")
    except UnicodeError:  # a part of the name is too long
        return False
    return port is None or 0 < int(port) <= LAST_PORT


def _variable(environment: Mapping[str, str], name: str) -> str:
    return environment.get(name.lower()) or environment.get(name, "")


def _is_direct(host: str, names: str) -> bool:
    """Return whether NO_PROXY names a host, or a domain that it is in."""
    for name in names.replace(",", " ").split():
        domain = name.partition(":")[0].lstrip("*.").lower()
        if name == "*" or (
            domain and f".{host.lower()}".endswith(f".{domain}")
        ):
            return True
    return False
