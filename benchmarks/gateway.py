"""The gateway: commands over it, clients at full speed, and a thousand idle waits."""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, sleep
from typing import Any, cast

import redis
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Connection
from taskorch.transport import gateway

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.page import REPOSITORY
from benchmarks.queues import (
    agent,
    cpu_s,
    fill,
    filled,
    rooted,
    settle,
)
from benchmarks.report import report
from benchmarks.workflow import BIN, environment, walk

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = float(os.environ.get("BENCH_SECONDS", "30"))
WAITS = int(os.environ.get("BENCH_WAITERS", "1000"))
CLIENTS = (1, 8)
#: What the clients of a row do together that do not work at full speed.
PAIRS_A_SECOND = 400
LOADS = 3
#: More than a gateway completes.
ITEMS_A_SECOND = 1500
QUIET_S = 10
#: Processor time that a gateway uses in half a second while it rests.
RESTS_S = 0.02
#: What the reply to a wait has, or an event.
NEWS = (b'"reply"', b"data: ")
WAIT_S = 50
START_S = 30
NAMESPACE = "default"
#: The names of the rows.
SOCKET, HTTP, TLS = "socket", "gateway", "gateway, TLS"
STREAMS = "gateway, event streams"
COMMANDS = {
    "socket": Figure(title="on the socket, ms", digits=1),
    "http": Figure(title="over the gateway, ms", digits=1),
    "ratio": Figure(title="socket = 1", digits=2),
    "tls": Figure(title="with TLS, ms", digits=1),
    "tls_ratio": Figure(title="socket = 1", digits=2),
    "cpu": Figure(title="processor time over the gateway, ms", digits=1),
    "tls_cpu": Figure(title="with TLS, ms", digits=1),
}
LOAD = {
    "pairs": Figure(
        title="pairs/s", more_is_better=True, digits=0, compared=False
    ),
    "p50": Figure(title="a call, p50, ms", digits=2, compared=False),
    "p99": Figure(title="p99, ms", digits=2, compared=False),
    "call": Figure(
        title="processor time of the gateway for a call, ms",
        digits=2,
        compared=False,
    ),
}
IDLE = {
    "commands": Figure(title="commands of Redis in 10 s"),
    "core": Figure(title="the gateway, % of a core", digits=2),
    "before": Figure(title="its memory before, MB", digits=1),
    "memory": Figure(title="its memory, MB", digits=1),
    "last": Figure(title="until one event has ended all, ms"),
}


#: Returns the request of the client with a number, from a cursor on, without host and
#: token; and whether an event reaches it.
IdleRequest = Callable[[int, str], tuple[str, bool]]


@dataclass(frozen=True, kw_only=True)
class Served:
    """A gateway that runs, and an access token that may do everything."""

    pid: int
    url: str
    token: str
    #: PEM file of the authority that signed its certificate; "" without TLS.
    authority: str

    def connection(self) -> Connection:
        """Return a connection of the library, without repeats."""
        return gateway.GatewayConnection(gateway.parse(self.url, self.token))


def measure() -> Iterator[Comparison]:
    """Measure commands, clients at full speed, and idle waits."""
    with rooted() as (root, url), TemporaryDirectory() as folder:
        files = _certificate(Path(folder))
        with serving(root) as plain, serving(root, *files) as encrypted:
            yield _commands(root, plain, encrypted)
        with serving(root) as plain:
            yield _load(url, plain)
        remark = (
            "Half of them wait for an item, half for an event; the streams are those of "
            f"/api/v1/events. {LOADS} rounds, each with a new process."
        )
        # a fresh process for each: memory that was used is not given back
        idle: list[Round] = []
        for _ in range(LOADS):
            with serving(root) as plain:
                waiting = {HTTP: _idle(url, plain, _wait)}
            with serving(root) as plain:
                waiting[STREAMS] = _idle(url, plain, _stream)
            with serving(root, *files) as encrypted:
                waiting[TLS] = _idle(url, encrypted, _wait)
            idle.append(waiting)
        yield Comparison(
            name="gateway_waits",
            rows=f"{WAITS:,} waits",
            figures=IDLE,
            rounds=idle,
            remarks=(remark,),
        )


def _commands(root: Path, plain: Served, encrypted: Served) -> Comparison:
    """Run each command of the workflow on the socket and over both gateways, in turns."""
    variables = (
        environment(root),
        *(_over(root, served) for served in (plain, encrypted)),
    )
    _walked(variables)  # what is compiled at the first time is compiled
    rounds = [_walked(variables) for _ in range(ROUNDS)]
    remark = f"{ROUNDS} rounds; each command runs in the three ways in turns."
    return Comparison(
        name="gateway_commands",
        rows="command",
        figures=COMMANDS,
        rounds=rounds,
        remarks=(remark,),
    )


def _walked(variables: Sequence[Mapping[str, str]]) -> Round:
    seen: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
    for ways in zip(*map(walk, variables), strict=True):
        (name, direct), (_, http), (_, tls) = ways
        seen[name].append(
            {
                "socket": direct.wall_s * 1000,
                "http": http.wall_s * 1000,
                "tls": tls.wall_s * 1000,
                "cpu": http.cpu_s * 1000,
                "tls_cpu": tls.cpu_s * 1000,
                # processor time is not that of others on a busy machine
                "ratio": http.cpu_s / direct.cpu_s,
                "tls_ratio": tls.cpu_s / direct.cpu_s,
            }
        )
    return {
        name: {
            figure: median(each[figure] for each in seen[name])
            for figure in COMMANDS
        }
        for name in sorted(seen)
    }


def _over(root: Path, served: Served) -> dict[str, str]:
    """Return the environment of commands over a gateway."""
    variables = environment(
        root, TASKORCH_URL=served.url, TASKORCH_TOKEN=served.token
    )
    if served.authority:
        variables["SSL_CERT_FILE"] = served.authority
    return variables


def _load(url: str, served: Served) -> Comparison:
    """Let clients claim and complete, on the socket and over the gateway in turns."""
    queue = filled(url, NAMESPACE, 0)
    project = queue.project("At full speed")
    length = SECONDS / LOADS / len(CLIENTS)
    most = max(CLIENTS)
    rounds: list[Round] = []
    for _ in range(LOADS):
        found: dict[str, dict[str, float]] = {}
        for clients in CLIENTS:
            size = round(length * ITEMS_A_SECOND * 3)
            size += round(length * PAIRS_A_SECOND)
            fill(queue, project, size, agents=clients)
            settle(url, NAMESPACE)
            name = f"{clients} clients" if clients > 1 else "1 client"
            found[f"{SOCKET}, {name}"] = _worked(clients, length / 3, url)
            found[f"{SOCKET}, {name}"].pop("calls")
            found[f"{HTTP}, {name}"] = _over_gateway(clients, length, served)
        name = f"{HTTP}, {most} clients, {PAIRS_A_SECOND} pairs/s"
        found[name] = _over_gateway(
            most, length, served, pace=PAIRS_A_SECOND / most
        )
        rounds.append(found)
    remark = (
        f"Each client is a process that claims an item and completes it, by the library; {LOADS} rounds of "
        f"{length:g} s. One gateway process. In the last row, each client waits between its pairs."
    )
    return Comparison(
        name="gateway",
        rows="by",
        figures=LOAD,
        rounds=rounds,
        remarks=(remark,),
    )


def _over_gateway(
    clients: int, length: float, served: Served, *, pace: float = 0
) -> dict[str, float]:
    """Let clients work over the gateway; return what they achieved, and what it took."""
    used = cpu_s(served.pid)
    figures = _worked(clients, length, served.url, served.token, pace=pace)
    used = cpu_s(served.pid) - used
    calls = figures.pop("calls")
    return {**figures, "call": used * 1000 / calls}


def _worked(
    clients: int,
    length: float,
    url: str,
    token: str = "",
    *,
    pace: float = 0,
) -> dict[str, float]:
    """Let clients work at the same time, and return what they achieved.

    Each does `pace` pairs a second, or as many as it can for 0.
    """
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                _client(url, token, agent(number), length, pace)
            )
            for number in range(clients)
        ]
        for each in started:
            _line(each)
        for each in started:
            each.stdin.write("go\n")  # type: ignore[union-attr]
            each.stdin.flush()  # type: ignore[union-attr]
            if pace:  # otherwise they would all call at the same moments
                sleep(1 / pace / clients)
        seen = [json.loads(_line(each)) for each in started]
    taken = [ms for each in seen for ms in each["ms"]]
    points = quantiles(taken, n=100)
    return {
        "pairs": sum(each["pairs"] / each["seconds"] for each in seen),
        "p50": points[49],
        "p99": points[98],
        "calls": float(len(taken)),
    }


def _client(
    url: str, token: str, name: str, length: float, pace: float
) -> subprocess.Popen[str]:
    words = ("--client", url, token, name, str(length), str(pace))
    return subprocess.Popen(
        (sys.executable, "-m", "benchmarks.gateway", *words),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(client: subprocess.Popen[str]) -> str:
    line = client.stdout.readline() if client.stdout else ""
    if not line:
        raise RuntimeError("a client ended")
    return line


def be_client(url: str, token: str, name: str, length: str, pace: str) -> None:
    """Claim and complete items for some seconds, and print what it took.

    Do `pace` pairs a second, or as many as can be done for 0.
    """
    connection: Connection = (
        gateway.GatewayConnection(gateway.parse(url, token))
        if token
        else connect(url)
    )
    queue = AgentQueue(connection, NAMESPACE, Caller(agent=name))
    queue.check()
    _say("ready")
    sys.stdin.readline()
    taken: list[float] = []
    began = perf_counter()
    pairs = 0
    while perf_counter() - began < float(length):
        before = perf_counter()
        claim = queue.claim()
        between = perf_counter()
        if claim is None or claim.lease is None:
            raise RuntimeError("the queue ran empty")
        queue.complete(claim.lease, "Done")
        taken += [
            (between - before) * 1000,
            (perf_counter() - between) * 1000,
        ]
        pairs += 1
        if float(pace):
            sleep(max(0, began + pairs / float(pace) - perf_counter()))
    _say({"pairs": pairs, "seconds": perf_counter() - began, "ms": taken})
    connection.close()


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def _idle(url: str, served: Served, request: IdleRequest) -> dict[str, float]:
    """Measure what idle clients cost, and how one event reaches them."""
    before = _memory(served.pid)
    queue = filled(url, NAMESPACE, 0)
    project = queue.project("Nothing happens")
    cursor = queue.waits().newest_cursor()
    with ExitStack() as stack, redis.Redis.from_url(url) as raw:
        told: list[socket.socket] = []
        for number in range(WAITS):
            text, hears = request(number, cursor)
            opened = stack.enter_context(closing(_sent(served, text)))
            if hears:
                told.append(opened)
        _await_quiet(raw, served.pid)
        used, commands = cpu_s(served.pid), _processed(raw)
        sleep(QUIET_S)
        commands = _processed(raw) - commands - 1
        used = cpu_s(served.pid) - used
        memory = _memory(served.pid)
        began = perf_counter()
        queue.complete_project(project)
        for each in told:
            _await_news(each)
        last_ms = (perf_counter() - began) * 1000
    return {
        "commands": commands,
        "core": used / QUIET_S * 100,
        "before": before,
        "memory": memory,
        "last": last_ms,
    }


def _wait(number: int, cursor: str) -> tuple[str, bool]:
    """Return a wait for an item or for an event, and whether an event ends it."""
    key, hears = keys.events(NAMESPACE), bool(number % 2)
    body: dict[str, object] = {"key": key, "cursor": cursor}
    if not hears:
        body = {"key": keys.wake(NAMESPACE, "nobody")}
    text = json.dumps({**body, "seconds": WAIT_S})
    target = "/follow" if hears else "/wait"
    head = f"POST {target} HTTP/1.1\r\nContent-Length: {len(text)}\r\n"
    return f"{head}\r\n{text}", hears


def _stream(_: int, cursor: str) -> tuple[str, bool]:
    """Return a request for a stream of the events after a cursor."""
    return f"GET /api/v1/events?since={cursor} HTTP/1.1\r\n\r\n", True


def _sent(served: Served, request: str) -> socket.socket:
    """Return a connection on which a request was sent, with its host and token."""
    place = gateway.parse(served.url, served.token)
    opened = socket.create_connection((place.host, place.port))
    if served.authority:
        context = ssl.create_default_context(cafile=served.authority)
        opened = context.wrap_socket(opened, server_hostname=place.host)
    line, _, rest = request.partition("\r\n")
    opened.sendall(
        f"{line}\r\nHost: {place.host}:{place.port}\r\n"
        f"Authorization: Bearer {served.token}\r\n{rest}".encode()
    )
    return opened


def _await_news(opened: socket.socket) -> None:
    """Read the reply to a wait, or the first event of a stream."""
    seen = b""
    while not any(mark in seen for mark in NEWS):
        part = opened.recv(65536)
        if not part:
            raise RuntimeError("the gateway has closed a connection")
        seen += part


def _await_quiet(raw: redis.Redis, pid: int) -> None:
    """Wait until all waits have looked once, and the gateway rests."""
    before, used = -1, -1.0
    while before != (now := _processed(raw)) - 1 or cpu_s(pid) > used:
        before, used = now, cpu_s(pid) + RESTS_S
        sleep(0.5)


def _processed(raw: redis.Redis) -> int:
    return int(cast("Any", raw).info("stats")["total_commands_processed"])


def _memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def _certificate(folder: Path) -> tuple[str, ...]:
    """Make a certificate for localhost, and return the options that name it."""
    import trustme

    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    files = {name: folder / name for name in ("cert", "key", "authority")}
    files["cert"].write_bytes(
        b"".join(part.bytes() for part in issued.cert_chain_pems)
    )
    issued.private_key_pem.write_to_path(str(files["key"]))
    authority.cert_pem.write_to_path(str(files["authority"]))
    return (
        *("--tls-cert", str(files["cert"])),
        *("--tls-key", str(files["key"])),
    )


@contextmanager
def serving(
    root: Path, *options: str, namespace: str = NAMESPACE
) -> Iterator[Served]:
    """Run a gateway for the queue of a root."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    variables = environment(root, TASKORCH_NAMESPACE=namespace)
    orchestrate = str(BIN / "orchestrate")
    token = subprocess.run(
        [orchestrate, "token", "create", "benchmark", "--role", "admin"],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    words = ("--listen", f"127.0.0.1:{port}", "--rate", "0", *options)
    with (root / "gateway.log").open("ab") as log:
        process = subprocess.Popen(
            [orchestrate, "gateway", *words],
            env=variables,
            stdout=log,
            stderr=log,
        )
    try:
        _await_listening(port)
        yield Served(
            pid=process.pid,
            url=f"{'https' if options else 'http'}://localhost:{port}",
            token=token,
            authority=str(Path(options[1]).with_name("authority"))
            if options
            else "",
        )
    finally:
        process.kill()
        process.wait()


def _await_listening(port: int) -> None:
    deadline = monotonic() + START_S
    while monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return
        sleep(0.02)
    raise RuntimeError("the gateway does not listen")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--client"]:
        be_client(*sys.argv[2:])
    else:
        report(measure)
