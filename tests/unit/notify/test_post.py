"""One attempt to send a message: how it ends at a target that behaves well or badly."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import pytest
from support import certificates, connect_proxy, http_target
from support.certificates import Issued
from support.http_target import Target
from taskorch.config import notify_target
from taskorch.config.notify_target import NotifyTarget
from taskorch.domain.notification import AttemptOutcome
from taskorch_orchestrator.notify.post import HttpMessage, post

MESSAGE = HttpMessage(
    headers={"Content-Type": "text/plain"}, body="hällo".encode()
)
SHORT_S = 1.0
#: Long enough for a connection and the greeting of TLS on a busy machine.
SLOW_S = 5.0
LONG_S = 30.0


HOOK = "https://hooks.example/hook?key=s3cret"


@pytest.fixture
def target() -> Iterator[Target]:
    with http_target.running() as running:
        yield running


@pytest.fixture
def issued(tmp_path: Path) -> Issued:
    return certificates.issue(tmp_path, "hooks.example", "localhost")


@pytest.fixture
def encrypted(issued: Issued) -> Iterator[Target]:
    with http_target.running(issued.context) as running:
        yield running


@pytest.fixture(autouse=True)
def direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out a proxy that this machine may need."""
    for name in ("HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def at(url: str, *, allow_private: bool = True) -> NotifyTarget:
    table = {"url": url, "allow_private": allow_private}
    (found,) = notify_target.targets([table], "config.toml")
    return found


@pytest.fixture
def refusing_port() -> Iterator[int]:
    """Take a port at which nothing listens: connections are refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@contextmanager
def silent(place: tuple[str, int]) -> Iterator[None]:
    """Listen at an address whose queue is full: further connections get no answer."""
    with ExitStack() as opened:
        server = opened.enter_context(socket.socket())
        server.bind(place)
        server.listen(0)
        for _ in range(4):
            client = opened.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(place)
        yield


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

    attempt = post(at(target.url), MESSAGE, timeout_s=SLOW_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "no answer within 5 s; it may have the message" in attempt.reason
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


def test_refused_connection_may_be_repeated(refusing_port: int) -> None:
    url = f"http://127.0.0.1:{refusing_port}/"

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


def test_silent_address_leaves_time_for_the_next(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, target.port))
        for each in ("127.0.0.2", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    url = f"http://two.example:{target.port}/"

    with silent(("127.0.0.2", target.port)):
        attempt = post(at(url), MESSAGE, timeout_s=2 * SLOW_S)

    assert attempt.outcome is AttemptOutcome.SENT, attempt.reason
    assert len(target.requests) == 1


def test_message_arrives_over_tls(
    encrypted: Target, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.authority))

    attempt = post(
        at(encrypted.url_at("localhost")), MESSAGE, timeout_s=LONG_S
    )

    assert (attempt.outcome, attempt.reason) == (AttemptOutcome.SENT, "")
    (request,) = encrypted.requests
    assert request.body == MESSAGE.body
    assert request.headers["host"] == f"localhost:{encrypted.port}"


def test_untrusted_certificate_gets_no_message(encrypted: Target) -> None:
    attempt = post(
        at(encrypted.url_at("localhost")), MESSAGE, timeout_s=LONG_S
    )

    assert attempt.outcome is AttemptOutcome.RETRY
    assert "its certificate is not valid" in attempt.reason
    assert "SSL_CERT_FILE" in attempt.reason
    assert encrypted.requests == []


def test_certificate_of_another_host_gets_no_message(
    encrypted: Target, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.authority))

    attempt = post(
        at(encrypted.url_at("127.0.0.1")), MESSAGE, timeout_s=LONG_S
    )

    assert attempt.outcome is AttemptOutcome.RETRY
    assert "its certificate is not valid" in attempt.reason
    assert "127.0.0.1" in attempt.reason
    assert "SSL_CERT_FILE" not in attempt.reason
    assert encrypted.requests == []


def test_slow_target_with_tls_is_given_up(
    encrypted: Target, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.authority))
    encrypted.answer = http_target.hangs
    url = encrypted.url_at("localhost")

    attempt = post(at(url), MESSAGE, timeout_s=SLOW_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "it may have the message" in attempt.reason


def test_message_goes_through_the_proxy(
    encrypted: Target, issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("127.0.0.1", encrypted.port)
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.authority))
    with connect_proxy.on_loopback({"hooks.example:443": place}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)

        attempt = post(
            at(HOOK, allow_private=False), MESSAGE, timeout_s=LONG_S
        )

    assert (attempt.outcome, attempt.reason) == (AttemptOutcome.SENT, "")
    assert proxy.tunnels == ["hooks.example:443"]
    (request,) = encrypted.requests
    assert (request.path, request.body) == ("/hook?key=s3cret", MESSAGE.body)
    assert request.headers["host"] == "hooks.example"
    assert "proxy-authorization" not in request.headers


def test_proxy_does_not_replace_the_certificate(
    encrypted: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ("127.0.0.1", encrypted.port)
    with connect_proxy.on_loopback({"hooks.example:443": place}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)

        attempt = post(at(HOOK), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.RETRY
    assert "its certificate is not valid" in attempt.reason
    assert encrypted.requests == []


def test_refusal_of_proxy_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with connect_proxy.on_loopback({}) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)

        attempt = post(at(HOOK), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.RETRY
    assert attempt.reason == (
        f"no connection: the proxy 127.0.0.1:{proxy.port} answered with HTTP status 403"
    )
    assert proxy.refused == ["hooks.example:443"]


def test_silent_proxy_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")

        attempt = post(at(HOOK), MESSAGE, timeout_s=SHORT_S)

    assert attempt.outcome is AttemptOutcome.RETRY
    assert attempt.reason == "no connection: not within 1 s"


def test_no_proxy_names_hosts_without_proxy(
    encrypted: Target,
    issued: Issued,
    refusing_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(issued.authority))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{refusing_port}")
    monkeypatch.setenv("NO_PROXY", "other.example, localhost")

    attempt = post(
        at(encrypted.url_at("localhost")), MESSAGE, timeout_s=LONG_S
    )

    assert attempt.outcome is AttemptOutcome.SENT


def test_target_without_tls_needs_no_proxy(
    target: Target, refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{refusing_port}")

    attempt = post(at(target.url), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.SENT


def test_address_of_no_http_proxy_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:s3cret@proxy.example:1080")

    attempt = post(at(HOOK), MESSAGE, timeout_s=LONG_S)

    assert attempt.outcome is AttemptOutcome.FAILED
    assert "HTTPS_PROXY is not the address" in attempt.reason
    assert "s3cret" not in attempt.reason


def test_proxy_connects_to_https_target(
    refusing_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = f"http://127.0.0.1:{refusing_port}"
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
