"""The briefing of an agent after a fresh start: its name, held items and queue."""

from collections.abc import Mapping
from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Caller, Claim, Item, Note
from taskorch.queue import replies
from taskorch.queue.fields import Damage, readable
from taskorch.queue.port import Reply


class HeldItem(Frozen):
    """An item that the agent holds.

    If another session of the agent holds it, its lease is None.
    """

    _flat = "claim"

    claim: Claim
    #: The newest notes, oldest first.
    notes: tuple[Note, ...]


class AgentBriefing(Frozen):
    """The first items that an agent holds, and that wait for it, with their numbers."""

    agent: str
    host: str
    session: str
    namespace: str
    held: tuple[HeldItem, ...]
    held_count: int
    queue: tuple[Item, ...]
    queue_count: int
    #: The number of assigned items that are not ready: they wait for dependencies or
    #: for an answer, or are delayed.
    later: int
    #: The number of items that are ready in each pool of the agent, in its order. They
    #: are among those of the queue.
    pools: Mapping[str, int] = {}
    #: The number of items of others that wait for its review, among the oldest 100.
    reviews: int = 0
    #: The budget that keeps it from its queue, in words; "" if none does.
    over_budget: str = ""


def briefing(
    caller: Caller, namespace: str, view: Reply, damage: Damage
) -> AgentBriefing:
    """Read the reply of `prime`.

    Its shape is `{{held item …}, number held, number queued, number not ready,
    {item view …}, {pool, number ready …}, number to review, {words of the budget that
    keeps it from its queue …}}`.
    """
    held, held_count, queue_count, later, queued, pools, reviews, over = cast(
        "tuple[list[Reply], int, int, int, Reply, Reply, int, list[str]]", view
    )
    return AgentBriefing(
        agent=caller.agent,
        host=caller.host,
        session=caller.session,
        namespace=namespace,
        held=readable(lambda row: held_item(row, damage), held, damage),
        held_count=held_count,
        queue=replies.items(queued, damage),
        queue_count=queue_count,
        later=later,
        pools=replies.ready_in_pools(pools),
        reviews=reviews,
        over_budget=str(replies.over_budget(over)) if over else "",
    )


def held_item(view: Reply, damage: Damage) -> HeldItem:
    """Read `{package, {note …}, token or '', {id of a new comment …}}`."""
    package, notes, token, comments = cast("list[Reply]", view)
    id_, _, expires = cast("list[list[Reply]]", package)[0]
    newest_first = readable(replies.note, cast("list[Reply]", notes), damage)
    return HeldItem(
        claim=replies.claim([id_, token, expires, package, comments], damage),
        notes=tuple(reversed(newest_first)),
    )
