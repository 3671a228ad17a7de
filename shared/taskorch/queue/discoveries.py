"""Reads of the discoveries of one or more projects, and the cursors between them.

Entry ids are unique within a project only. So the cursor of a discovery among several
projects has its project, too: 1700000000000-0:proj_1a2b3c4d
"""

from collections.abc import Sequence
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
#: Discoveries that one call returns, so that it blocks Redis for some ms at most.
PAGE = 40


def in_order(
    scripts: Scripts, target: str, since: str, limit: int
) -> DiscoveryPage:
    """Return discoveries after a cursor, or the newest ones if it is "".

    `target` is a project, an item for its project, ALL or OWN.
    """
    _check(target)
    left = _limit(limit)
    cursor = limits.discovery_cursor(since) if since else ""
    direction = "after" if since else "before"
    pages: list[DiscoveryPage] = []
    is_done = False
    while not is_done:
        asked = min(left, PAGE)
        id_, _, project = cursor.partition(":")
        view = scripts.run_script(
            "discoveries", target, direction, id_, project, asked
        )
        page = _page(scripts, view, target, since=cursor)
        pages.append(page)
        rows = _rows(view)
        # a page of damaged entries only does not count
        left -= len(rows) if page.discoveries else 0
        # a call that has 1 MB returns fewer, and is the last one
        is_short = len(rows) < asked and bool(page.discoveries)
        is_done = not page.more or left < 1 or is_short
        if rows:
            cursor = _cursor_of_row(rows[-1 if since else 0], target)
    return _joined(pages, backwards=not since)


def new(scripts: Scripts, role: str, target: str, limit: int) -> DiscoveryPage:
    """Return discoveries that the caller has not read yet, and mark them as read.

    It is one call, and so at most PAGE: a reader that reads on would lose the first page
    if it is killed before it has the last.
    """
    _check(target)
    asked = min(_limit(limit), PAGE)
    view = scripts.run_script("new_discoveries", role, target, asked)
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
    cursor = _cursor_of_row(rows[-1], target) if rows else since
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


def _joined(
    pages: Sequence[DiscoveryPage], *, backwards: bool
) -> DiscoveryPage:
    """Return pages as one; those that were read backwards begin with the newest."""
    in_order = tuple(reversed(pages)) if backwards else pages
    return replace(
        pages[0],
        discoveries=tuple(
            found for page in in_order for found in page.discoveries
        ),
        more=pages[-1].more,
        cursor=in_order[-1].cursor,
    )


def _rows(view: Reply) -> list[Reply]:
    return cast("tuple[list[Reply]]", view)[0]


def _cursor_of_row(row: Reply, target: str) -> str:
    project, entry = cast("tuple[str, list[str]]", row)
    return cursor_of(entry[0], project, target)


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
