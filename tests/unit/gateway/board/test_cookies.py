"""The cookies of the board: whose they are, and who can read them."""

import pytest
from starlette.requests import Request
from starlette.responses import Response
from taskorch_gateway.board import cookies

TOKEN = "tok_00000000_" + "0" * 64


def request(scheme: str, host: str, cookie: str = "") -> Request:
    """Return a request of a browser."""
    headers = [(b"host", host.encode()), (b"cookie", cookie.encode())]
    scope = {"type": "http", "scheme": scheme, "path": "/", "headers": headers}
    return Request(scope)


def session_at(scheme: str, host: str) -> str:
    """Return the cookie of a session, as the browser gets it."""
    response = Response()
    cookies.set_token(response, request(scheme, host), TOKEN)
    return response.headers["set-cookie"]


@pytest.mark.parametrize(
    ("scheme", "host", "name"),
    [
        ("http", "localhost:8650", "taskorch_session_8650"),
        ("http", "[::1]:8651", "taskorch_session_8651"),
        ("http", "board", "taskorch_session_80"),
        ("http", "board:99999", "taskorch_session_80"),
        ("https", "board", "__Host-taskorch_session_443"),
        ("https", "board:8650", "__Host-taskorch_session_8650"),
    ],
)
def test_session_belongs_to_one_gateway(
    scheme: str, host: str, name: str
) -> None:
    cookie = session_at(scheme, host)

    assert cookie.startswith(f"{name}={TOKEN};")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie
    assert ("Secure" in cookie) == (scheme == "https")
    pair = cookie.partition(";")[0]
    assert cookies.token_of(request(scheme, host, pair)) == TOKEN


def test_long_receipt_is_shortened() -> None:
    response = Response()
    sent = request("http", "board:8650")

    cookies.set_receipt(response, sent, "ü\n" * 200)

    pair = response.headers["set-cookie"].partition(";")[0]
    shown = cookies.receipt_of(request("http", "board:8650", pair))
    assert shown == "ü\n" * 150 + "…"
    assert len(pair) < 4_000


@pytest.mark.parametrize("text", ['Closed "a/b"; 2, 3', "\\x=1", "ü", " x "])
def test_receipt_is_shown_to_the_letter(text: str) -> None:
    response = Response()
    sent = request("http", "board:8650")

    cookies.set_receipt(response, sent, text)

    pair = response.headers["set-cookie"].partition(";")[0]
    assert cookies.receipt_of(request("http", "board:8650", pair)) == text


def test_quotes_of_a_stranger_are_not_parsed() -> None:
    quotes = '"' + '\\"' * 30_000 + '"'
    sent = request("http", "board:80", f"a=b; taskorch_receipt_80={quotes}")

    assert cookies.receipt_of(sent) == quotes


def test_unknown_theme_is_that_of_the_system() -> None:
    for theme in ("", "blue", '"><script>'):
        sent = request("http", "board", f"taskorch_theme={theme}")
        assert cookies.theme_of(sent) == ""
    sent = request("http", "board", "taskorch_theme=dark")
    assert cookies.theme_of(sent) == "dark"
