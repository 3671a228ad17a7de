"""A gateway whose Redis is killed: bundled, with sentinels, as a cluster."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from support import gateways, topologies
from support.commands import BIN, CommandResult, Shell, eventually, result_of
from support.gateways import Gateway

NAMESPACE = "team"
UNAVAILABLE = 4
#: Longer than a failover takes.
WAIT = "300"


@contextmanager
def bundled(folder: Path) -> Iterator[tuple[Shell, Callable[[], object]]]:
    shell = shell_in(folder, TASKORCH_SERVICE="off")

    def kill() -> None:
        status = shell.orchestrate("server", "status", "--json").data()
        os.kill(status["pid"], signal.SIGKILL)

    shell.orchestrate("project", "Starts the server")
    yield shell, kill
    shell.orchestrate("server", "stop")


@contextmanager
def with_sentinels(
    folder: Path,
) -> Iterator[tuple[Shell, Callable[[], object]]]:
    with topologies.sentinels(folder / "redis") as deployment:
        shell = shell_in(folder, TASKORCH_REDIS_URL=deployment.url)
        yield shell, deployment.kill_primary


@contextmanager
def as_cluster(folder: Path) -> Iterator[tuple[Shell, Callable[[], object]]]:
    with topologies.cluster(folder / "redis") as cluster:
        shell = shell_in(folder, TASKORCH_REDIS_URL=cluster.url)
        yield shell, lambda: cluster.kill_primary(NAMESPACE)


KINDS = {
    "bundled": bundled,
    "sentinels": with_sentinels,
    "cluster": as_cluster,
}


def shell_in(folder: Path, **variables: str) -> Shell:
    root = folder / "root"
    root.mkdir()
    return Shell(root, {"TASKORCH_NAMESPACE": NAMESPACE, **variables})


def created(
    planner: Shell, project: str, title: str, agent: str
) -> CommandResult:
    """Create an item; the command is run again while Redis is unavailable."""
    done: list[CommandResult] = []

    def is_created() -> bool:
        ran = planner.orchestrate(
            *("create", project, title, "--assign", agent)
        )
        assert ran.code in (0, UNAVAILABLE), ran.stderr
        done.append(ran)
        return ran.code == 0

    eventually(is_created)
    return done[-1]


def are_waiting(gateway: Gateway) -> bool:
    """Return whether a worker and an orchestrator wait, after another worker's claim."""
    log = gateway.log
    return log.count('"verb": "claim"') > 1 and '"verb": "expect"' in log


@pytest.mark.parametrize("kind", KINDS)
def test_killed_redis_delays_what_a_gateway_serves(
    kind: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        shell, kill = stack.enter_context(KINDS[kind](tmp_path))
        gateway = stack.enter_context(gateways.running(shell))
        planner, ada, bob = (
            gateway.orchestrator(),
            gateway.worker("ada"),
            gateway.worker("bob"),
        )
        project = planner.orchestrate("project", "Outlives it").stdout.strip()
        before = created(planner, project, "Before", "ada").stdout.strip()
        assert ada.worker("pop").code == 0
        waiting = bob.start(BIN / "worker", "pop", "--wait", WAIT)
        watching = planner.start(
            *(BIN / "orchestrate", "wait", before, "--timeout", WAIT)
        )
        eventually(lambda: are_waiting(gateway))

        kill()
        after = created(planner, project, "After", "bob").stdout.strip()
        popped = result_of(waiting)
        eventually(lambda: ada.worker("complete", before, "Done").code == 0)
        waited = result_of(watching)
        items = planner.orchestrate("--json", "list", project).data()

    assert popped.code == 0, popped.stderr
    assert after in popped.stdout
    assert waited.code == 0, waited.stderr
    states = {item["title"]: item["state"] for item in items}
    assert states == {"Before": "completed", "After": "in_progress"}
    assert len(items) == 2
    assert {item["token"] for item in items} == {1}  # each was claimed once


def test_frozen_redis_does_not_freeze_the_gateway(tmp_path: Path) -> None:
    [port] = topologies.free_ports(1)
    node = topologies.Node(tmp_path / "node", port, "--port", str(port))
    with topologies.running([node]):
        shell = shell_in(
            tmp_path, TASKORCH_REDIS_URL=f"redis://{node.address}/0"
        )
        with gateways.running(shell) as gateway:
            planner = gateway.orchestrator()
            project = planner.orchestrate("project", "Freezes")
            assert project.code == 0
            os.kill(node.pid, signal.SIGSTOP)
            try:
                stuck = [
                    planner.start(
                        *(BIN / "orchestrate", "--json", "project", "Stuck")
                    )
                    for _ in range(12)
                ]
                alive = gateways.HttpClient(gateway)
                status, _ = alive.get("/healthz")
                alive.close()
                failed = [result_of(each) for each in stuck]
            finally:
                os.kill(node.pid, signal.SIGCONT)
            after = planner.orchestrate("project", "Thawed")
            projects = planner.orchestrate("--json", "projects").data()
        node.raw.close()

    assert status == 200
    assert {each.code for each in failed} == {UNAVAILABLE}
    assert node.address not in "".join(each.stdout for each in failed)
    assert after.code == 0
    titles = [each["title"] for each in projects]
    assert titles.count("Thawed") == 1
