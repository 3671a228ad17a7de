"""The hosts and origins that the gateway answers: not web pages of other sites."""

from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from taskorch.domain import errors

from taskorch_gateway.exchange import error_response

#: The names of this machine for itself.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


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
            Headers(scope=scope)
        ):
            error = errors.NotAllowed(
                reason="the Host or the Origin of the request is another site."
            )
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, headers: Headers) -> bool:
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return False
        try:
            name = urlsplit(f"//{host}").hostname
        except ValueError:
            return False
        return not self._hosts or name in self._hosts
