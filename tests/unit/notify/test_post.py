"""One attempt to send a message: how it ends at a target that behaves well or badly."""

import socket
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
from support import http_target
from support.http_target import Target
from taskorch.config import notify_target
from taskorch.config.notify_target import NotifyTarget
from taskorch.domain.notification import AttemptOutcome
from taskorch_orchestrator.notify.post import HttpMessage, post

MESSAGE = HttpMessage(
    headers={"Content-Type": "text/plain"}, body="hällo".encode()
)
SHORT_S = 0.3
LONG_S = 30.0


@pytest.fixture
def target() -> Iterator[Target]:
    with http_target.running() as running:
        yield running


def at(url: str, *, allow_private: bool = True) -> NotifyTarget:
    table = {"url": url, "allow_private": allow_private}
    (found,) = notify_target.targets([table], "config.toml")
    return found


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_message_is_posted_with_its_headers(target: Target) -> None:
    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert (attempt.outcome, attempt.reason) == (AttemptOutcome.SENT, "")
    (request,) = target.requests
    assert request.path == "/hook?key=s3cret"
    assert request.body == MESSAGE.body
    assert request.headers["host"] == f"127.0.0.1:{target.port}"
    assert request.headers["content-type"] == "text/plain"


@pytest.mark.parametrize(
    ("number", "outcome"),
    [
        (200, AttemptOutcome.SENT),
        (204, AttemptOutcome.SENT),
        (400, AttemptOutcome.FAILED),
        (404, AttemptOutcome.FAILED),
        (408, AttemptOutcome.RETRY),
        (429, AttemptOutcome.RETRY),
        (500, AttemptOutcome.RETRY),
        (503, AttemptOutcome.RETRY),
    ],
)
def test_status_says_how_attempt_ended(
    target: Target, number: int, outcome: AttemptOutcome
) -> None:
    target.answer = http_target.status(number)

    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is outcome
    assert (str(number) in attempt.reason) == (
        outcome is not AttemptOutcome.SENT
    )


def test_redirect_is_not_followed(target: Target) -> None:
    with http_target.running() as elsewhere:
        target.answer = http_target.status(307, f"Location: {elsewhere.url}")

        attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

        assert attempt.outcome is AttemptOutcome.FAILED
        assert "redirect" in attempt.reason
        assert elsewhere.requests == []


@pytest.mark.parametrize("answer", [http_target.hangs, http_target.drips])
def test_slow_target_is_given_up_in_time(
    target: Target, answer: Callable[[Target, socket.socket], None]
) -> None:
    target.answer = answer
    began = monotonic()

    attempt = post(at(target.url), MESSAGE, timeout_s=SHORT_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "no answer within 0.3 s; it may have the message" in attempt.reason
    assert monotonic() - began < LONG_S


def test_body_of_answer_is_not_read(target: Target) -> None:
    target.answer = http_target.floods

    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.SENT


def test_endless_head_of_answer_is_refused(target: Target) -> None:
    target.answer = http_target.floods_head

    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "not HTTP" in attempt.reason


@pytest.mark.parametrize("reply", [b"", b"SSH-2.0-OpenSSH_9\r\n", b"\0\0"])
def test_message_is_not_repeated_without_http_answer(
    target: Target, reply: bytes
) -> None:
    target.answer = http_target.answers(reply)

    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.FAILED


def test_refused_connection_may_be_repeated() -> None:
    url = f"http://127.0.0.1:{unused_port()}/"

    attempt = post(at(url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.RETRY
    assert "Connection refused" in attempt.reason


def test_target_without_tls_may_be_tried_again(
    target: Target,
) -> None:
    url = f"https://127.0.0.1:{target.port}/"
    began = monotonic()

    attempt = post(at(url), MESSAGE, timeout_s=SHORT_S)

    assert attempt.outcome is AttemptOutcome.RETRY
    assert monotonic() - began < LONG_S


def test_unknown_name_may_be_tried_again() -> None:
    attempt = post(at("http://nowhere.invalid/"), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.RETRY


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "10.1.2.3",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "[::1]",
        "[fd00::1]",
        "[fe80::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_private_address_needs_permission(host: str) -> None:
    url = f"http://{host}:1/"

    attempt = post(at(url, allow_private=False), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "allow_private = true" in attempt.reason


def test_name_that_leads_to_loopback_is_refused(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("127.0.0.1", target.port)
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)],
    )
    url = f"http://rebound.example:{target.port}/"

    attempt = post(at(url, allow_private=False), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert target.requests == []


def test_checked_address_is_the_one_that_is_used(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[object]:
        looked_up.append(host)
        place = ("127.0.0.1", port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    url = f"http://rebound.example:{target.port}/"

    attempt = post(at(url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.SENT
    assert looked_up == ["rebound.example"]


def test_proxy_connects_to_https_target(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = f"http://127.0.0.1:{unused_port()}"
    monkeypatch.setenv("HTTPS_PROXY", proxy)

    attempt = post(
        at("https://hooks.example/x", allow_private=False),
        MESSAGE,
        timeout_s=LONG_S,
    )
    private = post(
        at("https://10.0.0.1/x", allow_private=False),
        MESSAGE,
        timeout_s=LONG_S,
    )

    assert attempt.outcome is AttemptOutcome.RETRY
    assert "Connection refused" in attempt.reason
    assert "allow_private" in private.reason
