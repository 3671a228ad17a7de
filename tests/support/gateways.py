"""A gateway as a real process, and clients of it."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import create_connection
from typing import Any

from support.commands import BIN, Shell, eventually
from support.topologies import free_ports

#: Limits the files of a process, and becomes it.
LIMIT_FILES = ("sh", "-c", 'ulimit -n "$0" && exec "$@"')


class Gateway:
    """A gateway on loopback, for the queue of a shell."""

    def __init__(
        self,
        shell: Shell,
        *options: str,
        files: int = 0,
        program: Sequence[str | Path] = (BIN / "orchestrate",),
    ) -> None:
        """Let the process open a number of files; 0 for as many as this one may.

        `program` runs `orchestrate`.
        """
        self.shell = shell
        self._program = program
        self._files = files
        self.port = free_ports(1)[0]
        self._options = options
        self._log = shell.folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def scheme(self) -> str:
        """The scheme of its address."""
        return "https" if "--tls-cert" in self._options else "http"

    @property
    def url(self) -> str:
        """Its address."""
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8")

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether the process runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.launch()
        eventually(self._listens)

    def launch(self) -> None:
        """Start it."""
        limit = [*LIMIT_FILES, str(self._files)] if self._files else []
        command: list[str | Path] = [
            *limit,
            *self._program,
            *("gateway", "--listen", f"127.0.0.1:{self.port}"),
            *self._options,
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.shell.folder,
                env=self.shell.environment(),
                stdout=log,
                stderr=log,
            )

    def stop(self) -> int:
        """Stop it, and return its exit code."""
        assert self._process
        self._process.terminate()
        return self._process.wait(30)

    def kill(self) -> None:
        """Kill it, as the machine would, if it was started."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def token(self, name: str, role: str, *options: str) -> str:
        """Create an access token."""
        created = self.shell.orchestrate(
            "token", "create", name, "--role", role, *options
        )
        assert created.code == 0, created.stderr
        return created.stdout.strip()

    def client(self, token: str, **variables: str) -> Shell:
        """Return a shell in a folder of its own that knows the gateway alone."""
        folder = self.shell.folder.parent / f"client-{token[4:12]}"
        folder.mkdir(exist_ok=True)
        known = {
            "TASKORCH_URL": self.url,
            "TASKORCH_TOKEN": token,
            "TASKORCH_NAMESPACE": self.shell.variables["TASKORCH_NAMESPACE"],
        }
        return Shell(folder, {**known, **variables})

    def worker(self, name: str) -> Shell:
        """Return a shell of an agent with a token of its own."""
        return self.client(self.token(name, "worker"), AGENT_ID=name)

    def orchestrator(self, name: str = "planner") -> Shell:
        """Return a shell of an orchestrator with a token of its own."""
        token = self.token(name, "orchestrator")
        return self.client(token, ORCHESTRATOR_ID=name)

    def _listens(self) -> bool:
        assert self._process
        assert self._process.poll() is None, self.log
        with suppress(OSError):
            create_connection(("127.0.0.1", self.port), 10).close()
            return True
        return False


@contextmanager
def running(
    shell: Shell,
    *options: str,
    program: Sequence[str | Path] = (BIN / "orchestrate",),
) -> Iterator[Gateway]:
    """Run a gateway for the queue of a shell."""
    gateway = Gateway(shell, *options, program=program)
    gateway.start()
    try:
        yield gateway
    finally:
        gateway.kill()


@contextmanager
def serving(
    url: str, namespace: str, folder: Path, *options: str
) -> Iterator[Gateway]:
    """Run a gateway for a namespace of a server."""
    variables = {"TASKORCH_REDIS_URL": url, "TASKORCH_NAMESPACE": namespace}
    with running(Shell(folder, variables), *options) as gateway:
        yield gateway


class HttpClient:
    """Sends requests to a gateway, one connection for all."""

    def __init__(self, gateway: Gateway, token: str = "") -> None:
        self._connection = HTTPConnection(
            "127.0.0.1", gateway.port, timeout=60
        )
        self._token = token

    def get(self, target: str, **headers: str) -> tuple[int, Any]:
        """Return the status and the JSON of a reply to GET."""
        return self.request("GET", target, b"", **headers)

    def post(
        self,
        target: str,
        body: bytes | Mapping[str, object],
        **headers: str,
    ) -> tuple[int, Any]:
        """Return the status and the JSON of a reply to POST."""
        content = (
            body if isinstance(body, bytes) else json.dumps(body).encode()
        )
        return self.request("POST", target, content, **headers)

    def request(
        self, method: str, target: str, content: bytes, **headers: str
    ) -> tuple[int, Any]:
        """Return the status and the JSON of a reply."""
        sent = {"Content-Type": "application/json"}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        try:
            self._connection.request(
                method, target, content or None, {**sent, **headers}
            )
            reply = self._connection.getresponse()
            text = reply.read()
        except (HTTPException, OSError):
            self._connection.close()
            raise
        return reply.status, json.loads(text) if text else None

    def send(self, target: str, body: Mapping[str, object]) -> None:
        """Send a request whose reply nobody reads."""
        headers = {"Authorization": f"Bearer {self._token}"}
        self._connection.request(
            "POST", target, json.dumps(body).encode(), headers
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
