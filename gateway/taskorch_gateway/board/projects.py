"""The page that lists projects: open, completed or all of them, the newest first."""

from collections.abc import Mapping
from typing import cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import ProjectPage
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.board.spending import Spending, spending_of
from taskorch_gateway.board.ticks import ticks
from taskorch_gateway.board.visit import BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

#: Rows of a page.
ROWS = 50
#: The longest number of projects to skip.
SKIP_DIGITS = 9
#: The projects that the service has written to files, and removed from the queue.
ARCHIVED = "archived"
#: What the query says -> which projects those are, and how the page calls them.
KINDS = {
    "": ("open", "Open"),
    "completed": ("completed", "Completed"),
    "all": ("", "All"),
    ARCHIVED: ("", "Archived"),
}


class ListedProjects(Frozen):
    """A page of projects, and what they have used."""

    page: ProjectPage = ProjectPage(projects=(), skip=None)
    #: The id of a project that has used anything, or has a budget -> what it has used.
    spent: Mapping[str, Spending] = {}


class ReadProjects(ToolArguments):
    """Read a page of the projects. The result is ListedProjects."""

    name = "board_projects"
    read_only = True
    which: str
    skip: int = 0

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the page."""
        views = queue_of(call).views
        page = views.projects_page(self.which, skip=self.skip, limit=ROWS)
        owners = {f"project:{each.id}": each.id for each in page.projects}
        spent = spending_of(views.usage(list(owners)), views.budgets())
        shown = {
            id_: spending
            for owner, id_ in owners.items()
            if (spending := spent.get(owner)) and spending.is_shown
        }
        return ToolResult(ListedProjects(page=page, spent=shown))


async def show(visit: Visit) -> Response:
    """Show a page of projects."""
    kind = visit.query("show")
    if kind not in KINDS:
        shown = limits.shortened(kind)
        raise errors.Usage(reason=f"There are no {shown} projects.")
    which, title = KINDS[kind]
    listed: object = ListedProjects()
    if kind != ARCHIVED:
        skip = _skip(visit.query("skip"))
        listed = await visit.ask(ReadProjects(which=which, skip=skip))
    listed = cast("ListedProjects", listed)
    return visit.page(
        "projects.html",
        kind=kind,
        kinds=KINDS,
        title=title,
        is_first=not visit.query("skip"),
        found=listed.page,
        spent=listed.spent,
        ticks=ticks,
    )


def _skip(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= SKIP_DIGITS):
        raise errors.Usage(reason="skip is not a number of projects.")
    return int(text)


PAGES = (BoardPage(path="/projects", show=show, entry="projects"),)
