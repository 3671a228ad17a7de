"""Real servers for tests: the bundled Valkey, and redis-server if it is on the PATH."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.commands import SOON_S
from taskorch.bundled import server


def binaries() -> dict[str, str]:
    """Return the servers of this machine by the name of their lane."""
    found = {"valkey": server.binary()}
    on_path = shutil.which("redis-server")
    return {**found, "redis": on_path} if on_path else found


@contextmanager
def running(binary: str, folder: Path, *options: str) -> Iterator[str]:
    """Run a server on a Unix socket in a folder; yield its address once it answers."""
    socket = folder / "s.sock"
    arguments = [
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--save",
        "",
        "--dir",
        str(folder),
        # What it appends is in the kernel before its reply, also while the disk is busy.
        "--appendfsync",
        "no",
        *options,
    ]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [binary, *arguments], stdout=log, stderr=log
        )
    try:
        _await(socket)
        yield f"unix://{socket}"
    finally:
        process.kill()
        process.wait()


def _await(socket: Path) -> None:
    deadline = monotonic() + SOON_S
    while True:
        try:
            with redis.Redis(
                unix_socket_path=str(socket), retry=Retry(NoBackoff(), 0)
            ) as client:
                client.ping()
                return
        except redis.AuthenticationError:
            return
        except redis.ConnectionError:
            if monotonic() > deadline:
                raise
            sleep(0.01)
