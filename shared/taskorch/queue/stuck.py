"""Stalled items: the reason, the time since then, and the command that helps."""

from collections.abc import Sequence
from typing import cast

from taskorch.domain import hints
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import HOUR_MS, MINUTE_MS, Item
from taskorch.queue import fields as read
from taskorch.queue import replies
from taskorch.queue.fields import readable
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import Scripts

#: A queued item is stuck if no agent claims it within this time.
UNSTARTED_MS = 30 * MINUTE_MS
#: A held item is stuck if its holder reports nothing for this time.
SILENT_MS = HOUR_MS
#: The kinds of items that the script visits, in its order.
KINDS = (
    "leases",
    "waiting",
    "unassigned",
    "dead",
    "delayed",
    "queue",
    "pool",
    "questions",
    "blocked",
    "reviews",
)
#: Rows that one call returns, so that it blocks Redis for some ms at most.
PAGE = 30
#: Items that one call looks at, about; scripts/stuck.lua has the same.
LOOKED_AT = 45
#: Maximum number of calls: they look at 100,000 items.
MOST_CALLS = -(-100_000 // LOOKED_AT)

#: The command that helps, by the reason why an item is stuck; that for a budget is in the
#: error.
COMMANDS = {
    "expired": "orchestrate reap",
    "silent": "orchestrate assign {item} AGENT --force",
    "blocked": "orchestrate answer {item} TEXT",
    "open_question": "orchestrate answer {item} TEXT",
    "review": "orchestrate accept {item}",
    "dead_dependency": "orchestrate requeue {dependency}",
    "failed": "orchestrate requeue {item}",
    "unstarted": "orchestrate assign {item} AGENT",
    "pool_without_agents": "orchestrate assign {item} AGENT",
}


OVER_BUDGET = "over_budget"
WHYS = (*COMMANDS, OVER_BUDGET)
#: The reasons that the inbox shows, too.
ASKING = ("blocked", "open_question", "review")


class StuckItem(Frozen):
    """A stalled item."""

    _flat = "item"
    item: Item
    #: The reason: a key of COMMANDS, or `over_budget`.
    why: str
    #: When its lease expired or its holder last reported, when it failed, was blocked,
    #: queued or completed for review, asked its oldest open question, or began to wait; in
    #: ms since the epoch.
    since: int
    #: When its agent last called; 0 if none of its sessions has called.
    agent_seen_at: int
    #: The failed or cancelled item that it waits for, or "".
    dependency: str
    #: The reason that its agent gave for the failure, or the budget that is used up, or
    #: "".
    reason: str
    #: The command that helps.
    command: str


class Stuck(Frozen):
    """The stalled items among those that were checked."""

    items: tuple[StuckItem, ...]
    #: The number of items that were checked.
    looked_at: int
    #: Whether there are further items to check.
    more: bool


def read_stuck(
    scripts: Scripts, words: Sequence[Argument], limit: int, most_calls: int
) -> Stuck:
    """Return the first stalled items, in as many calls as that takes, up to a bound.

    Each kind of items gets an equal share of the calls that are left, so that many
    items of one kind hide no others. If there are fewer calls than kinds, the first kinds
    get one each.
    """
    found: dict[tuple[str, str], StuckItem] = {}
    looked_at, left, is_cut = 0, most_calls, False
    cursor = _start_of(KINDS[0])
    for place, kind in enumerate(KINDS):
        share = max(left // (len(KINDS) - place), min(left, 1))
        for _ in range(share):
            if not cursor.startswith(f"{kind}:") or len(found) >= limit:
                break
            asked = min(limit - len(found), PAGE)
            view = scripts.run_script("stuck", *words, cursor, asked)
            cursor, visited, rows = cast("tuple[str, int, list[Reply]]", view)
            looked_at, left = looked_at + visited, left - 1
            for each in readable(stuck_item, rows, scripts.damage):
                found.setdefault(_matter(each), each)
        if cursor.startswith(f"{kind}:") and len(found) < limit:
            is_cut = True
            cursor = "".join(map(_start_of, KINDS[place + 1 : place + 2]))
    return Stuck(
        items=tuple(found.values()),
        looked_at=looked_at,
        more=is_cut or bool(cursor),
    )


def stuck_item(view: Reply) -> StuckItem:
    """Read one item.

    Its shape is `{why, since, agent seen, dependency or '', reason or '', item view, '1'
    if the item to requeue is of a completed project or ''}`.
    """
    why, since, seen, dead, reason, item_view, reopens = cast(
        "list[str]", view
    )
    item, dependency = replies.item(item_view), read.item_id(dead)
    if why == OVER_BUDGET:
        over = replies.over_budget(reason.split(" "))
        reason, command = str(over), over.command
    else:
        command = _command(why, item, dependency)
    return StuckItem(
        item=item,
        why=why,
        since=int(since),
        agent_seen_at=int(float(seen)),
        dependency=dependency,
        reason=reason,
        command=hints.with_reopen(command, reopens=bool(reopens)),
    )


def _matter(each: StuckItem) -> tuple[str, str]:
    """Return what a row is about: two calls may both have it.

    An item may move between the calls, and each of them has the first item of an agent
    that a budget keeps from being claimed.
    """
    if each.why == OVER_BUDGET:
        return each.item.agent, each.command
    return each.item.id, each.why


def _start_of(kind: str) -> str:
    return f"{kind}:0::"


def _command(why: str, item: Item, dependency: str) -> str:
    """Return the command that helps; of several questions it names the oldest."""
    named = item.id
    if "answer" in COMMANDS[why] and len(item.questions) > 1:
        named += f" --question {item.questions[0].number}"
    return COMMANDS[why].format(item=named, dependency=dependency)
