"""A reader of the live updates of a board, as its script would read them."""

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlencode

from support.gateways import Gateway

#: How long a message may take on a busy machine.
MESSAGE_S = 20


class BoardMessage(NamedTuple):
    """A server-sent event."""

    kind: str
    data: Any
    #: The cursor of the newest event; "" for a message without one.
    cursor: str


class BoardStream:
    """An open stream of a board."""

    def __init__(self, response: HTTPResponse) -> None:
        self.response = response

    def messages(self) -> Iterator[BoardMessage]:
        """Yield the messages, until the stream ends."""
        fields: dict[str, str] = {}
        for line in self.response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif fields:
                yield BoardMessage(
                    fields["event"],
                    json.loads(fields["data"]),
                    fields.get("id", ""),
                )
                fields = {}

    def next(self, kind: str) -> Any:
        """Return the data of the next message of a kind."""
        return next(each.data for each in self.messages() if each.kind == kind)

    def fragment(self, name: str, text: str) -> str:
        """Return the HTML of the next version of a fragment that has a text."""
        return next(
            str(each.data["html"])
            for each in self.messages()
            if each.kind == "fragment"
            and each.data["name"] == name
            and text in each.data["html"]
        )


@contextmanager
def following(
    gateway: Gateway, token: str, **query: str
) -> Iterator[BoardStream]:
    """Open the stream of a board, by default of the page Now."""
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=MESSAGE_S)
    target = f"/live?{urlencode({'fragments': 'now', **query})}"
    cookie = f"taskorch_session_{gateway.port}={token}"
    connection.request("GET", target, headers={"Cookie": cookie})
    with closing(connection), closing(connection.getresponse()) as response:
        assert response.status == 200, response.read()
        yield BoardStream(response)
