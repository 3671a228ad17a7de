"""Measures one queue: its program in separate processes, on a separate server."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import redis
from taskorch.bundled import server as bundled_server

from benchmarks.page import REPOSITORY
from benchmarks.peers.install import program, python

ITEMS = int(os.environ.get("PEERS_ITEMS", "20000"))
TEXT_BYTES = 300
#: The number of items to process, or as many as the time allows.
PROCESSED, PROCESSED_S = max(ITEMS // 5, 50), 10
SAMPLES, SAMPLES_S = 200, 20
TIMEOUT_S = 180


def measure(queue: str) -> dict[str, float]:
    """Return the figures of a queue by the names of `figures.FIGURES`, without those that failed."""
    with server() as url:
        before = _memory(url)
        enqueued = run(queue, url, "enqueue", ITEMS, TEXT_BYTES)
        memory = (
            {"memory": (_memory(url) - before) / ITEMS} if enqueued else {}
        )
        one = run(queue, url, "process", 1, PROCESSED, PROCESSED_S)
        ten = run(queue, url, "process", 10, PROCESSED, PROCESSED_S)
    with server() as url:
        wake = run(queue, url, "wake", SAMPLES, SAMPLES_S)
    stages = {
        "enqueue": enqueued,
        "process_1": one,
        "process_10": ten,
        "wake": wake,
    }
    return memory | {
        f"{stage}_{name}": value
        for stage, figures in stages.items()
        for name, value in figures.items()
    }


@contextmanager
def server() -> Iterator[str]:
    """Run the bundled server with its usual options, but on a port: most peers support no socket."""
    with TemporaryDirectory(prefix="peers-") as folder:
        port = _free_port()
        options = {
            "port": port,
            "bind": "127.0.0.1",
            "dir": folder,
            "save": "",
            "appendonly": "yes",
        }
        options |= {
            "appendfsync": "no",
            "hash-max-listpack-value": "1024",
            "stream-node-max-bytes": "1024",
        }
        words = [
            word
            for name, value in options.items()
            for word in (f"--{name}", str(value))
        ]
        with (Path(folder) / "server.log").open("wb") as log:
            process = subprocess.Popen(
                [bundled_server.binary(), *words],
                stdout=log,
                stderr=log,
                env=bundled_server.ENVIRONMENT | os.environ,
            )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _await(url)
            yield url
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _await(url: str) -> None:
    deadline = monotonic() + 30
    while True:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
                return
        except redis.ConnectionError:
            if monotonic() > deadline:
                raise
            sleep(0.01)


def _memory(url: str) -> int:
    """Return the memory of the server's data in bytes, a moment after the last client has closed."""
    sleep(0.2)
    with redis.Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def run(queue: str, url: str, *words: str | int) -> dict[str, float]:
    """Run a queue's program and return its figures; print the error and return none if it fails."""
    command = [
        str(python(queue)),
        "-P",
        "-W",
        "ignore",
        str(program(queue)),
        *map(str, words),
    ]
    environment = {
        **os.environ,
        "PEERS_URL": url,
        "PYTHONPATH": str(REPOSITORY),
    }
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            answer, complaint = process.communicate(timeout=TIMEOUT_S)
            return dict(json.loads(answer.splitlines()[-1]))
        except subprocess.TimeoutExpired:
            complaint = f"no end within {TIMEOUT_S} s"
        except (IndexError, ValueError):
            complaint = (
                complaint.strip().rpartition("\n")[2] or "it printed nothing"
            )
        finally:
            _end(process)
    sys.stderr.write(f"{queue}: {' '.join(map(str, words))}: {complaint}\n")
    return {}


def _end(process: subprocess.Popen[str]) -> None:
    """End processes that the program may have left in its process group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
