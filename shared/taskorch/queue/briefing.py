"""What an agent needs to go on after a fresh start: who it is, what it holds, and its queue."""

from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Caller, Claim, Item, Note
from taskorch.queue import replies
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Damage


class HeldItem(Frozen):
    """An item that the agent holds. Its lease is None where another session of the same name holds it."""

    _flat = "claim"

    claim: Claim
    #: The newest ones, oldest first.
    notes: tuple[Note, ...]


class AgentBriefing(Frozen):
    """What an agent holds and what waits for it, the first items of each, and how many there are in all."""

    agent: str
    host: str
    session: str
    namespace: str
    held: tuple[HeldItem, ...]
    held_count: int
    queue: tuple[Item, ...]
    queue_count: int
    #: Assigned too, but not ready: waiting for dependencies or for an answer, or delayed.
    later: int


def briefing(
    caller: Caller, namespace: str, view: Reply, damage: Damage
) -> AgentBriefing:
    """Read `{{{package, {note …}, token or ''} …}, held, queued, not ready, {item view …}}`."""
    briefed, held, queued, later, views = cast(
        "tuple[list[Reply], int, int, int, Reply]", view
    )
    return AgentBriefing(
        agent=caller.agent,
        host=caller.host,
        session=caller.session,
        namespace=namespace,
        held=replies.sound(lambda row: _held(row, damage), briefed, damage),
        held_count=held,
        queue=replies.items(views, damage),
        queue_count=queued,
        later=later,
    )


def _held(view: Reply, damage: Damage) -> HeldItem:
    package, notes, token = cast("list[Reply]", view)
    id_, _, expires = cast("list[list[Reply]]", package)[0]
    newest = replies.sound(replies.note, cast("list[Reply]", notes), damage)
    return HeldItem(
        claim=replies.claim([id_, token, expires, package], damage),
        notes=tuple(reversed(newest)),
    )
