"""One access token cannot take all connections of a gateway, nor can a stranger."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection

import pytest
from support.commands import Shell, eventually
from support.gateways import Gateway, HttpClient
from support.mcp_http import MODERN, WORKER, message
from support.raw_http import head, opened
from taskorch.domain.role import Role
from taskorch.queue import keys
from taskorch_gateway.bounded_http import SPARE
from taskorch_gateway.open_requests import PARTS, REQUESTS
from taskorch_gateway.server import OTHER_FILES

NAMESPACE = "crowded"
CONNECTIONS = 40
MOST = CONNECTIONS // PARTS
#: Longer than any test: the places become free because the clients leave.
WAIT_S = 55
#: A client that opens its requests, says so, and lives on.
CLIENT = """
import socket, sys, time
port, number, request = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].encode()
opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(number)]
for each in opened:
    each.sendall(request)
print("ready", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    """Return a gateway whose process has few connections."""
    variables = {
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": NAMESPACE,
    }
    shell = Shell(tmp_path_factory.mktemp("gateway"), variables)
    running = Gateway(shell, files=CONNECTIONS + OTHER_FILES)
    running.start()
    try:
        yield running
        assert "Traceback" not in running.log
    finally:
        running.kill()


@pytest.fixture(scope="module")
def eve(gateway: Gateway) -> str:
    """Return the token of a client that waits as often as it can."""
    return gateway.token("eve", Role.WORKER)


@pytest.fixture(scope="module")
def viewer(gateway: Gateway) -> str:
    return gateway.token("eve", Role.VIEWER)


@pytest.fixture
def polite(gateway: Gateway) -> Iterator[HttpClient]:
    """Return a client with another token."""
    token = gateway.token("ada", Role.WORKER)
    with closing(HttpClient(gateway, token)) as client:
        yield client


def post(target: str, token: str, content: bytes, *headers: str) -> bytes:
    """Return a request of a token."""
    length = f"Content-Length: {len(content)}"
    shown = f"Authorization: Bearer {token}"
    kind = "Content-Type: application/json"
    return head(target, shown, kind, length, *headers) + content


def wait(token: str, seconds: float = WAIT_S) -> bytes:
    body = {"key": keys.wake(NAMESPACE, "eve"), "seconds": seconds}
    return post("/wait", token, json.dumps(body).encode())


def pop(token: str) -> bytes:
    return post(
        "/api/v1/worker/pop", token, json.dumps({"wait": WAIT_S}).encode()
    )


def tool(token: str) -> bytes:
    content = message(
        "tools/call",
        name="pop",
        arguments={"wait": WAIT_S},
        _meta=MODERN,
    )
    return post(
        WORKER,
        token,
        content,
        "Accept: application/json, text/event-stream",
        "MCP-Protocol-Version: 2026-07-28",
        "Mcp-Method: tools/call",
        "Mcp-Name: pop",
    )


def events(token: str) -> bytes:
    shown = f"Authorization: Bearer {token}"
    return head("/api/v1/events", shown, method="GET")


def status_of(gateway: Gateway, token: str) -> int:
    """Return the status of a call that takes a moment."""
    with closing(HttpClient(gateway, token)) as client:
        return client.get("/api/v1/whoami")[0]


def is_full(gateway: Gateway, token: str) -> bool:
    return status_of(gateway, token) == 429


def fill(
    stack: ExitStack,
    gateway: Gateway,
    token: str,
    request_of: Callable[[str], bytes],
) -> list[socket.socket]:
    """Open requests of a token until it may have no more; return their clients."""
    clients = []
    while not is_full(gateway, token):
        clients.append(stack.enter_context(opened(gateway)))
        clients[-1].sendall(request_of(token))
    return clients


def is_free(
    gateway: Gateway, token: str, request_of: Callable[[str], bytes]
) -> bool:
    """Return whether a token may open all of its requests again."""
    with ExitStack() as stack:
        for _ in range(MOST - 1):
            client = stack.enter_context(opened(gateway))
            client.sendall(request_of(token))
            if is_full(gateway, token):
                return False
    return True


@pytest.fixture(params=[wait, pop, tool, events])
def request_of(request: pytest.FixtureRequest) -> Callable[[str], bytes]:
    """Return what makes the bytes of a request that stays open, for a token."""
    made: Callable[[str], bytes] = request.param
    return made


@pytest.fixture
def token(request_of: Callable[[str], bytes], eve: str, viewer: str) -> str:
    """Return a token that may make the request."""
    return viewer if request_of is events else eve


def test_one_token_leaves_room_for_others(
    gateway: Gateway,
    polite: HttpClient,
    token: str,
    request_of: Callable[[str], bytes],
) -> None:
    with ExitStack() as stack:
        fill(stack, gateway, token, request_of)
        for _ in range(MOST):
            refused = stack.enter_context(opened(gateway))
            refused.sendall(request_of(token))

            assert refused.recv(65536).startswith(b"HTTP/1.1 429")

        assert polite.get("/api/v1/whoami")[0] == 200

    eventually(lambda: not is_full(gateway, token))


@pytest.mark.parametrize(
    "path", ["/sign-in", "/theme", "/items/item_11aa22bb/answer"]
)
def test_slow_forms_of_strangers_leave_room_for_others(
    gateway: Gateway, eve: str, path: str
) -> None:
    begun = form(path) + b"t"

    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(opened(gateway)).sendall(begun)
        eventually(lambda: is_refused(gateway, begun))
        for _ in range(CONNECTIONS + SPARE):
            stack.enter_context(opened(gateway)).sendall(begun)

        assert status_of(gateway, eve) == 200

    eventually(lambda: not is_refused(gateway, begun))


def form(path: str) -> bytes:
    """Return the head of a form of somebody without a token."""
    kind = "Content-Type: application/x-www-form-urlencoded"
    return head(path, "Origin: http://localhost", kind, "Content-Length: 100")


def is_refused(gateway: Gateway, begun: bytes) -> bool:
    """Return whether a form is refused before its body is complete."""
    with opened(gateway) as client:
        client.sendall(begun)
        client.settimeout(0.2)
        with suppress(TimeoutError):
            return client.recv(65536).startswith(
                (b"HTTP/1.1 429", b"HTTP/1.1 401")
            )
    return False


def test_refusal_names_bound_and_time(gateway: Gateway, eve: str) -> None:
    with ExitStack() as stack:
        fill(stack, gateway, eve, wait)
        connection = HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        with closing(connection):
            shown = {"Authorization": f"Bearer {eve}"}
            connection.request("GET", "/api/v1/whoami", headers=shown)
            reply = connection.getresponse()
            error = json.loads(reply.read())["error"]

    assert (reply.status, reply.headers["Retry-After"]) == (429, "2")
    assert (error["code"], error["retryable"]) == ("RATE_LIMITED", True)
    assert f"{MOST} {REQUESTS}" in error["message"]


def test_refusals_are_counted_and_recorded(
    gateway: Gateway, eve: str, viewer: str
) -> None:
    with ExitStack() as stack:
        fill(stack, gateway, eve, wait)

    counted = 'requests_total{code="429",route="/api/v1/whoami"}'
    eventually(lambda: counted in metrics(gateway, viewer))
    eventually(lambda: "RATE_LIMITED" in audit_of(gateway))


def metrics(gateway: Gateway, token: str) -> str:
    connection = HTTPConnection("127.0.0.1", gateway.port, timeout=60)
    with closing(connection):
        shown = {"Authorization": f"Bearer {token}"}
        connection.request("GET", "/metrics", headers=shown)
        return connection.getresponse().read().decode()


def audit_of(gateway: Gateway) -> str:
    return gateway.shell.orchestrate("audit", "--name", "eve").stdout


def test_client_that_leaves_frees_its_place(
    gateway: Gateway,
    token: str,
    request_of: Callable[[str], bytes],
) -> None:
    with ExitStack() as stack:
        clients = fill(stack, gateway, token, request_of)

        for client in clients[::2]:
            client.close()
        for client in clients[1::2]:
            client.shutdown(socket.SHUT_WR)

        eventually(lambda: is_free(gateway, token, request_of))


def test_killed_client_frees_its_places(gateway: Gateway, viewer: str) -> None:
    request = events(viewer).decode()
    words = (str(gateway.port), str(MOST), request)
    client = subprocess.Popen(
        (sys.executable, "-c", CLIENT, *words), stdout=subprocess.PIPE
    )
    try:
        assert client.stdout
        assert client.stdout.readline()
        eventually(lambda: is_full(gateway, viewer))
    finally:
        os.kill(client.pid, signal.SIGKILL)
        client.communicate()

    eventually(lambda: is_free(gateway, viewer, events))


def test_wait_that_ends_frees_its_place(gateway: Gateway, eve: str) -> None:
    with opened(gateway) as client:
        for _ in range(2 * MOST):
            client.sendall(wait(eve, seconds=0))

            assert client.recv(65536).startswith(b"HTTP/1.1 200")


def test_broken_request_frees_its_place(gateway: Gateway, eve: str) -> None:
    for _ in range(2 * MOST):
        # a gateway that is full closes the connection
        with opened(gateway) as client, suppress(OSError):
            client.sendall(post("/call", eve, b"{")[:-1])
            client.shutdown(socket.SHUT_WR)
            client.recv(65536)

    eventually(lambda: not is_full(gateway, eve))
