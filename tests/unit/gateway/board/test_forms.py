"""The forms of the board: what is read of them, and what is refused."""

import asyncio
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.types import Message
from taskorch.domain import errors
from taskorch_gateway.board import forms
from taskorch_gateway.board.forms import Form
from taskorch_gateway.exchange import TooLong

FILE = (
    b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nabc\r\n'
    b'--x\r\nContent-Disposition: form-data; name="plan"; filename="p.yaml"\r\n'
    b"Content-Type: application/yaml\r\n\r\nproject: \xc3\x9cber\r\nitems: []\r\n"
    b"--x--\r\n"
)
WITH_FILE = "multipart/form-data; boundary=x"


def request(body: bytes, kind: str = forms.PLAIN) -> Request:
    """Return a request with a form."""

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", kind.encode("latin-1"))]
    scope = {"type": "http", "method": "POST", "headers": headers}
    return Request(scope, receive)


def read(body: bytes, kind: str = forms.PLAIN) -> Form:
    return asyncio.run(forms.read(request(body, kind)))


def test_form_has_what_was_typed() -> None:
    typed = [
        ("answer", " January\r\nor February "),
        ("item", "item_1"),
        ("item", " "),
        ("item", "item_2"),
        ("values", "one\r\n\r\n two \r\n    more\r\n    \r\n     of it\n"),
        ("priority", "3"),
        ("empty", ""),
    ]

    form = read(urlencode(typed).encode())

    assert form.text("answer") == "January\nor February"
    assert form.text("missing") == ""
    assert form.texts("item") == ("item_1", "item_2")
    assert form.values("values") == ("one", "two \nmore\n\n of it")
    assert form.number("priority") == 3
    assert form.number("empty") is None
    assert form.has("empty")
    assert not form.has("missing")


def test_form_with_a_file_has_its_text() -> None:
    form = read(FILE, WITH_FILE)

    assert form.text("plan") == "project: Über\nitems: []"
    assert form.fields == (("plan", "project: Über\r\nitems: []"),)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"answer=%ff", forms.PLAIN),
        (b"answer=\xff", forms.PLAIN),
        (b"&".join(b"a=1" for _ in range(3000)), forms.PLAIN),
        (b"answer=1", "text/plain"),
        (b"{}", "application/json"),
        (b"answer=1", ""),
        (b"", "multipart/form-data"),
        (b"--x", "multipart/form-data; boundary="),
        (FILE.replace(b"\xc3\x9c", b"\xff"), WITH_FILE),
        (FILE, 'multipart/form-data;"' + ";" * 60_000),
        (FILE.replace(b'name="csrf"', b'name=";' + b";" * 4000), WITH_FILE),
        (FILE.removesuffix(b"--\r\n"), WITH_FILE),
        (FILE[: FILE.index(b"\r\n\r\n")] + b"\r\n--x--", WITH_FILE),
        (b"--x\r\n\r\n" * 3000 + b"--x--", WITH_FILE),
    ],
)
def test_broken_form_is_refused(body: bytes, kind: str) -> None:
    with pytest.raises(errors.Usage):
        read(body, kind)


@pytest.mark.parametrize("number", ["1.5", "x", "--1", "٣", "9" * 16])
def test_odd_number_is_refused(number: str) -> None:
    form = Form([("priority", number)])

    with pytest.raises(errors.Usage, match="priority"):
        form.number("priority")


def test_same_form_has_the_same_digest() -> None:
    first = Form([("key", "k"), ("answer", "yes\r\n1"), ("force", "1")])
    again = Form(
        [("csrf", "c"), ("force", "1"), ("answer", "yes\n1 "), ("key", "k")]
    )
    changed = Form([("key", "k"), ("answer", "no"), ("force", "1")])
    later = Form([("key", "l"), ("answer", "yes\n1"), ("force", "1")])

    assert first.digest == again.digest
    assert len({first.digest, changed.digest, later.digest}) == 3


def test_kept_form_is_the_same_again() -> None:
    typed = Form([("csrf", "c"), ("answer", "a=b&c\r\n“ü” \0"), ("x", "")])

    kept = forms.decoded(typed.encoded)

    assert kept.fields == typed.fields
    assert kept.text("csrf") == ""


def test_form_of_another_session_is_refused() -> None:
    shown = forms.csrf_of("tok_1")

    forms.need_csrf(shown, "tok_1")

    for other in ("", "é", shown[:-1], forms.csrf_of("tok_2")):
        with pytest.raises(errors.NotAllowed):
            forms.need_csrf(other, "tok_1")


def test_large_form_of_a_stranger_is_refused() -> None:
    sent = request(b"answer=" + b"1" * 100)

    with pytest.raises(TooLong):
        asyncio.run(forms.read(sent, 100))


def test_form_is_read_once() -> None:
    sent = request(b"answer=1")

    async def read_twice() -> None:
        await forms.read(sent)
        assert await forms.read_if_possible(sent) is None

    asyncio.run(read_twice())
