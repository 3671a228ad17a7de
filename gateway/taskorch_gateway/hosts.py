"""The hosts and origins that the gateway answers: not web pages of other sites."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from taskorch.domain import errors

from taskorch_gateway.exchange import error_response

#: The names of this machine for itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HOST = r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(?::[0-9]{1,5})?"


class HostCheck:
    """Refuses a foreign `Host` or `Origin`.

    The name of a foreign web page may resolve to the gateway (DNS rebinding).
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        """Answer to these names; () for any."""
        self._app = app
        self._hosts = frozenset(name.lower() for name in hosts)

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "http" and not self._is_known(
            Headers(scope=scope), scope["scheme"]
        ):
            error = errors.NotAllowed(
                reason="the Host or the Origin of the request is another site."
            )
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, headers: Headers, scheme: str) -> bool:
        if len(headers.getlist("host")) > 1:  # a proxy may look at another one
            return False
        host = headers.get("host", "")
        match = re.fullmatch(_HOST, host)
        name = match["name"].strip("[]").lower() if match else ""
        if self._hosts and name not in self._hosts:
            return False
        try:
            origins = [urlsplit(each) for each in headers.getlist("origin")]
        except ValueError:
            return False
        # a page without TLS may be that of anyone on the way
        schemes = ("https",) if scheme == "https" else ("http", "https")
        return all(
            each.netloc == host and each.scheme in schemes for each in origins
        )
