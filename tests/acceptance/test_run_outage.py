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
import redis
from support.builders import Bench
from support.commands import SOON_S, Shell, eventually
from support.proxy import proxied
from support.runs import HELD, running, sh
from support.topologies import Node, command, free_ports
from taskorch.connect import connect
from taskorch.domain.item import Caller, State
from taskorch.queue.queue import Queue

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
def there(shell: Shell, node: Node) -> Shell:
    """The shell with that server."""
    return shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")


@pytest.fixture
def work(there: Shell) -> Iterator[Bench]:
    """The shell's namespace on that server."""
    url, namespace = (
        there.variables["TASKORCH_REDIS_URL"],
        there.variables["TASKORCH_NAMESPACE"],
    )
    connection = connect(url, retries=9)
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        yield Bench(
            Queue(connection, namespace, Caller(agent="planner", host="here", pid=1)),
            raw,
            namespace,
            url,
        )
    connection.close()


def test_outage_is_reported_once_and_delays_delivery(
    there: Shell, work: Bench, node: Node
) -> None:
    items = [work.item() for _ in range(2)]

    with running(there, "--pool", "3", "--lease", "1s", *sh(HELD)) as run:
        run.wait_for("claimed", times=2)
        node.kill()
        eventually(lambda: "Redis does not answer" in run.stderr())
        away_until = monotonic() + 0.7
        eventually(lambda: monotonic() > away_until)
        (there.folder / "go").touch()
        node.start()
        run.wait_for("completed", times=2)
        eventually(lambda: "Redis answers again." in run.stderr())
        later = work.item()
        run.wait_for("completed", times=3)

        assert run.stderr().count("Redis does not answer") == 1
        assert run.stderr().count("Redis answers again.") == 1
    assert {work.queue.views.show(item).item.summary for item in (*items, later)} == {
        "done"
    }


def test_run_waits_for_redis_at_its_start(
    there: Shell, work: Bench, node: Node
) -> None:
    item = work.item()
    node.kill()

    with running(there, *sh("echo done")) as run:
        eventually(lambda: "Redis does not answer" in run.stderr())
        node.start()
        run.wait_for("completed")

    assert work.state(item) is State.COMPLETED


@pytest.mark.parametrize("options", [["--once"], ["--wait", "0.2", "--pool", "3"]])
def test_idle_time_limits_the_wait_for_redis(
    there: Shell, node: Node, options: list[str]
) -> None:
    node.kill()

    ran = there.worker("run", *options, *sh("echo done"))

    assert ran.code == 4
    assert "Redis does not answer" in ran.stderr


def test_outage_does_not_end_an_idle_slot(
    there: Shell, work: Bench, node: Node
) -> None:
    items = [work.item()]

    with running(there, "--pool", "2", "--wait", "0.1", *sh(HELD)) as run:
        run.wait_for("claimed")
        eventually(lambda: work.blocked_clients() == 1)
        node.kill()
        eventually(lambda: "Redis does not answer" in run.stderr())
        away_until = monotonic() + 0.5
        eventually(lambda: monotonic() > away_until)
        node.start()
        items.append(work.item())
        run.wait_for("claimed", times=2)
        (there.folder / "go").touch()

        assert run.exit_code() == 0
    assert {work.state(item) for item in items} == {State.COMPLETED}


def test_failing_slot_is_reported_immediately(
    there: Shell, work: Bench, node: Node
) -> None:
    item = work.item()
    command(node, "ACL", "SETUSER", "default", "-blpop")

    with running(there, "--pool", "2", *sh(HELD)) as run:
        run.wait_for("claimed")
        eventually(lambda: "refuses this client" in run.stderr())
        told = run.stderr()
        (there.folder / "go").touch()

        assert run.exit_code() == 4
    assert "No more items are claimed, and running commands finish." in told
    assert work.state(item) is State.COMPLETED


@pytest.mark.parametrize("items", [0, 1])
def test_second_signal_ends_a_run_despite_hung_redis(
    there: Shell, work: Bench, node: Node, items: int
) -> None:
    for _ in range(items):
        work.item()

    with running(
        there, "--pool", "4", "--lease", "1s", "--grace", "200ms", *sh(HELD)
    ) as run:
        eventually(lambda: work.blocked_clients() == 4 - items)
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
        there = shell.having(
            TASKORCH_REDIS_URL="redis://{}:{}".format(*hole.getsockname())
        )
        with running(there, "--pool", "4", *sh("echo done")) as run, hole.accept()[0]:
            run.send(signal.SIGTERM)
            eventually(lambda: "Stopping" in run.stderr())
            run.send(signal.SIGTERM)

            assert run.exit_code(within_s=HUNG_S) == 4
            assert "Redis has not answered all claims" in run.stderr()


def test_repeated_signals_do_not_delay_the_end(
    there: Shell, work: Bench, node: Node
) -> None:
    work.item()

    with running(there, "--grace", "1s", *sh(HELD)) as run:
        eventually((there.folder / "begun").exists)
        node.kill()

        def over() -> bool:
            run.send(signal.SIGTERM)
            return run.has_ended()

        eventually(over, within_s=HUNG_S)
        assert run.exit_code() == 4


def test_unreplicated_completion_is_logged_as_completed(
    there: Shell, work: Bench
) -> None:
    item = work.item()
    wanting = there.having(TASKORCH_WAIT_REPLICAS="1", TASKORCH_WAIT_TIMEOUT="100ms")

    ran = wanting.worker("run", "--once", "--json", *sh("echo 4 tables"))

    told = json.loads(ran.stdout.splitlines()[-1])
    assert (ran.code, told["event"], told["state"]) == (0, "completed", "completed")
    assert told["text"].startswith(
        "4 tables (It is done, but only 0 of 1 replicas have it"
    )
    assert work.queue.views.show(item).item.summary == "4 tables"
    assert list(there.folder.rglob("*.lease")) == []


def test_unreleased_item_is_left_to_its_lease(
    there: Shell, work: Bench, node: Node
) -> None:
    work.item()

    with running(there, "--grace", "200ms", *sh(HELD)) as run:
        eventually((there.folder / "begun").exists)
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
        (view.item.state, view.item.attempts, view.item.token) for view in views
    ] == [(State.COMPLETED, 1, 1)] * 2
    assert Counter(event["verb"] for event in bench.events())["complete"] == 2


def test_pools_complete_each_item_once_across_restarts(
    there: Shell, work: Bench, node: Node
) -> None:
    project = work.project()
    items = [
        work.item(project, agent=("ada", "bob")[number % 2]) for number in range(50)
    ]
    script = "echo $TASKORCH_TOKEN >> $TASKORCH_ROOT/ran; sleep 0.05; echo done"

    with ExitStack() as runs:
        for agent in ("ada", "bob", "ada"):
            own = (
                there.folder.parent
                / f"{agent}{len(list(there.folder.parent.iterdir()))}"
            )
            own.mkdir()
            where = there.within(own).having(AGENT_ID=agent, TASKORCH_ROOT=str(own))
            runs.enter_context(
                running(where, "--pool", "2", "--lease", "2s", *sh(script))
            )
        for done in (5, 20):
            eventually(lambda done=done: finished(work) >= done)  # type: ignore[misc]
            node.kill()
            node.start()
        eventually(lambda: finished(work) == 50)

    completed = [
        event["item"] for event in work.events() if event["verb"] == "complete"
    ]
    assert sorted(completed) == sorted(items)
    assert {work.queue.views.show(item).item.summary for item in items} == {"done"}
    assert work.inconsistencies() == []


def finished(bench: Bench) -> int:
    """Return the number of completed items."""
    return len(bench.queue.views.list(state=State.COMPLETED).items)
