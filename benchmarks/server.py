"""A bundled server for a measurement, on a Unix socket in a folder that goes with it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import redis
from taskorch import embedded


@contextmanager
def running() -> Iterator[str]:
    """Run a server without persistence; yields its address once it answers, and ends it."""
    with TemporaryDirectory(prefix="bench-") as folder:
        socket = Path(folder) / "s.sock"
        options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", folder, "--logfile", "server.log"]
        process = subprocess.Popen([embedded.binary(), *options])
        try:
            _await(socket)
            yield f"unix://{socket}"
        finally:
            process.kill()
            process.wait()


def _await(socket: Path) -> None:
    deadline = monotonic() + 10
    while not socket.exists():
        if monotonic() > deadline:
            raise TimeoutError(socket)
        sleep(0.01)
    with redis.Redis(unix_socket_path=str(socket)) as client:
        client.ping()
