"""`worker run` while Redis goes away and comes back: what runs goes on, and each step acts once."""

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

#: Far less than what a Redis that hangs may keep a call.
HUNG_S = 9


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A server that keeps what it acknowledged, and may be killed."""
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
    """The shell on that server."""
    return shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")


@pytest.fixture
def work(there: Shell) -> Iterator[Bench]:
    """The namespace on that server, from behind."""
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


def test_an_outage_is_told_once_and_what_ended_meanwhile_is_delivered(
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


def test_a_run_that_begins_while_redis_is_away_waits_for_it(
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
def test_a_run_that_ends_when_idle_does_not_wait_longer_for_a_redis_that_is_away(
    there: Shell, node: Node, options: list[str]
) -> None:
    node.kill()

    ran = there.worker("run", *options, *sh("echo done"))

    assert ran.code == 4
    assert "Redis does not answer" in ran.stderr


def test_an_outage_ends_no_slot_that_is_idle_while_another_one_is_at_work(
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


def test_a_slot_that_fails_is_told_while_the_others_are_at_work(
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
def test_a_run_whose_redis_hangs_is_gone_soon_after_a_second_signal(
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


def test_a_run_that_was_never_answered_is_gone_soon_after_a_second_signal(
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


def test_signals_that_go_on_coming_do_not_put_the_end_off(
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


def test_what_is_done_and_not_on_enough_replicas_is_told_as_done(
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


def test_what_cannot_be_given_back_is_left_to_its_lease(
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


def test_replies_that_are_lost_again_and_again_make_nothing_happen_twice(
    shell: Shell, bench: Bench
) -> None:
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


def test_three_pools_on_two_queues_complete_each_item_once_while_redis_restarts(
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
    """Return how many items are completed."""
    return len(bench.queue.views.list(state=State.COMPLETED).items)
