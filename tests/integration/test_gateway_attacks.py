"""Slow, broken and hostile clients of a gateway, while others are served."""

import os
import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support import gateways
from support.commands import eventually
from support.gateways import Gateway, HttpClient
from support.raw_http import SlowClient, head, opened, replies_to
from taskorch.domain.role import Role
from taskorch.queue import keys
from taskorch.version import __version__

NAMESPACE = "attacked"
MEGABYTE = 1024 * 1024
#: More than a process serves at a time.
CROWD = 5_000
#: Longer than every time limit of the gateway.
ALL_CUT_WITHIN_S = 90
DISCOVERIES, DISCOVERY_CHARACTERS = 16, 60_000
SMUGGLED = head("/healthz", method="GET")


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running
        assert "Traceback" not in running.log


@pytest.fixture(scope="module")
def ada(gateway: Gateway) -> str:
    """Return the token of a client that behaves well."""
    return gateway.token("ada", Role.WORKER)


@pytest.fixture(scope="module")
def eve(gateway: Gateway) -> str:
    """Return the token of one that does not."""
    return gateway.token("eve", Role.WORKER)


@pytest.fixture
def polite(gateway: Gateway, ada: str) -> Iterator[HttpClient]:
    """Return a client that behaves well, and is served before and after the test."""
    with closing(HttpClient(gateway, ada)) as client:
        check_served(client)
        yield client
        check_served(client)


def call(script: str, *words: str, name: str = "ada") -> dict[str, object]:
    caller = [os.urandom(8).hex(), name, "here", "1", "", __version__]
    key = keys.meta(NAMESPACE)
    return {"script": script, "key": key, "arguments": [*caller, *words]}


def check_served(client: HttpClient) -> None:
    """Fail unless a call of this client gets its reply."""
    status, reply = client.post("/call", call("check", "10"))
    assert status == 200, reply


def memory(gateway: Gateway) -> int:
    """Return the resident memory of the gateway in bytes."""
    status = Path(f"/proc/{gateway.pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found
    return int(found[1]) * 1024


def open_files(gateway: Gateway) -> int:
    return sum(1 for _ in Path(f"/proc/{gateway.pid}/fd").iterdir())


def large_replies(gateway: Gateway, number: int) -> bytes:
    """Return requests whose replies have almost a megabyte each."""
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Large").stdout.strip()
    planner.orchestrate("create", project, "It", "--assign", "ada")
    item = ada.worker("--json", "pop").data()["id"]
    with closing(HttpClient(gateway, gateway.token("ada", "admin"))) as client:
        found = call("discover", item, "", "x" * DISCOVERY_CHARACTERS, "")
        for _ in range(DISCOVERIES):
            found["arguments"][0] = os.urandom(8).hex()  # type: ignore[index]
            status, reply = client.post("/call", found)
            assert status == 200, reply
    token = planner.variables["TASKORCH_TOKEN"]
    return number * request(
        token, call("discoveries", project, "", "100", name="planner")
    )


def request(token: str, body: dict[str, object]) -> bytes:
    text = json_of(body)
    return (
        head(
            "/call",
            f"Authorization: Bearer {token}",
            f"Content-Length: {len(text)}",
        )
        + text
    )


def json_of(body: dict[str, object]) -> bytes:
    import json

    return json.dumps(body).encode()


def test_slow_clients_are_cut_while_others_are_served(
    gateway: Gateway, polite: HttpClient, eve: str
) -> None:
    long = "Content-Length: 5000000"
    chunked = "Transfer-Encoding: chunked"
    shown = f"Authorization: Bearer {eve}"
    begins = {
        "nothing": (b"", b""),
        "empty lines": (b"", b"\n"),
        "a slow head": (
            b"POST /call HTTP/1.1\r\nHost: localhost\r\nX: ",
            b"x",
        ),
        "half a head": (b"POST /call HTT", b""),
        "a slow body of a stranger": (head("/call", long), b"x"),
        "a slow body": (head("/call", long, shown), b"x"),
        "a body without an end": (head("/call", chunked, shown), b"0"),
        "a body that no one reads": (
            head("/healthz", long, method="GET"),
            b"x",
        ),
        "a long extension": (head("/call", chunked) + b"1;x=", b"y"),
        "unread replies": (large_replies(gateway, 9), b""),
    }
    with ExitStack() as stack:
        slow = {
            name: stack.enter_context(closing(SlowClient(gateway, *begin)))
            for name, begin in begins.items()
        }
        left = set(slow)

        def are_cut() -> bool:
            check_served(polite)
            left.difference_update(
                name for name in tuple(left) if slow[name].is_cut()
            )
            return not left

        with suppress(AssertionError):
            eventually(are_cut, within_s=ALL_CUT_WITHIN_S)

    assert left == set()


def test_oldest_idle_connections_give_way(
    gateway: Gateway, ada: str, polite: HttpClient
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * CROWD
    if 0 <= hard < needed:
        pytest.skip(f"a process may not open {needed} files here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    before = memory(gateway)
    try:
        with ExitStack() as stack:
            for _ in range(CROWD):
                stack.enter_context(opened(gateway))
            fresh = stack.enter_context(closing(HttpClient(gateway, ada)))
            check_served(fresh)
            held = open_files(gateway)
            grown = memory(gateway) - before
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 4_000 < held < 4_096 + 128
    assert grown < 100 * MEGABYTE
    eventually(lambda: open_files(gateway) < 100)
    polite.close()  # it was idle, too


def test_requests_far_ahead_are_cut(
    gateway: Gateway, polite: HttpClient
) -> None:
    before = memory(gateway)
    flood = head("/call", "Content-Length: 0") * 20_000
    for _ in range(20):
        replies = replies_to(gateway, flood)
        assert replies.count(b"HTTP/1.1 ") < 100

    check_served(polite)
    assert memory(gateway) - before < 30 * MEGABYTE


def test_large_bodies_and_heads_leave_memory_bounded(
    gateway: Gateway, polite: HttpClient, eve: str
) -> None:
    body = json_of(call("check", "x" * 10_000_000, name="eve"))
    length = f"Content-Length: {len(body)}"
    replies_to(gateway, head("/call", "Connection: close", length), body)
    before = memory(gateway)
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(opened(gateway))
            client.sendall(head("/call", "X: " + "y" * 60_000)[:-2])
        for shown in (f"Authorization: Bearer {eve}", "X: y"):
            for _ in range(10):
                reply = replies_to(
                    gateway,
                    head("/call", shown, length, "Connection: close"),
                    body,
                )
                assert reply[:12] in (b"HTTP/1.1 413", b"HTTP/1.1 401", b"")
                check_served(polite)

        assert memory(gateway) - before < 64 * MEGABYTE


@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5, 6",),
        ("Content-Length: +5",),
        ("Content-Length: 0x5",),
        ("Content-Length: -1",),
        ("Content-Length: 5\r\n 6",),
        ("Content-Length : 5",),
        ("Transfer-Encoding: xchunked",),
        ("Transfer-Encoding: chunked, identity",),
        ("Transfer-Encoding : chunked",),
        ("Transfer-Encoding:\x0bchunked",),
        ("X: a\x00b", "Content-Length: 0"),
    ],
    ids=range(14),
)
def test_request_of_two_lengths_is_refused(
    gateway: Gateway, polite: HttpClient, headers: tuple[str, ...]
) -> None:
    body = b"0\r\n\r\n"

    replies = replies_to(gateway, head("/call", *headers) + body + SMUGGLED)

    check_served(polite)
    assert replies.startswith(b"HTTP/1.1 400")
    assert replies.count(b"HTTP/1.1 ") == 1
    assert b"healthy" not in replies


@pytest.mark.parametrize(
    "chunks",
    [
        b"5;x\r\n{}\r\n0\r\n\r\n",
        b"-1\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\n{}\r\n",
        b"2\r\n{}x\r\n0\r\n\r\n",
        b"2\n{}\n0\n\n",
        b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n",
    ],
)
def test_malformed_chunks_are_refused(
    gateway: Gateway, polite: HttpClient, eve: str, chunks: bytes
) -> None:
    shown = f"Authorization: Bearer {eve}"

    replies = replies_to(
        gateway,
        head("/call", shown, "Transfer-Encoding: chunked"),
        chunks + SMUGGLED,
    )

    check_served(polite)
    assert b"healthy" not in replies
    assert b"HTTP/1.1 200" not in replies


@pytest.mark.parametrize(
    "begin",
    [
        b"CONNECT example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /call HTTP/0.9\r\n\r\n",
        b"POST /c\xffll HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /%00%ff%2e%2e/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        head("/" + "x" * 60_000),
        head("/call", "Upgrade: websocket", "Connection: Upgrade"),
        head("/call", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"),
        head("/call", "Expect: 100-continue", "Content-Length: 2") + b"{}",
        head("/call", "Connection: close", method="BREW"),
        b"\x00" * 1000,
        b"\r\n" * 1000 + b"x\r\n\r\n",
    ],
    ids=range(13),
)
def test_odd_request_leaves_the_gateway_running(
    gateway: Gateway, polite: HttpClient, begin: bytes
) -> None:
    with opened(gateway) as client:
        client.sendall(begin)
        with suppress(OSError):  # the gateway may have closed the connection
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)

    check_served(polite)
    assert "Traceback" not in gateway.log


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (("Host: localhost",), 200),
        (("Host: LOCALHOST:1",), 200),
        (("Host: [::1]:1",), 200),
        (("Host: localhost", "Origin: http://localhost"), 200),
        (("Host: localhost:1", "Origin: https://localhost:1"), 200),
        (("Host: evil.example",), 403),
        (("Host: evil.example", "Origin: http://evil.example"), 403),
        (("Host: localhost.evil.example",), 403),
        (("Host: localhost@evil.example",), 403),
        (("Host: evil.example@localhost",), 403),
        (("Host: localhost", "Host: evil.example"), 403),
        (("Host: ",), 403),
        ((), 403),
        (("Host: localhost", "Origin: null"), 403),
        (("Host: localhost", "Origin: http://localhost:1"), 403),
        (("Host: localhost", "Origin: http://[::1"), 403),
        (("Host: localhost", "Origin: http://evil.example"), 403),
    ],
)
def test_host_and_origin_are_checked(
    gateway: Gateway, headers: tuple[str, ...], status: int
) -> None:
    lines = ["GET /healthz HTTP/1.1", *headers, "Connection: close", "", ""]

    reply = replies_to(gateway, "\r\n".join(lines).encode())

    # a request of HTTP/1.1 without a host is malformed
    assert reply.startswith(
        (f"HTTP/1.1 {status}".encode(), b"HTTP/1.1 400")
        if not headers
        else f"HTTP/1.1 {status}".encode()
    )


def test_readiness_costs_redis_one_call_at_a_time(gateway: Gateway) -> None:
    ask = head("/readyz", method="GET")
    before = calls_of_redis(gateway)

    for _ in range(100):
        with opened(gateway) as client:
            client.sendall(ask)
            assert b"200 OK" in client.recv(65536)

    assert calls_of_redis(gateway) - before < 100


def calls_of_redis(gateway: Gateway) -> int:
    """Return how many functions Redis has run."""
    import redis

    url = gateway.shell.variables["TASKORCH_REDIS_URL"]
    with redis.Redis.from_url(url) as client:
        stats = client.info("commandstats")
    return sum(
        int(stats.get(f"cmdstat_{name}", {}).get("calls", 0))
        for name in ("fcall", "evalsha", "eval")
    )


def test_strangers_are_refused_before_their_bodies_are_read(
    gateway: Gateway,
) -> None:
    with opened(gateway) as client:
        client.sendall(head("/call", "Content-Length: 8000000"))

        reply = client.recv(65536)

    assert reply.startswith(b"HTTP/1.1 401")
    assert Role.WORKER not in reply.decode()


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("POST", "/no-such", 404),
        ("POST", "/call/x", 404),
        ("PUT", "/call", 405),
    ],
)
def test_unknown_route_gets_an_error_document(
    gateway: Gateway, method: str, target: str, status: int
) -> None:
    with closing(HttpClient(gateway)) as client:
        found, reply = client.request(method, target, b"")

    assert found == status
    assert reply["error"]["code"] == "NO_VERB"
    assert f"{method} {target}" in reply["error"]["message"]
