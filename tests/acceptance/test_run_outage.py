"""`worker run` during outages: commands keep running, and each step acts once."""

import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from support.builders import Bench, opened
from support.commands import SOON_S, Shell, eventually
from support.proxy import proxied
from support.runs import UNTIL_GO, running, sh
from support.topologies import Node, command, free_ports
from taskorch.domain.item import State

#: Much less than the time that a call to a hung Redis takes.
HUNG_S = 9


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A persistent server that tests may kill."""
    port = free_ports(1)[0]
    options = (
        "--appendonly",
        "yes",
        "--appendfsync",
        "no",
        "--save",
        "",
        "--bind",
        "127.0.0.1",
    )
    node = Node(tmp_path / "node", port, "--port", str(port), *options)
    node.start()
    yield node
    node.kill()


@pytest.fixture
def node_shell(shell: Shell, node: Node) -> Shell:
    """The shell with that server."""
    return shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")


@pytest.fixture
def node_bench(node_shell: Shell) -> Iterator[Bench]:
    """The shell's namespace on that server."""
    url, namespace = (
        node_shell.variables["TASKORCH_REDIS_URL"],
        node_shell.variables["TASKORCH_NAMESPACE"],
    )
    with opened(url, namespace, retries=9) as bench:
        yield bench


def test_outage_is_reported_once_and_delays_delivery(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    items = [node_bench.item() for _ in range(2)]

    with running(
        node_shell, "--pool", "3", "--lease", "1s", *sh(UNTIL_GO)
    ) as run:
        run.wait_for("claimed", times=2)
        node.kill()
        eventually(lambda: "Redis is unreachable" in run.stderr())
        outage_until = monotonic() + 0.7
        eventually(lambda: monotonic() > outage_until)
        (node_shell.folder / "go").touch()
        node.start()
        run.wait_for("completed", times=2)
        eventually(lambda: "Redis answers again." in run.stderr())
        later = node_bench.item()
        run.wait_for("completed", times=3)

        assert run.stderr().count("Redis is unreachable") == 1
        assert run.stderr().count("Redis answers again.") == 1
    assert {
        node_bench.queue.views.show(item).item.summary
        for item in (*items, later)
    } == {"done"}


def test_run_waits_for_redis_at_its_start(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    item = node_bench.item()
    node.kill()

    with running(node_shell, *sh("echo done")) as run:
        eventually(lambda: "Redis is unreachable" in run.stderr())
        node.start()
        run.wait_for("completed")

    assert node_bench.state(item) is State.COMPLETED


@pytest.mark.parametrize(
    "options", [["--once"], ["--wait", "0.2", "--pool", "3"]]
)
def test_idle_time_limits_the_wait_for_redis(
    node_shell: Shell, node: Node, options: list[str]
) -> None:
    node.kill()

    ran = node_shell.worker("run", *options, *sh("echo done"))

    assert ran.code == 4
    assert "Redis is unreachable" in ran.stderr


def test_outage_does_not_end_an_idle_slot(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    items = [node_bench.item()]

    with running(
        node_shell, "--pool", "2", "--wait", "0.1", *sh(UNTIL_GO)
    ) as run:
        run.wait_for("claimed")
        eventually(lambda: node_bench.blocked_clients() == 1)
        node.kill()
        eventually(lambda: "Redis is unreachable" in run.stderr())
        outage_until = monotonic() + 0.5
        eventually(lambda: monotonic() > outage_until)
        node.start()
        items.append(node_bench.item())
        run.wait_for("claimed", times=2)
        (node_shell.folder / "go").touch()

        assert run.exit_code() == 0
    assert {node_bench.state(item) for item in items} == {State.COMPLETED}


def test_failing_slot_is_reported_immediately(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    item = node_bench.item()
    command(node, "ACL", "SETUSER", "default", "-blpop")

    with running(node_shell, "--pool", "2", *sh(UNTIL_GO)) as run:
        run.wait_for("claimed")
        eventually(lambda: "refused this client" in run.stderr())
        stderr = run.stderr()
        (node_shell.folder / "go").touch()

        assert run.exit_code() == 4
    assert "No more items are claimed, and running commands finish." in stderr
    assert node_bench.state(item) is State.COMPLETED


@pytest.mark.parametrize("items", [0, 1])
def test_second_signal_ends_a_run_despite_hung_redis(
    node_shell: Shell, node_bench: Bench, node: Node, items: int
) -> None:
    for _ in range(items):
        node_bench.item()

    with running(
        node_shell,
        "--pool",
        "4",
        "--lease",
        "1s",
        "--grace",
        "200ms",
        *sh(UNTIL_GO),
    ) as run:
        eventually(lambda: node_bench.blocked_clients() == 4 - items)
        run.wait_for("claimed", times=items)
        os.kill(node.pid, signal.SIGSTOP)
        run.send(signal.SIGTERM)
        eventually(lambda: "Stopping" in run.stderr())
        run.send(signal.SIGTERM)

        assert run.exit_code(within_s=HUNG_S) == (4 if items else 0)
        assert run.events() == ["claimed", "unsaid"] * items


def test_second_signal_ends_a_run_without_any_reply(
    shell: Shell,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hole:
        hole.settimeout(SOON_S)
        node_shell = shell.having(
            TASKORCH_REDIS_URL="redis://{}:{}".format(*hole.getsockname())
        )
        with (
            running(node_shell, "--pool", "4", *sh("echo done")) as run,
            hole.accept()[0],
        ):
            run.send(signal.SIGTERM)
            eventually(lambda: "Stopping" in run.stderr())
            run.send(signal.SIGTERM)

            assert run.exit_code(within_s=HUNG_S) == 4
            assert "Redis has not answered all claims" in run.stderr()


def test_repeated_signals_do_not_delay_the_end(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    node_bench.item()

    with running(node_shell, "--grace", "1s", *sh(UNTIL_GO)) as run:
        eventually((node_shell.folder / "begun").exists)
        node.kill()

        def over() -> bool:
            run.send(signal.SIGTERM)
            return run.has_ended()

        # signals that delayed the end would delay it for ever
        eventually(over)
        assert run.exit_code() == 4


def test_unreplicated_completion_is_logged_as_completed(
    node_shell: Shell, node_bench: Bench
) -> None:
    item = node_bench.item()
    replicated = node_shell.having(
        TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="100ms"
    )

    ran = replicated.worker("run", "--once", "--json", *sh("echo 4 tables"))

    entry = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.code, entry["event"], entry["state"]) == (
        0,
        "completed",
        "completed",
    )
    assert entry["text"].startswith(
        "4 tables (The step was done, but only 0 of 1 replicas have it"
    )
    assert node_bench.queue.views.show(item).item.summary == "4 tables"
    assert list(node_shell.folder.rglob("*.lease")) == []


def test_unreleased_item_is_left_to_its_lease(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    node_bench.item()

    with running(node_shell, "--grace", "200ms", *sh(UNTIL_GO)) as run:
        eventually((node_shell.folder / "begun").exists)
        node.kill()
        run.send(signal.SIGTERM)
        eventually(lambda: "Stopping" in run.stderr())
        run.send(signal.SIGTERM)

        assert run.exit_code() == 4
        assert run.last_entry()["event"] == "unsaid"


def test_lost_replies_repeat_no_step(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(2)]

    with proxied(bench.url) as proxy:
        proxy.replies_lost = 4
        behind = shell.having(TASKORCH_REDIS_URL=proxy.url)
        with running(
            behind, "--once", "--pool", "2", "--wait", "60", *sh("echo done")
        ) as run:
            assert run.exit_code() == 0

    views = [bench.queue.views.show(item) for item in items]
    assert [
        (view.item.state, view.item.attempts, view.item.token)
        for view in views
    ] == [(State.COMPLETED, 1, 1)] * 2
    assert Counter(event["verb"] for event in bench.events())["complete"] == 2


def test_lost_reply_does_not_end_a_single_claim(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with proxied(bench.url) as proxy:
        proxy.replies_lost = 1
        behind = shell.having(TASKORCH_REDIS_URL=proxy.url)
        ran = behind.worker("run", "--once", *sh("echo done"))

    assert (ran.code, ran.stderr) == (0, "")
    assert bench.state(item) is State.COMPLETED


def test_pools_complete_each_item_once_across_restarts(
    node_shell: Shell, node_bench: Bench, node: Node
) -> None:
    project = node_bench.project()
    items = [
        node_bench.item(project, agent=("ada", "bob")[number % 2])
        for number in range(50)
    ]
    script = (
        "echo $TASKORCH_LEASE >> $TASKORCH_ROOT/ran; sleep 0.05; echo done"
    )

    with ExitStack() as runs:
        for agent in ("ada", "bob", "ada"):
            folder = (
                node_shell.folder.parent
                / f"{agent}{len(list(node_shell.folder.parent.iterdir()))}"
            )
            folder.mkdir()
            agent_shell = node_shell.within(folder).having(
                AGENT_ID=agent, TASKORCH_ROOT=str(folder)
            )
            runs.enter_context(
                running(
                    agent_shell, "--pool", "2", "--lease", "2s", *sh(script)
                )
            )
        for done in (5, 20):
            eventually(lambda done=done: finished(node_bench) >= done)  # type: ignore[misc]
            node.kill()
            node.start()
        eventually(lambda: finished(node_bench) == 50)

    completed = [
        event["item"]
        for event in node_bench.events()
        if event["verb"] == "complete"
    ]
    assert sorted(completed) == sorted(items)
    assert {
        node_bench.queue.views.show(item).item.summary for item in items
    } == {"done"}
    assert node_bench.inconsistencies() == []


def finished(bench: Bench) -> int:
    """Return the number of completed items."""
    return len(bench.queue.views.list(state=State.COMPLETED).items)
