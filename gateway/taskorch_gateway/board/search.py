"""Searches of the board: the items that a filter means, page by page and in bounded calls."""

from collections.abc import Callable, Mapping, Sequence

from taskorch.domain import errors, limits, short_id
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Found, Item, Project, State
from taskorch.domain.short_id import ShortId
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.views import Views

from taskorch_gateway.board.filters import (
    MOST_PROJECTS,
    Filter,
    FilterValue,
    ParsedFilter,
)
from taskorch_gateway.client_queue import queue_of

#: Items and projects that one call of `list` visits.
VISITED_BY_CALL = 100
#: The newest projects, among which a title is looked for.
TITLES_SEARCHED = 400
PROJECT_ID = "proj_"


class FoundItems(Frozen):
    """A part of the items that a filter means."""

    items: tuple[Item, ...]
    #: The titles of their projects, by the id.
    project_titles: Mapping[str, str]
    #: The cursor to go on from; "" if everything was searched.
    cursor: str
    #: The number of items and projects that were looked at.
    visited: int
    #: The number of items in each state: of the projects that the filter names, of the one
    #: that the token is confined to, or of all.
    counts: Mapping[State, int]


class FindItems(ToolArguments):
    """Find the items of a filter. Its result is FoundItems."""

    name = "board_items"
    read_only = True
    wanted: ParsedFilter
    #: The project that the token is confined to; "" for none.
    confined: str
    cursor: str = ""
    #: Maximum number of items that it returns, and of calls that it makes.
    limit: int
    calls: int

    def perform(self, call: ToolCall) -> ToolResult:
        """Find them. Raises filters.WrongFilter for a project that there is not."""
        views = queue_of(call).views
        projects = _projects(views, self.wanted.projects)
        found = self._search(views, [project.id for project in projects])
        items = FoundItems(
            items=found.items,
            project_titles=found.project_titles,
            cursor=found.cursor,
            visited=found.visited,
            counts=self._counts(views, projects),
        )
        return ToolResult(items)

    def _search(self, views: Views, projects: Sequence[str]) -> Found:
        wanted = self.wanted.filter
        if projects:
            return _of_projects(views, wanted, projects, self)
        return views.search(
            wanted.items(),
            cursor=self.cursor,
            limit=self.limit,
            most_calls=self.calls,
        )

    def _counts(
        self, views: Views, projects: Sequence[Project]
    ) -> Mapping[State, int]:
        if not projects and not self.confined:
            return views.item_counts()
        if not projects:
            projects = [views.progress(self.confined, limit=1).project]
        return {
            state: sum(project.counts.get(state, 0) for project in projects)
            for state in State
        }


def _of_projects(
    views: Views, wanted: Filter, projects: Sequence[str], asked: FindItems
) -> Found:
    """Search one project after the other, from the one of the cursor on."""
    cursor = limits.list_cursor(asked.cursor)
    first = cursor.partition(":")[0]
    at = projects.index(first) if first in projects else 0
    if first not in projects:
        cursor = ""
    items: list[Item] = []
    titles: dict[str, str] = {}
    visited, most = 0, asked.calls * VISITED_BY_CALL
    while at < len(projects) and len(items) < asked.limit and visited < most:
        found = views.search(
            wanted.items(projects[at]),
            cursor=cursor,
            limit=asked.limit - len(items),
            most_calls=max(1, (most - visited) // VISITED_BY_CALL),
        )
        items += found.items
        titles.update(found.project_titles)
        # an empty project counts, too
        visited += max(1, found.visited)
        cursor = found.cursor
        if not cursor:
            at += 1
            cursor = f"{projects[at]}:0" if at < len(projects) else ""
    return Found(
        items=tuple(items),
        cursor=cursor,
        matching=len(items),
        visited=visited,
        project_titles=titles,
    )


def _projects(views: Views, named: Sequence[FilterValue]) -> Sequence[Project]:
    """Return the projects that a filter names. Raises WrongFilter."""
    found: dict[str, Project] = {}
    newest: Sequence[Project] = ()
    for value in named:
        if value.text.startswith(PROJECT_ID):
            project = _of_id(views, value)
            found[project.id] = project
        else:
            newest = newest or views.projects(limit=TITLES_SEARCHED)
            for project in _of_title(newest, value):
                found[project.id] = project
        if len(found) > MOST_PROJECTS:
            raise value.wrong(
                f"These are more than {MOST_PROJECTS} projects. Write more of the "
                "title, or an id."
            )
    return tuple(found.values())


def _of_id(views: Views, value: FilterValue) -> Project:
    parsed = short_id.parse(value.text, ("proj",))
    try:
        id_ = views.find(parsed) if isinstance(parsed, ShortId) else parsed
        return views.progress(id_, limit=1).project
    except errors.NotFound as error:
        raise value.wrong(str(error)) from None


def _of_title(
    newest: Sequence[Project], value: FilterValue
) -> Sequence[Project]:
    """Return the projects with a title, or else with a text in their titles."""
    wanted = value.text.casefold()

    def those(fit: Callable[[str], bool]) -> list[Project]:
        return [each for each in newest if fit(each.title.casefold())]

    found = those(lambda title: title == wanted) or those(
        lambda title: wanted in title
    )
    if not found:
        shown = limits.shortened(value.text)
        raise value.wrong(
            f"None of the newest {TITLES_SEARCHED} projects has {shown} in its title."
        )
    return found
