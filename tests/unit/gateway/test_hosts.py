"""The sites that the gateway answers, by the scheme of the request."""

import asyncio

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message
from taskorch_gateway.hosts import HostCheck

HOST = "queue.example"


def status_for(scheme: str, origin: str) -> int:
    """Return the status of a reply to a request with an origin."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(part: Message) -> None:
        sent.append(part)

    check = HostCheck(PlainTextResponse("OK"), hosts=[HOST])
    headers = {"host": HOST, "origin": origin}
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "scheme": scheme,
        "headers": [
            (name.encode(), value.encode()) for name, value in headers.items()
        ],
    }
    asyncio.run(check(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("scheme", "origin", "status"),
    [
        ("https", f"https://{HOST}", 200),
        ("http", f"http://{HOST}", 200),
        # a proxy that terminates TLS need not say so
        ("http", f"https://{HOST}", 200),
        ("https", f"http://{HOST}", 403),
        ("https", f"ftp://{HOST}", 403),
        ("http", HOST, 403),
    ],
)
def test_origin_has_the_scheme_of_the_request(
    scheme: str, origin: str, status: int
) -> None:
    assert status_for(scheme, origin) == status
