"""Fixtures of tests that run the commands as real processes.

`shell` uses a Valkey that all tests share, in its own namespace. `local` has no
address configured, so its first command starts the bundled server.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import gateways
from support.builders import Bench, opened
from support.commands import Shell
from support.gateways import Gateway
from support.topologies import Node, free_ports


@pytest.fixture
def shell(valkey_url: str, tmp_path: Path) -> Shell:
    """Return a shell of agent ada, with its own folder and namespace on a real server."""
    folder = tmp_path / "root"
    folder.mkdir()
    namespace = f"test-{os.urandom(4).hex()}"
    return Shell(
        folder,
        {
            "TASKORCH_REDIS_URL": valkey_url,
            "TASKORCH_NAMESPACE": namespace,
            "AGENT_ID": "ada",
        },
    )


@pytest.fixture
def bench(shell: Shell) -> Iterator[Bench]:
    """Return the queue of `shell`, to prepare and inspect items without processes."""
    url = shell.variables["TASKORCH_REDIS_URL"]
    namespace = shell.variables["TASKORCH_NAMESPACE"]
    with opened(url, namespace) as bench:
        yield bench


@pytest.fixture
def local() -> Iterator[Shell]:
    """Return a shell of agent ada without an address and without the service.

    Its first command starts the bundled server, which is stopped after the test.
    """
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    shell = Shell(folder, {"AGENT_ID": "ada", "TASKORCH_SERVICE": "off"})
    yield shell
    shell.orchestrate("server", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a server that keeps its data when it is killed and restarted."""
    port = free_ports(1)[0]
    options = ["--port", str(port), "--appendonly", "yes"]
    options += ["--appendfsync", "no", "--save", ""]
    node = Node(tmp_path / "node", port, *options)
    node.start()
    yield node
    node.kill()
    node.raw.close()


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    """Return a running gateway for the queue of `shell`."""
    with gateways.running(shell) as running:
        yield running
