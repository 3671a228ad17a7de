"""The user's workflow from networks whose only way out is a proxy for HTTPS.

An orchestrator and three agents, each with a HOME, a folder and a token of its own.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import trustme
from support import connect_proxy, gateways
from support.commands import BIN, Shell, eventually, result_of
from support.connect_proxy import ConnectProxy
from support.gateway_sandboxes import Sandbox, has_own_network, sandbox
from support.gateways import Gateway

HOST = "queue.example"
DATABASE, API, FRONTEND = (
    "database_specialist",
    "api_specialist",
    "frontend_specialist",
)
#: Connects to a port of this machine.
CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5)"


@dataclass(frozen=True)
class Cloud:
    """A gateway with TLS, and a proxy in front of it."""

    gateway: Gateway
    proxy: ConnectProxy
    socket: Path
    authority: Path

    @property
    def place(self) -> str:
        """The place of the gateway, as clients name it."""
        return f"{HOST}:{self.gateway.port}"

    def sandbox(self, name: str, role: str) -> Sandbox:
        """Return the sandbox of an agent or an orchestrator."""
        setting = "AGENT_ID" if role == "worker" else "ORCHESTRATOR_ID"
        client = self.gateway.client(
            self.gateway.token(name, role),
            TASKORCH_URL=f"https://{self.place}",
            SSL_CERT_FILE=str(self.authority),
            **{setting: name},
        )
        return sandbox(client, self.socket)


@pytest.fixture
def cloud(shell: Shell, tmp_path: Path) -> Iterator[Cloud]:
    authority = trustme.CA()
    issued = authority.issue_cert(HOST)
    certificate, key, ca, socket = (
        tmp_path / name for name in ("cert.pem", "key.pem", "ca.pem", "p.sock")
    )
    certificate.write_bytes(
        b"".join(part.bytes() for part in issued.cert_chain_pems)
    )
    issued.private_key_pem.write_to_path(str(key))
    authority.cert_pem.write_to_path(str(ca))
    options = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with gateways.running(shell, *options, "--host-name", HOST) as gateway:
        hosts = {f"{HOST}:{gateway.port}": ("127.0.0.1", gateway.port)}
        with connect_proxy.running(socket, hosts) as proxy:
            yield Cloud(gateway, proxy, socket, ca)


def test_workflow_of_three_sandboxes_over_https(cloud: Cloud) -> None:
    planner = cloud.sandbox("planner", "orchestrator")
    database, api, frontend = (
        cloud.sandbox(name, "worker") for name in (DATABASE, API, FRONTEND)
    )

    def created(title: str, *words: str) -> str:
        ran = planner.orchestrate("create", project, title, *words)
        assert ran.code == 0, ran.stderr
        return ran.stdout.strip()

    project = planner.orchestrate(
        "project", "Build authentication system"
    ).stdout.strip()
    schema = created("Design database schema", "-r", "Users table")
    login = created("Implement JWT logic", "--depends-on", schema)
    page = created("Build the login page", "--depends-on", login)
    assert planner.orchestrate("assign", schema, DATABASE).code == 0
    assert planner.orchestrate("assign", login, API).code == 0
    assert planner.orchestrate("assign", page, FRONTEND).code == 0
    waiting = [
        agent.start(BIN / "worker", "pop", "--wait", "300")
        for agent in (api, frontend)
    ]
    watching = planner.start(
        BIN / "orchestrate", "wait", project, "--timeout", "300"
    )
    eventually(lambda: cloud.gateway.log.count('"verb": "claim"') == 2)

    assert "Users table" in database.worker("get", schema).stdout
    report = database.worker(
        "progress", schema, "Designing", "--percent", "50"
    )
    assert report.code == 0
    found = database.worker("discover", schema, "Needs an index")
    assert found.code == 0
    asked = database.worker("blocker", schema, "Which password rules?")
    assert asked.code == 0
    assert "Which password rules?" in planner.orchestrate("inbox").stdout
    assert planner.orchestrate("answer", schema, "12 characters").code == 0
    assert "12 characters" in database.worker("wait", schema).stdout
    assert database.worker("complete", schema, "4 tables").code == 0
    agents = ((api, login), (frontend, page))
    for (agent, item), pop in zip(agents, waiting, strict=True):
        popped = result_of(pop)
        assert popped.code == 0, popped.stderr
        assert item in popped.stdout
        assert agent.worker("ack", item, "Done").code == 0
    waited = result_of(watching)
    closed = planner.orchestrate("complete", project)

    assert waited.code == 0, waited.stderr
    assert closed.code == 0
    assert "4 tables" in closed.stdout
    assert set(cloud.proxy.tunnels) == {cloud.place}
    assert cloud.proxy.refused == []


def test_sandbox_has_no_way_around_the_proxy(cloud: Cloud) -> None:
    if not has_own_network():
        pytest.skip("unshare may not make a network here")
    ada = cloud.sandbox("ada", "worker")
    port = str(cloud.gateway.port)

    directly = ada.start(sys.executable, "-c", CONNECT, port)
    _, error = directly.communicate(timeout=60)
    elsewhere = ada.having(TASKORCH_URL="https://other.example").worker(
        "--json", "check"
    )
    by_proxy = ada.worker("check")

    assert "ConnectionRefusedError" in error
    assert elsewhere.code == 4
    assert "other.example" in cloud.proxy.refused[0]
    assert by_proxy.code in (0, 8)


def test_password_of_the_proxy_is_not_shown(cloud: Cloud) -> None:
    ada = cloud.sandbox("ada", "worker").having(
        TASKORCH_URL="https://other.example", TASKORCH_DEBUG="1"
    )

    for words in (("check",), ("--json", "check")):
        ran = ada.start(BIN / "worker", *words)
        printed = "".join(ran.communicate(timeout=60))

        assert ran.returncode == 4
        assert connect_proxy.USER.partition(":")[2] not in printed
