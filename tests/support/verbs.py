"""Every verb of the queue by name, as a call with typical arguments.

Used by tests that try all verbs, such as the table of states and verbs.
"""

from collections.abc import Callable

from support.builders import Bench
from taskorch.domain.item import ItemEdit, Lease, State
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

#: Verbs of the holder of an item, who passes its lease.
HOLDER_VERBS: dict[str, Callable[[AgentQueue, Lease], object]] = {
    "progress": lambda me, lease: me.progress(lease, "half way", percent=50),
    "renew": lambda me, lease: me.renew(lease),
    "discover": lambda me, lease: me.discover(
        lease, "It rains", impact="take a coat"
    ),
    "blocker": lambda me, lease: me.blocker(
        lease, "Which door?", needs="a choice"
    ),
    "withdraw": lambda me, lease: me.withdraw(lease),
    "agent_comment": lambda me, lease: me.comment(lease, "Nearly there"),
    "complete": lambda me, lease: me.complete(
        lease, "done", deliverables={"file": "a.txt"}
    ),
    "complete-next": lambda me, lease: me.complete(
        lease, "done", deliverables={"file": "a.txt"}, next=True
    ),
    "ack": lambda me, lease: me.complete(lease),
    "fail": lambda me, lease: me.fail(lease, "no luck"),
    "fail-next": lambda me, lease: me.fail(lease, "no luck", next=True),
    "release": lambda me, lease: me.release(lease, reason="too late today"),
}

#: Verbs of an agent on an item.
AGENT_VERBS: dict[str, Callable[[AgentQueue, Lease], object]] = {
    "get": lambda me, lease: me.get(lease),
    "peek": lambda me, lease: me.get(lease, peek=True),
    "takeover": lambda me, lease: me.get(lease, takeover=True),
    **HOLDER_VERBS,
}

#: Verbs of the orchestrator: they take the item and another item.
ORCHESTRATOR_VERBS: dict[str, Callable[[Queue, str, str], object]] = {
    "assign": lambda queue, item, _: queue.assign(item, "ada"),
    "assign-other": lambda queue, item, _: queue.assign(item, "bob"),
    "assign-force": lambda queue, item, _: queue.assign(
        item, "bob", force=True
    ),
    "depend": lambda queue, item, other: queue.depend(item, [other]),
    "edit": lambda queue, item, _: queue.edit(
        [item], ItemEdit(title="Another title")
    ),
    "edit-context": lambda queue, item, _: queue.edit(
        [item], ItemEdit(priority=0, context={"db": "postgres"})
    ),
    "edit-label": lambda queue, item, _: queue.edit(
        [item], ItemEdit(add_labels=("urgent",))
    ),
    "answer": lambda queue, item, _: queue.answer(item, "The left one."),
    "comment": lambda queue, item, _: queue.comment(item, "Mind the gap"),
    "accept": lambda queue, item, _: queue.accept(item, "Well done"),
    "send-back": lambda queue, item, _: queue.send_back(item, "Once more"),
    "cancel": lambda queue, item, _: queue.cancel(item, reason="not needed"),
    "requeue": lambda queue, item, _: queue.requeue(item, reason="again"),
}

#: A state in which each verb is allowed; `pop` is `claim`.
ALLOWING_STATE = dict.fromkeys(AGENT_VERBS, State.IN_PROGRESS) | {
    "pop": State.QUEUED,
    "assign": State.PENDING,
    "assign-other": State.QUEUED,
    "assign-force": State.IN_PROGRESS,
    "depend": State.QUEUED,
    "edit": State.QUEUED,
    "edit-context": State.IN_PROGRESS,
    "edit-label": State.COMPLETED,
    "answer": State.BLOCKED,
    "comment": State.IN_PROGRESS,
    "accept": State.REVIEW,
    "send-back": State.REVIEW,
    "withdraw": State.BLOCKED,
    "cancel": State.IN_PROGRESS,
    "requeue": State.FAILED,
}


def act(bench: Bench, verb: str, lease: Lease, other: str) -> object:
    """Call a verb on an item as ada, or as the orchestrator.

    `takeover` is called by a second session without a token.
    """
    if verb == "pop":
        return bench.agent().claim()
    if verb == "takeover":
        return bench.agent(session="second").get(
            Lease(item=lease.item), takeover=True
        )
    if verb in AGENT_VERBS:
        return AGENT_VERBS[verb](bench.agent(), lease)
    return ORCHESTRATOR_VERBS[verb](bench.queue, lease.item, other)
