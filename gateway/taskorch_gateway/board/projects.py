"""The page that lists projects: open, completed or all of them, the newest first."""

from typing import cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain.item import ProjectPage
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

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


class ReadProjects(ToolArguments):
    """Read a page of the projects. The result is a ProjectPage."""

    name = "board_projects"
    read_only = True
    which: str
    skip: int = 0

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the page."""
        page = queue_of(call).views.projects_page(
            self.which, skip=self.skip, limit=ROWS
        )
        return ToolResult(page)


async def show(visit: Visit) -> Response:
    """Show a page of projects."""
    kind = visit.query("show")
    if kind not in KINDS:
        shown = limits.shortened(kind)
        raise errors.Usage(reason=f"There are no {shown} projects.")
    which, title = KINDS[kind]
    page: object = ProjectPage(projects=(), skip=None)
    if kind != ARCHIVED:
        skip = _skip(visit.query("skip"))
        page = await visit.ask(ReadProjects(which=which, skip=skip))
    return visit.page(
        "projects.html",
        kind=kind,
        kinds=KINDS,
        title=title,
        is_first=not visit.query("skip"),
        found=cast("ProjectPage", page),
        ticks=ticks,
    )


def _skip(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= SKIP_DIGITS):
        raise errors.Usage(reason="skip is not a number of projects.")
    return int(text)


PAGES = (BoardPage(path="/projects", show=show, entry="projects"),)
