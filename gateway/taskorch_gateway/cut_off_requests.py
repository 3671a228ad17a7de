"""The requests that still run when the gateway stops: uvicorn cancels them.

Waits and streams are among them, so nearly every stop has some. Without a reply, uvicorn
would send a plain error, and log the stack of each.
"""

from asyncio import CancelledError
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from taskorch_gateway.exchange import Stopping, error_response

END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class CutOffRequests:
    """Ends the replies of cancelled requests: a middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer a request; one that is cancelled tells its client to try again."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        has_begun = False

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except CancelledError:
            if not has_begun:
                await error_response(Stopping())(scope, receive, send)
                return
            # a reply of a fixed length cannot end early, and its connection is closed
            with suppress(RuntimeError):
                await send(END)
