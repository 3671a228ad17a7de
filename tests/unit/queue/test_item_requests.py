"""Claims and completions are found again by the request that their items carry."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from support.builders import Bench, need_lease
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, State
from taskorch.domain.mirror_record import Origin
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Reply

#: Above this number of held items, a claim keeps its reply.
MAX_HELD = 500

Change = Callable[[Bench, Lease], object]


@dataclass(frozen=True)
class Recorded:
    """An agent whose calls can be repeated."""

    agent: AgentQueue
    connection: RecordingConnection

    def repeat(self) -> tuple[Reply, Reply]:
        """Repeat the first call; return its first reply and the new one."""
        first, again = self.connection.repeat(0)
        return first.reply, again.reply


def recorded(bench: Bench) -> Recorded:
    connection = RecordingConnection(bench.queue._scripts.connection)
    return Recorded(
        bench.with_connection(lambda _: connection).agent(), connection
    )


def items_of(claims: Reply) -> list[str]:
    rows, *_ = cast("tuple[list[list[Any]], str, Reply]", claims)
    return [str(row[0]) for row in rows]


def take_over(bench: Bench, lease: Lease) -> None:
    other = bench.agent(session="other")
    other.get(Lease(item=lease.item), takeover=True)


def expire(bench: Bench, lease: Lease) -> None:
    bench.expire_lease(lease.item)
    bench.queue.reap()


#: What may become of an item before the repeat of its claim arrives.
CHANGES: dict[str, Change] = {
    "taken over": take_over,
    "expired": expire,
    "cancelled": lambda bench, lease: bench.queue.cancel(lease.item),
    "assigned by force": lambda bench, lease: bench.queue.assign(
        lease.item, "bob", force=True
    ),
    "completed": lambda bench, lease: bench.agent().complete(lease, "done"),
    "failed": lambda bench, lease: bench.agent().fail(lease, "no luck"),
}


def test_first_claim_and_completion_keep_no_reply(bench: Bench) -> None:
    bench.item()
    bench.item()
    before = len(bench.kept_replies())

    lease = need_lease(bench.agent().claim())
    receipt = bench.agent().complete(lease, "done", next=True)

    assert receipt.next
    assert len(bench.kept_replies()) == before


def test_repeated_claim_returns_its_items(bench: Bench) -> None:
    bench.item(priority=3)
    bench.item(priority=0)
    left = bench.item(priority=4)
    me = recorded(bench)
    me.agent.claim_many(2)
    bench.claimed(bench.item(priority=0))

    first, again = me.repeat()

    assert again == first
    assert bench.state(left) is State.QUEUED
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", CHANGES)
def test_repeated_claim_of_lost_item_claims_next(
    bench: Bench, name: str
) -> None:
    bench.item()
    me = recorded(bench)
    lease = need_lease(me.agent.claim())
    CHANGES[name](bench, lease)
    waiting = bench.item()

    _, again = me.repeat()
    late = me.connection.repeat(0)[1].reply

    assert items_of(again) == [waiting]
    assert late == again
    assert bench.inconsistencies() == []


def test_repeated_claim_shows_comments_again(bench: Bench) -> None:
    item = bench.item()
    bench.queue.comment(item, "Read this.")
    me = recorded(bench)
    me.agent.claim()

    first, again = me.repeat()

    assert again == first
    assert cast("Any", again)[0][0][4] != []


def test_claim_beside_many_held_items_keeps_its_reply(bench: Bench) -> None:
    project = bench.project()
    new = [NewItem(title="T", agent="ada") for _ in range(MAX_HELD + 1)]
    bench.create_many(project, new)
    for _ in range(MAX_HELD // 100):
        bench.agent().claim_many(100)
    before = len(bench.kept_replies())

    me = recorded(bench)
    me.agent.claim()

    assert len(bench.kept_replies()) == before + 1
    first, again = me.repeat()
    assert again == first


def test_repeated_completion_returns_its_receipt(bench: Bench) -> None:
    me = recorded(bench)
    lease = bench.claimed()
    me.agent.complete(lease, "done", deliverables={"file": "a.txt"})

    first, again = me.repeat()

    assert again == first
    assert len(bench.queue.views.show(lease.item).history) == 1


@pytest.mark.parametrize("shows_token", [True, False])
def test_repeated_completion_leaves_requeued_item(
    bench: Bench, *, shows_token: bool
) -> None:
    lease = bench.claimed() if shows_token else Lease(item=bench.item())
    me = recorded(bench)
    me.agent.complete(lease, "done")
    bench.queue.requeue(lease.item)

    first, again = me.repeat()

    assert again == first
    assert bench.state(lease.item) is State.QUEUED


def test_repeated_completion_leaves_later_completion(bench: Bench) -> None:
    lease = bench.claimed()
    me = recorded(bench)
    me.agent.complete(lease, "done")
    bench.queue.requeue(lease.item)
    bench.agent().complete(bench.claimed(lease.item), "better")

    first, again = me.repeat()

    assert again == first
    package = bench.queue.views.show(lease.item)
    assert package.item.summary == "better"


def test_repeated_completion_of_many_returns_receipts(bench: Bench) -> None:
    deliveries: list[tuple[Lease, str, dict[str, object]]] = [
        (bench.claimed(), "one", {}),
        (Lease(item=bench.item()), "two", {}),
    ]
    waiting = bench.item()
    me = recorded(bench)
    me.agent.complete_many(deliveries, next=True)
    third = bench.item()

    first, again = me.repeat()

    assert again == first
    assert bench.state(waiting) is State.IN_PROGRESS
    assert bench.state(third) is State.QUEUED


def comment(bench: Bench, lease: Lease) -> None:
    bench.queue.comment(lease.item, "Read this.")


def ask(bench: Bench, lease: Lease) -> None:
    bench.agent().blocker(lease, "Which one?")


def complete_before(bench: Bench, lease: Lease) -> None:
    bench.agent().complete(lease, "done")


@pytest.mark.parametrize("change", [comment, ask, complete_before])
def test_completion_with_news_keeps_its_reply(
    bench: Bench, change: Change
) -> None:
    lease = bench.claimed()
    change(bench, lease)
    me = recorded(bench)
    before = len(bench.kept_replies())

    me.agent.complete(lease, "done")

    assert len(bench.kept_replies()) == before + 1
    first, again = me.repeat()
    assert again == first


def test_repeated_completion_of_purged_item_is_refused(bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    me = recorded(bench)
    me.agent.complete(lease, "done")
    bench.queue.complete_project(project)
    bench.queue.purge(project)

    with pytest.raises(Exception, match=errors.NoItem.word):
        me.repeat()


def test_report_from_file_completes_requeued_item_once(bench: Bench) -> None:
    item = bench.item()
    scripts = bench.agent()._scripts

    def deliver() -> None:
        origin = Origin(
            request="00112233445566aa", written_at="2026-01-01", at=1
        )
        AgentQueue(
            scripts.connection,
            bench.namespace,
            scripts.caller,
            origin=origin,
        ).complete(Lease(item=item), "done")

    deliver()
    bench.queue.requeue(item)
    deliver()

    assert bench.state(item) is State.QUEUED
