"""The agent of a program: its claims, and the ends of their waits."""

import signal
from concurrent.futures import ThreadPoolExecutor
from threading import Thread, get_ident

import pytest
from support.builders import Bench
from support.commands import eventually
from support.waiters import Waiters
from taskorch import Caller, NewItem, Queue, State, errors
from taskorch.domain.item import Claim
from taskorch.queue.port import WaitBrokenOff


def test_claim_without_item_yields_none(bench: Bench, queue: Queue) -> None:
    bench.item(agent="bob")

    with queue.agent("ada").claim(wait_s=0) as task:
        assert task is None


def test_claim_waits_for_an_item(waiters: Waiters) -> None:
    bench = waiters.bench
    queue = Queue(
        bench.queue.connection, bench.namespace, Caller(agent="planner")
    )

    def work(_: Bench) -> str:
        with queue.agent("ada").claim() as task:
            task.complete("Done")
        return task.id

    done = waiters.start(work)
    id_ = bench.item()

    assert done.result(30) == id_


def test_claim_by_id_holds_that_item(bench: Bench, queue: Queue) -> None:
    bench.item()
    second = bench.item()

    with queue.agent("ada").get(second) as task:
        task.complete("Done")

    assert bench.state(second) is State.COMPLETED


def test_claim_by_id_refuses_a_waiting_item(
    bench: Bench, queue: Queue
) -> None:
    id_ = bench.item(depends_on=[bench.item(agent="bob")])

    with (
        pytest.raises(errors.WrongState, match="waiting") as refused,
        queue.agent("ada").get(id_),
    ):
        pytest.fail("The item was claimed.")

    assert refused.value.hint()


def test_claim_by_id_refuses_a_held_item(bench: Bench, queue: Queue) -> None:
    held = bench.claimed()

    with pytest.raises(errors.Held), queue.agent("ada").get(held.item):
        pytest.fail("The item was claimed.")
    with queue.agent("ada").get(held.item, takeover=True) as task:
        task.complete("Done")

    assert bench.state(held.item) is State.COMPLETED


def test_agent_reads_what_is_assigned(bench: Bench, queue: Queue) -> None:
    bench.add_discovery(bench.item(), "1-0", "An index helps")
    agent = queue.agent("ada")

    assert agent.check().count == 1
    assert [found.text for found in agent.discoveries().discoveries] == [
        "An index helps"
    ]
    assert len(agent.new_discoveries().discoveries) == 1


def test_interrupted_wait_claims_nothing(breakable: Waiters) -> None:
    """Ctrl-C reaches the main thread while it waits."""
    bench, connection = breakable.bench, breakable.connection
    queue = Queue(
        bench.queue.connection, bench.namespace, Caller(agent="planner")
    )
    main = get_ident()

    def interrupt() -> None:
        assert connection.blocks.acquire(timeout=30)
        signal.pthread_kill(main, signal.SIGINT)

    interrupting = Thread(target=interrupt)
    interrupting.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), queue.agent("ada").claim():
            pytest.fail("There is no item.")
    finally:
        signal.signal(signal.SIGINT, before)
        interrupting.join()

    id_ = bench.item()
    assert bench.claimed_next() == id_


def test_broken_off_wait_leaves_its_wake_token(bench: Bench) -> None:
    """A wait that was broken off may have taken the token of another waiter."""
    id_ = bench.item()
    bench.delete_key("wake:ada")

    bench.agent().pass_wake_on()

    assert bench.raw.llen(f"taskorch:{{{bench.namespace}}}:wake:ada") == 1
    assert bench.state(id_) is State.QUEUED


def test_pass_wake_on_without_item_wakes_nobody(bench: Bench) -> None:
    bench.claimed()
    bench.delete_key("wake:ada")

    bench.agent().pass_wake_on()

    assert not bench.raw.exists(f"taskorch:{{{bench.namespace}}}:wake:ada")


def test_wait_of_one_thread_is_broken_off(breakable: Waiters) -> None:
    waiters = breakable
    connection = waiters.bench.queue.connection
    identifiers: list[int] = []

    def wait(bench: Bench) -> Claim | None:
        identifiers.append(get_ident())
        return bench.agent().claim(wait_s=60)

    broken = waiters.start(wait)
    eventually(lambda: bool(identifiers))
    other = waiters.start(wait)

    def ends() -> bool:
        connection.break_off(identifiers[0])
        return broken.done()

    eventually(ends)
    with pytest.raises(WaitBrokenOff):
        broken.result()
    assert not other.done()
    id_ = waiters.bench.item()
    claim = other.result(30)
    assert claim is not None
    assert claim.package.item.id == id_


def test_threads_share_a_queue(queue: Queue) -> None:
    project = queue.project("A project")
    agent = queue.agent("ada")

    def work(number: int) -> str:
        queue.create(project, NewItem(title=f"Item {number}", agent="ada"))
        with agent.claim() as task:
            task.complete(f"Done by {number}")
        return task.id

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(work, range(40)))

    assert len(set(done)) == 40
    assert queue.views.progress(project).project.is_finished
