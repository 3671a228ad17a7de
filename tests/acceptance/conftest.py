"""Two kinds of shell: one on a real Valkey, in a namespace of its own; one where the bundled server is the default."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.builders import Bench
from support.commands import Shell
from support.topologies import Node, free_ports
from taskorch.connect import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue


@pytest.fixture
def shell(valkey_url: str, tmp_path: Path) -> Shell:
    """A folder, a namespace on a real server, and the identity of an agent."""
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
    """The same namespace from behind: to prepare items without a process for each, and to see what changed."""
    url, namespace = (
        shell.variables["TASKORCH_REDIS_URL"],
        shell.variables["TASKORCH_NAMESPACE"],
    )
    connection = connect(url)
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        yield Bench(
            Queue(connection, namespace, Caller(agent="planner", host="here", pid=1)),
            raw,
            namespace,
            url,
        )
    connection.close()


@pytest.fixture
def local() -> Iterator[Shell]:
    """A folder where nothing is set but an agent, and that no service is wanted.

    Its first command starts the bundled server; it is stopped here.
    """
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    shell = Shell(folder, {"AGENT_ID": "ada", "TASKORCH_SERVICE": "off"})
    yield shell
    shell.orchestrate("server", "stop")
    shutil.rmtree(folder)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A server that may be killed and started again, and keeps what it acknowledged."""
    port = free_ports(1)[0]
    node = Node(
        tmp_path / "node",
        port,
        "--port",
        str(port),
        "--appendonly",
        "yes",
        "--save",
        "",
    )
    node.start()
    yield node
    node.kill()
    node.raw.close()
