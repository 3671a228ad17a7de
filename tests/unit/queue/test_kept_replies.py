"""A command that is run again after an upgrade gets the reply that is kept for it.

Redis keeps replies for ten minutes, so an older version may have written them.
"""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from support.builders import Bench, need_lease
from taskorch.domain.item import Lease, NewItem
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.plan import Plan
from taskorch.queue.port import REPEAT
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests

REQUEST = "0123456789abcdef"
#: The words of a receipt, and of a row of `create`, in the older version.
OLD_WORDS = 6

Reply = list[Any]
Act = Callable[[AgentQueue, Lease], object]


def repeated_after_upgrade(
    bench: Bench, act: Callable[[], object], shorten: Callable[[Reply], Reply]
) -> object:
    """Act, replace the kept reply by the older form, and act with the same request."""
    act()
    key = f"{keys.tag(bench.namespace)}req:{REQUEST}"
    reply = json.loads(cast("str", bench.raw.get(key)))
    bench.raw.set(key, json.dumps(shorten(reply)))
    return act()


def agent(bench: Bench) -> AgentQueue:
    scripts = bench.queue._scripts
    return AgentQueue(
        scripts.connection,
        bench.namespace,
        bench.agent()._scripts.caller,
        requests=Requests(same=REQUEST + REPEAT),
    )


def queue(bench: Bench) -> Queue:
    scripts = bench.queue._scripts
    return Queue(
        scripts.connection,
        bench.namespace,
        scripts.caller,
        requests=Requests(same=REQUEST + REPEAT),
    )


def receipt(reply: Reply) -> Reply:
    return reply[:OLD_WORDS]


def rows(reply: Reply) -> Reply:
    return [row[:OLD_WORDS] for row in reply]


STEPS: dict[str, tuple[Act, Callable[[Reply], Reply]]] = {
    "progress": (lambda me, lease: me.progress(lease, "at it"), receipt),
    "discover": (lambda me, lease: me.discover(lease, "It rains"), receipt),
    "blocker": (lambda me, lease: me.blocker(lease, "Which one?"), receipt),
    "renew": (lambda me, lease: me.renew(lease), receipt),
    "fail": (lambda me, lease: me.fail(lease, "no luck"), receipt),
    "release": (lambda me, lease: me.release(lease), receipt),
    "complete": (lambda me, lease: me.complete(lease, "done"), rows),
}


@pytest.mark.parametrize("verb", STEPS)
def test_old_receipt_of_step_is_read(bench: Bench, verb: str) -> None:
    act, shorten = STEPS[verb]
    me, lease = agent(bench), bench.claimed()

    again = repeated_after_upgrade(bench, lambda: act(me, lease), shorten)

    assert cast("Any", again).id == lease.item
    assert cast("Any", again).comments == ()
    assert len(bench.queue.views.show(lease.item).history) <= 1


def test_old_receipt_of_claim_is_read(bench: Bench) -> None:
    item, me = bench.item(), agent(bench)

    again = repeated_after_upgrade(bench, lambda: me.claim_many(1), rows)

    (claim,) = cast("Any", again)
    assert need_lease(claim).item == item
    assert claim.new_comments == ()


def test_old_receipt_of_get_is_read(bench: Bench) -> None:
    item, me = bench.item(), agent(bench)

    again = repeated_after_upgrade(
        bench, lambda: me.get(Lease(item=item)), receipt
    )

    assert need_lease(cast("Any", again)).item == item


def test_old_reply_of_assign_is_read(bench: Bench) -> None:
    item, me = bench.item(), queue(bench)

    again = repeated_after_upgrade(
        bench, lambda: me.assign(item, "bob"), lambda reply: reply[0]
    )

    assert (cast("Any", again).id, cast("Any", again).agent) == (item, "bob")
    assert not cast("Any", again).is_new_agent


def test_old_reply_of_create_is_read(bench: Bench) -> None:
    project, me = bench.project(), queue(bench)

    again = repeated_after_upgrade(
        bench,
        lambda: me.create(project, NewItem(title="t", agent="ada")),
        lambda reply: [reply[0], reply[1], rows(reply[2])],
    )

    (item,) = bench.queue.views.list(project=project).items
    assert again == item.id


def test_old_reply_of_create_has_no_new_agents(bench: Bench) -> None:
    project, me = bench.project(), queue(bench)
    plan = Plan(project=project, items=(NewItem(title="t", agent="ada"),))

    again = repeated_after_upgrade(
        bench,
        lambda: me.apply(plan),
        lambda reply: [reply[0], reply[1], rows(reply[2])],
    )

    assert cast("Any", again).new_agents == ()
    assert cast("Any", again).other_agents == ()
