"""Reads of the discoveries of one or more projects, and the cursors between them.

Entry ids are unique within a project only. So the cursor of a discovery among several
projects has its project, too: 1700000000000-0:proj_1a2b3c4d
"""

from typing import cast

from taskorch.domain import limits
from taskorch.domain.frozen import replace
from taskorch.domain.item import DiscoveryPage
from taskorch.queue import fields as read
from taskorch.queue import replies
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: What a script reads, besides a project or an item.
ALL, OWN = "all", "own"
#: The roles of readers. An agent and an orchestrator of one name are two readers.
WORKER, ORCHESTRATOR = "worker", "orchestrator"
LIMIT = 1000
MOST = 5000


def in_order(
    scripts: Scripts, target: str, since: str, limit: int
) -> DiscoveryPage:
    """Return discoveries after a cursor, or the newest ones if it is "".

    `target` is a project, an item for its project, ALL or OWN.
    """
    _check(target)
    cursor = limits.discovery_cursor(since) if since else ""
    while True:
        id_, _, project = cursor.partition(":")
        view = scripts.run_script(
            "discoveries", target, id_, project, _limit(limit)
        )
        page = _page(scripts, view, target, since=cursor)
        if page.discoveries or not page.more or not since:
            return page
        # all entries of this page are damaged
        cursor = page.cursor


def new(scripts: Scripts, role: str, target: str, limit: int) -> DiscoveryPage:
    """Return the discoveries that the caller has not read yet, and mark them as read."""
    _check(target)
    view = scripts.run_script("new_discoveries", role, target, _limit(limit))
    *_, id_, project = cast("list[str]", view)
    since = cursor_of(id_, project, target) if id_ else ""
    return _page(scripts, view, target, since=since)


def cursor_of(id_: str, project: str, target: str) -> str:
    """Return the cursor of a discovery: with its project, if there are others."""
    return f"{id_}:{project}" if target in (ALL, OWN) else id_


def _page(
    scripts: Scripts, view: Reply, target: str, *, since: str
) -> DiscoveryPage:
    rows, has_more, looked_at, project_count, own, *_ = cast(
        "tuple[list[Reply], str, int, int, list[str]]", view
    )
    cursor = since
    if rows:
        project, entry = cast("tuple[str, list[str]]", rows[-1])
        cursor = cursor_of(entry[0], project, target)
    found = read.readable(replies.discovery, rows, scripts.damage)
    return DiscoveryPage(
        discoveries=tuple(
            replace(each, cursor=cursor_of(each.cursor, each.project, target))
            for each in found
        ),
        more=bool(has_more),
        cursor=cursor,
        looked_at=looked_at,
        project_count=project_count,
        own_projects=tuple(own),
    )


def _check(target: str) -> None:
    """Check the id of a project or an item. Raises errors.NoProject or errors.NoItem."""
    if target in (ALL, OWN):
        return
    if target.startswith("item_"):
        limits.item_id(target)
    else:
        limits.project_id(target)


def _limit(limit: int) -> int:
    return limits.number(limit, "limit", 1, MOST)
