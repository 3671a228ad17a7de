"""`worker run` while Redis goes away and comes back: what runs goes on, and each step acts once."""

import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
import redis
from builders import Bench
from commands import Shell, eventually
from proxy import proxied
from runs import SOON_S, running, sh
from taskorch.connection import connect
from taskorch.item import Caller, State
from taskorch.queue import Queue
from topologies import Node, free_ports

#: Runs until the test lets it go.
HELD = "echo >> $TASKORCH_ROOT/begun; until test -e $TASKORCH_ROOT/go; do sleep 0.01; done; echo done"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A server that keeps what it acknowledged, and may be killed."""
    port = free_ports(1)[0]
    options = ("--appendonly", "yes", "--appendfsync", "no", "--save", "", "--bind", "127.0.0.1")
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
    url, namespace = there.variables["TASKORCH_REDIS_URL"], there.variables["TASKORCH_NAMESPACE"]
    connection = connect(url, retries=9)
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        yield Bench(Queue(connection, namespace, Caller(agent="planner", host="here", pid=1)), raw, namespace, url)
    connection.close()


def test_an_outage_is_told_once_and_what_ended_meanwhile_is_delivered(there: Shell, work: Bench, node: Node) -> None:
    items = [work.item() for _ in range(2)]

    with running(there, "--pool", "3", "--lease", "1s", *sh(HELD)) as run:
        run.awaits("claimed", times=2)
        node.kill()
        eventually(lambda: "Redis does not answer" in run.talk(), within_s=SOON_S)
        away_until = monotonic() + 0.7
        eventually(lambda: monotonic() > away_until)
        (there.folder / "go").touch()
        node.start()
        run.awaits("completed", times=2)
        eventually(lambda: "Redis answers again." in run.talk(), within_s=SOON_S)
        later = work.item()
        run.awaits("completed", times=3)

        assert run.talk().count("Redis does not answer") == 1
        assert run.talk().count("Redis answers again.") == 1
    assert {work.queue.views.show(item).item.summary for item in (*items, later)} == {"done"}


def test_a_run_that_begins_while_redis_is_away_waits_for_it(there: Shell, work: Bench, node: Node) -> None:
    item = work.item()
    node.kill()

    with running(there, *sh("echo done")) as run:
        eventually(lambda: "Redis does not answer" in run.talk(), within_s=SOON_S)
        node.start()
        run.awaits("completed")

    assert work.state(item) is State.COMPLETED


def test_a_run_of_one_item_does_not_wait_for_a_redis_that_is_away(there: Shell, node: Node) -> None:
    node.kill()

    ran = there.worker("run", "--once", *sh("echo done"))

    assert ran.code == 4
    assert "Redis does not answer" in ran.stderr


def test_what_cannot_be_given_back_is_left_to_its_lease(there: Shell, work: Bench, node: Node) -> None:
    work.item()

    with running(there, "--grace", "200ms", *sh(HELD)) as run:
        eventually((there.folder / "begun").exists, within_s=SOON_S)
        node.kill()
        run.tell(signal.SIGTERM)
        eventually(lambda: "Stopping" in run.talk(), within_s=SOON_S)
        run.tell(signal.SIGTERM)

        assert run.ended() == 4
        assert run.last()["event"] == "unsaid"


def test_replies_that_are_lost_again_and_again_make_nothing_happen_twice(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(2)]

    with proxied(bench.url) as proxy:
        proxy.replies_lost = 4
        behind = shell.having(TASKORCH_REDIS_URL=proxy.url)
        with running(behind, "--once", "--pool", "2", "--wait", "60", *sh("echo done")) as run:
            assert run.ended() == 0

    views = [bench.queue.views.show(item) for item in items]
    assert [(view.item.state, view.item.attempts, view.item.token) for view in views] == [(State.COMPLETED, 1, 1)] * 2
    assert Counter(event["verb"] for event in bench.events())["complete"] == 2


def test_three_pools_on_two_queues_complete_each_item_once_while_redis_restarts(
    there: Shell, work: Bench, node: Node
) -> None:
    project = work.project()
    items = [work.item(project, agent=("ada", "bob")[number % 2]) for number in range(50)]
    script = "echo $TASKORCH_TOKEN >> $TASKORCH_ROOT/ran; sleep 0.05; echo done"

    with ExitStack() as runs:
        for agent in ("ada", "bob", "ada"):
            own = there.folder.parent / f"{agent}{len(list(there.folder.parent.iterdir()))}"
            own.mkdir()
            where = there.within(own).having(AGENT_ID=agent, TASKORCH_ROOT=str(own))
            runs.enter_context(running(where, "--pool", "2", "--lease", "2s", *sh(script)))
        for done in (5, 20):
            eventually(lambda done=done: finished(work) >= done, within_s=SOON_S)  # type: ignore[misc]
            node.kill()
            node.start()
        eventually(lambda: finished(work) == 50, within_s=SOON_S)

    completed = [event["item"] for event in work.events() if event["verb"] == "complete"]
    assert sorted(completed) == sorted(items)
    assert {work.queue.views.show(item).item.summary for item in items} == {"done"}
    assert work.inconsistencies() == []


def finished(bench: Bench) -> int:
    """Return how many items are completed."""
    return len(bench.queue.views.list(state=State.COMPLETED).items)
