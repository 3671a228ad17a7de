"""Items that do not go on by themselves: why, since when, and what helps."""

from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import HOUR_MS, MINUTE_MS, Item
from taskorch.queue import replies
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Damage

UNSTARTED_MS = 30 * MINUTE_MS
SILENT_MS = HOUR_MS

#: Why an item is stuck, and the command that helps.
WAYS_OUT = {
    "expired": "orchestrate reap",
    "silent": "orchestrate assign {item} AGENT --force",
    "blocked": "orchestrate answer {item} TEXT",
    "dead_dependency": "orchestrate requeue {dependency}",
    "failed": "orchestrate requeue {item}",
    "unstarted": "orchestrate assign {item} AGENT",
}


class StuckItem(Frozen):
    """An item that is stuck."""

    _flat = "item"
    item: Item
    #: One of WAYS_OUT.
    why: str
    #: When its lease ran out, or its holder was last heard of; when it failed, was blocked or queued, or began to wait.
    since: int
    #: 0 when no session of its agent has called yet.
    agent_seen_at: int
    #: The failed or cancelled item that it waits for, or "".
    dependency: str
    #: What its agent said when it failed, or "".
    reason: str
    #: The command that helps.
    command: str


class Stuck(Frozen):
    """What is stuck, and how many items were looked at."""

    items: tuple[StuckItem, ...]
    looked_at: int
    #: Whether there was more to look at.
    more: bool


def stuck(view: Reply, damage: Damage) -> Stuck:
    """Read `{looked at, '1' or '', {{why, since, agent seen, dependency or '', reason or '', item view} …}}`."""
    looked_at, more, rows = cast("tuple[int, str, list[Reply]]", view)
    return Stuck(
        items=replies.sound(_item, rows, damage), looked_at=looked_at, more=bool(more)
    )


def _item(view: Reply) -> StuckItem:
    row = cast("list[Reply]", view)
    why, since, seen, dependency, reason = cast("list[str]", row[:5])
    item, dependency = replies.item(row[5]), replies.item_or_none(dependency)
    return StuckItem(
        item=item,
        why=why,
        since=int(since),
        agent_seen_at=int(float(seen)),
        dependency=dependency,
        reason=reason,
        command=WAYS_OUT[why].format(item=item.id, dependency=dependency),
    )
