"""A browser without a screen: it keeps cookies, and sends forms as a page of the board."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import unescape
from http.client import HTTPConnection, HTTPMessage
from urllib.parse import urlencode

from support.gateways import Gateway

PAGE = "text/html"
FRAGMENT = "text/fragment+html"
FORM = "application/x-www-form-urlencoded"
Fields = Mapping[str, str] | Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Reply:
    """A reply of the board."""

    status: int
    headers: HTTPMessage
    text: str

    def field(self, name: str) -> str:
        """Return the value of the first hidden field of a name; fail without one."""
        found = re.search(f'name="{name}" value="([^"]*)"', self.text)
        assert found, f"The page has no field {name}: {self.text}"
        return unescape(found[1])

    def has_field(self, name: str) -> bool:
        """Return whether the page has a field of a name."""
        return f'name="{name}"' in self.text

    @property
    def alert(self) -> str:
        """What the page complains about, "" for nothing."""
        found = re.search(r'role="alert">(.*?)</div>', self.text, re.DOTALL)
        return unescape(re.sub("<[^>]+>", " ", found[1])) if found else ""

    @property
    def cookies(self) -> Sequence[str]:
        """The cookies that the reply sets, with their attributes."""
        return self.headers.get_all("Set-Cookie") or []

    @property
    def place(self) -> str:
        """Where the reply leads to, "" for nowhere."""
        return self.headers.get("Location", "")


@dataclass
class BoardClient:
    """One browser profile."""

    gateway: Gateway
    cookies: dict[str, str] = field(default_factory=dict)

    def sign_in(self, token: str) -> None:
        """Have the session of a token."""
        self.cookies[f"taskorch_session_{self.gateway.port}"] = token

    def get(self, path: str = "/", **headers: str) -> Reply:
        """Return a page."""
        return self.send("GET", path, b"", headers)

    def page(self, path: str = "/") -> Reply:
        """Return a page, which must be one."""
        reply = self.get(path)
        assert reply.status == 200, reply.text
        return reply

    def submit(self, path: str, fields: Fields, **headers: str) -> Reply:
        """Send a form as the page of a browser does."""
        known = {
            "Content-Type": FORM,
            "Origin": self.origin,
            "Referer": self.origin + "/",
        }
        body = urlencode(fields).encode()
        return self.send("POST", path, body, known | _named(headers))

    def csrf(self) -> str:
        """Return what the forms of the session show."""
        found = re.search(r'data-csrf="(\w+)"', self.page("/").text)
        assert found
        return found[1]

    @property
    def origin(self) -> str:
        """The site of the board."""
        return f"http://localhost:{self.gateway.port}"

    def send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Reply:
        """Send a request; a header whose value is "" is left out."""
        known = {"Accept": PAGE, "Host": self.origin.removeprefix("http://")}
        known |= _named(headers)
        if self.cookies:
            pairs = [f"{name}={value}" for name, value in self.cookies.items()]
            known["Cookie"] = "; ".join(pairs)
        sent = {name: value for name, value in known.items() if value}
        connection = HTTPConnection("127.0.0.1", self.gateway.port, timeout=60)
        try:
            connection.request(method, path, body or None, sent)
            reply = connection.getresponse()
            text = reply.read().decode()
        finally:
            connection.close()
        found = Reply(reply.status, reply.headers, text)
        for cookie in found.cookies:
            self._keep(cookie)
        return found

    def _keep(self, cookie: str) -> None:
        pair, _, attributes = cookie.partition(";")
        name, _, value = pair.partition("=")
        if "max-age=0" in attributes.lower():
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers under their names: content_type is Content-Type."""
    return {
        name.replace("_", "-").title(): value
        for name, value in headers.items()
    }
