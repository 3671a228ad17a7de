"""The page of a project: its graph, its items and its discoveries; and its actions."""

from collections.abc import Mapping, Sequence
from typing import cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import (
    ClosedProject,
    CompletedProject,
    Discovery,
    Item,
    ItemFilter,
    Project,
    ReopenedProject,
    State,
)
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.stuck import StuckItem
from taskorch.queue.views import Views

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board import filters, project_graph
from taskorch_gateway.board.filters import Filter, ParsedFilter, WrongFilter
from taskorch_gateway.board.formats import counted, shortened
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.items import FilterMistake
from taskorch_gateway.board.project_graph import ProjectGraph
from taskorch_gateway.board.spending import Spending, spending_of
from taskorch_gateway.board.visit import Action, BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

#: Rows of the table of items.
ROWS = 100
#: The newest discoveries of the page.
DISCOVERIES = 30
#: Calls that look for items of a large project or of a filter, each at 100 items.
MOST_CALLS = 20
#: The longest title in a question.
TITLE_CHARACTERS = 80
#: Calls that look for stalled items, each at 45 of the namespace: first for those in
#: progress, whose leases end first.
STUCK_CALLS = 2


class ProjectView(Frozen):
    """What the page shows."""

    project: Project
    graph: ProjectGraph
    #: The rows of the table.
    items: tuple[Item, ...]
    #: The cursor of the next rows, "" for none.
    cursor: str
    #: Stalled items of the project, by id.
    stuck: Mapping[str, StuckItem]
    #: The newest first.
    discoveries: tuple[Discovery, ...]
    has_older_discoveries: bool
    #: The items of the graph, by id.
    known: Mapping[str, Item]
    #: The number of its oldest items that were looked at for the graph; 0 for all.
    looked_at: int
    #: What it has used, and its budgets.
    spending: Spending

    @property
    def needing(self) -> int:
        """The number of items that need a person."""
        counts = self.project.counts
        return sum(
            counts.get(state, 0)
            for state in (
                State.BLOCKED,
                State.REVIEW,
                State.FAILED,
                State.PENDING,
            )
        )


class ReadProject(ToolArguments):
    """Read what the page of a project shows. The result is a ProjectView."""

    name = "board_project"
    read_only = True
    project: str
    wanted: Filter
    cursor: str = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the parts over one connection."""
        views = queue_of(call).views
        project = _head(views, self.project)
        total = sum(project.counts.values())
        found, looked_at = _items_for_graph(views, project, total)
        items = sorted(found, key=lambda item: item.created_at)
        stuck_items = _stuck(views, project)
        rows, cursor = self._rows(views, items)
        page = views.discoveries(project.id, since="", limit=DISCOVERIES)
        return ToolResult(
            ProjectView(
                project=project,
                graph=project_graph.drawn(items, stuck_items, total),
                items=tuple(rows),
                cursor=cursor,
                stuck=stuck_items,
                discoveries=page.discoveries[::-1],
                has_older_discoveries=page.more,
                known={item.id: item for item in items},
                looked_at=looked_at,
                spending=_spending(views, project.id),
            )
        )

    def _rows(
        self, views: Views, items: Sequence[Item]
    ) -> tuple[Sequence[Item], str]:
        """Return the rows of the table, and the cursor of the next ones.

        Without a filter they are the items of the graph.
        """
        if self.wanted == Filter() and not self.cursor:
            return by_need(items), ""
        found = views.search(
            self.wanted.items(self.project),
            cursor=self.cursor,
            limit=ROWS,
            most_calls=MOST_CALLS,
        )
        return found.items, found.cursor


class ReadHead(ToolArguments):
    """Read a project without its items. The result is a Project."""

    name = "board_project_head"
    read_only = True
    project: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the project."""
        return ToolResult(_head(queue_of(call).views, self.project))


def by_need(items: Sequence[Item]) -> list[Item]:
    """Return items in the order in which a person needs them."""
    order = project_graph.ORDER
    return sorted(
        items, key=lambda item: (order.index(item.state), -item.changed_at)
    )


def _head(views: Views, project: str) -> Project:
    return views.progress(limits.project_id(project), limit=1).project


def _spending(views: Views, project: str) -> Spending:
    owner = f"project:{project}"
    used, budgets = views.usage([owner]), views.budgets(project)
    return spending_of(used, budgets).get(owner, Spending())


def _stuck(views: Views, project: Project) -> Mapping[str, StuckItem]:
    """Return the items in progress that are stalled, by id; and perhaps others."""
    if not project.counts.get(State.IN_PROGRESS, 0):
        return {}
    found = views.stuck(
        project=project.id,
        limit=project_graph.MOST_ITEMS,
        most_calls=STUCK_CALLS,
    )
    return {each.item.id: each for each in found.items}


def _items_for_graph(
    views: Views, project: Project, total: int
) -> tuple[list[Item], int]:
    """Return all items of a small project, and those of a large one that matter.

    Of a very large one, only the oldest items are looked at: the second value is their
    number, 0 for all.
    """
    most = project_graph.MOST_ITEMS
    if total <= most:
        return list(views.list(project=project.id, limit=most).items), 0
    found: list[Item] = []
    looked_at = 0
    groups = (project_graph.URGENT, project_graph.READY, project_graph.OVER)
    for states in groups:
        there = sum(project.counts.get(state, 0) for state in states)
        limit = min(there, most - len(found))
        if not limit:
            continue
        wanted = ItemFilter(project=project.id, states=states)
        page = views.search(wanted, limit=limit, most_calls=MOST_CALLS)
        found += page.items
        if page.cursor and len(page.items) < limit:
            looked_at = max(looked_at, page.visited)
    return found, looked_at


async def show(visit: Visit) -> Response:
    """Show a project; the query may have a filter for its items."""
    typed, wanted = visit.query("q"), Filter()
    mistake: FilterMistake | None = None
    try:
        wanted = _without_projects(filters.parse(typed))
    except WrongFilter as error:
        mistake = FilterMistake(
            before=typed[: error.at],
            wrong=typed[error.at : error.end] or " ",
            after=typed[error.end :],
            message=str(error),
        )
    read = ReadProject(
        project=visit.word("id"), wanted=wanted, cursor=visit.query("cursor")
    )
    view = cast("ProjectView", await visit.ask(read))
    return visit.page(
        "project.html",
        status=400 if mistake else 200,
        view=view,
        project=view.project,
        typed=typed,
        mistake=mistake,
        closing=closing_question(view.project),
        cancelling=cancelling_question(view.project),
        mark_of=project_graph.mark_of,
        waits_for=project_graph.waits_for,
    )


def _without_projects(parsed: ParsedFilter) -> Filter:
    for each in parsed.projects:
        raise each.wrong(
            "This list is that of one project. The page Items has all of them."
        )
    return parsed.filter


def closing_question(project: Project) -> ActionQuestion | None:
    """Return what is asked before a project is closed; None if no item is open."""
    if not project.open:
        return None
    open_items = counted(project.open, "open item")
    held = project.counts.get(State.IN_PROGRESS, 0) + project.counts.get(
        State.BLOCKED, 0
    )
    why = f"Its {open_items} will be cancelled."
    if held:
        agents = counted(held, "of them is", "of them are")
        why += f" {agents} held by an agent, which loses the lease."
    title = shortened(project.title, TITLE_CHARACTERS)
    return ActionQuestion(
        title=f"Close {title} with {open_items}?",
        why=f"{why} Completed items keep their results.",
        yes="Close the project",
        is_dangerous=True,
    )


def cancelling_question(project: Project) -> ActionQuestion:
    """Return what is asked before a project is cancelled."""
    open_items = counted(project.open, "open item")
    title = shortened(project.title, TITLE_CHARACTERS)
    return ActionQuestion(
        title=f"Cancel {title}?",
        why=f"Its {open_items} will be cancelled, and the project is closed. "
        "Agents that hold one lose the lease and read the reason.",
        yes="Cancel the project",
        is_dangerous=True,
        label="Reason",
        field="reason",
    )


async def close(visit: Visit, form: Form) -> ActionReceipt | ActionQuestion:
    """Close a project; if items are open, ask first."""
    project = visit.word("id")
    verb = verbs.CompleteProject(project=project, force=form.is_confirmed)
    try:
        done = cast("CompletedProject", await visit.ask(verb))
    except errors.OpenItems:
        question = closing_question(await _project(visit, project))
        if question is None:
            raise
        return question
    return ActionReceipt(
        text=f"{done.project.title} is closed: {done.project.done}."
    )


async def cancel(visit: Visit, form: Form) -> ActionReceipt | ActionQuestion:
    """Cancel the open items of a project, and close it."""
    project = visit.word("id")
    if not form.is_confirmed:
        return cancelling_question(await _project(visit, project))
    verb = verbs.Cancel(id=project, reason=form.text("reason"))
    done = cast("ClosedProject", await visit.ask(verb))
    cancelled = counted(done.cancelled, "item")
    return ActionReceipt(
        text=f"{done.project.title} is cancelled: {cancelled} cancelled."
    )


async def reopen(visit: Visit, form: Form) -> ActionReceipt:  # noqa: ARG001
    """Make a completed project active again."""
    verb = verbs.Reopen(project=visit.word("id"))
    done = cast("ReopenedProject", await visit.ask(verb))
    return ActionReceipt(
        text=f"{done.project.title} is open again. Its items keep their states."
    )


async def _project(visit: Visit, project: str) -> Project:
    return cast("Project", await visit.ask(ReadHead(project=project)))


PAGES = (BoardPage(path="/projects/{id}", show=show, entry="projects"),)
ACTIONS = (
    Action(path="/projects/{id}/complete", act=close, word="Close"),
    Action(
        path="/projects/{id}/cancel",
        act=cancel,
        word="Cancel the project",
        texts={"reason": "Reason"},
    ),
    Action(path="/projects/{id}/reopen", act=reopen, word="Reopen"),
)
