"""The page of an item, which the script opens as a drawer over another page."""

import os
from collections.abc import Iterator, Mapping
from typing import cast

from starlette.responses import RedirectResponse, Response
from taskorch.cli.check_lines import check_words, result_words
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, State
from taskorch.domain.timeline import Dependent, ItemTimeline
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_orchestrator.backup import archive_index

from taskorch_gateway.board import assignee, item_log
from taskorch_gateway.board.assignee import owner_of, owner_of_item
from taskorch_gateway.board.forms import ActionQuestion
from taskorch_gateway.board.item_ids import whole_ids
from taskorch_gateway.board.item_log import ShownLog
from taskorch_gateway.board.item_timeline import (
    AttemptSteps,
    ShownText,
    attempts,
    shown_text,
)
from taskorch_gateway.board.visit import BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

#: How many more pages of a timeline "older" reads, and the most that it may add up to.
PAGES_MORE = 3
MOST_OLDER, DIGITS = 20, 2
HELD = (State.IN_PROGRESS, State.BLOCKED)
OVER = (State.COMPLETED, State.FAILED, State.CANCELLED)
#: States of an item whose summary says what was delivered.
DELIVERED = (State.REVIEW, State.COMPLETED)
#: State -> the kind of the report that says why the item is in it.
REASONS: Mapping[State, str] = {
    State.FAILED: "fail",
    State.DELAYED: "fail",
    State.CANCELLED: "cancel",
}


class ShownCheck(Frozen):
    """An acceptance check, and its result once the item was completed."""

    check: str
    #: "" before.
    result: str
    #: The end of what a command has printed.
    output: str


class ItemView(Frozen):
    """All that the page of an item shows. Times, and no ages."""

    item: Item
    project: Project
    dependencies: tuple[Item, ...]
    dependencies_left_out: int
    dependents: tuple[Dependent, ...]
    dependents_left_out: int
    #: The newest first.
    attempts: tuple[AttemptSteps, ...]
    has_older: bool
    is_trimmed: bool
    #: What stands above everything else: its summary, or why it is in its state.
    headline: ShownText | None
    description: ShownText
    checks: tuple[ShownCheck, ...]
    #: None for an item without a claim, or a reader who may not see it.
    log: ShownLog | None

    @property
    def passed(self) -> int:
        """The number of acceptance checks that have passed."""
        return sum(bool(each.result) for each in self.checks)

    @property
    def waiting(self) -> int:
        """The number of items that wait for it."""
        return len(self.dependents) + self.dependents_left_out

    @property
    def seen(self) -> str:
        """What must not have changed when an action is performed."""
        item = self.item
        return seen_of(item.state, item.generation, item.agent, item.pool)

    @property
    def touched_by(self) -> str:
        """The ids whose events may change the page."""
        ids = [self.item.id]
        ids += [each.id for each in self.dependencies]
        ids += [each.id for each in self.dependents]
        return " ".join(ids)


class ReadItem(ToolArguments):
    """Read an item with its timeline, and what this machine has of it."""

    name = "board_item"
    read_only = True
    #: Its id, whole or short.
    item: str
    #: How often "older" was chosen.
    older: int = 0
    #: Whether the files of this machine may be read: its log, and the archive.
    reads_files: bool = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the item over one connection. Raises errors.NoItem."""
        pages = 1 + PAGES_MORE * self.older
        try:
            (item,) = whole_ids(call, (self.item,))
            read = queue_of(call).views.timeline(item, most_pages=pages)
        except errors.NoItem as error:
            raise self._naming_archive(call, error) from None
        log = None
        if self.reads_files:
            log = item_log.read(call.settings, read.item)
        return ToolResult(_view(read, log))

    def _naming_archive(
        self, call: ToolCall, error: errors.NoItem
    ) -> errors.NoItem:
        """Return an error that names the file of the archive that has the item."""
        home = call.settings.folder
        file = None
        if self.reads_files:
            file = archive_index.find(home, str(error.details["item"]))
        if file is None:
            return error
        shown = os.path.relpath(file, call.settings.root_path)
        return errors.NoItem(**error.details, archive=shown)


class ReadState(ToolArguments):
    """Read an item without its timeline."""

    name = "board_item_state"
    read_only = True
    item: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the item. Raises errors.NoItem."""
        return ToolResult(queue_of(call).waits().standing(self.item).item)


def seen_of(state: str, generation: int, agent: str, pool: str = "") -> str:
    """Return what an action has to find unchanged since its form was opened.

    A form of an action on an item has it in the field `seen`; a form with actions on
    several items has it in its buttons.
    """
    return f"{state}:{generation}:{owner_of(state, agent, pool).typed}"


async def read(visit: Visit) -> ItemView:
    """Return the item that a path names. Raises errors.NoItem."""
    view = await visit.ask(
        ReadItem(
            item=visit.word("id"),
            older=_older(visit),
            reads_files=item_log.may_read(visit.access),
        )
    )
    return cast("ItemView", view)


async def show(visit: Visit) -> Response:
    """Return the page of an item; for the script, only its drawer."""
    view = await read(visit)
    if visit.word("id") != view.item.id:
        return RedirectResponse(f"/items/{view.item.id}", 303)
    template = "item/drawer.html" if visit.is_script else "item/page.html"
    return visit.page(
        template,
        view=view,
        item=view.item,
        commands=commands_of(view),
        asks=questions_of(view),
        older=_older(visit) + 1,
        path=visit.path,
    )


def commands_of(view: ItemView) -> tuple[str, ...]:
    """Return the command lines that do what the page can do."""
    item = view.item
    lines = [
        f"orchestrate answer {item.id} --question {each.number} 'TEXT'"
        for each in item.questions
    ]
    if item.state is State.REVIEW:
        lines.append(f"orchestrate accept {item.id}")
        lines.append(f"orchestrate send-back {item.id} 'TEXT'")
    elif item.state in OVER:
        reopen = " --reopen" if view.project.status == "completed" else ""
        lines.append(f"orchestrate requeue {item.id}{reopen}")
    else:
        force = " --force" if item.state in HELD else ""
        lines.append(f"orchestrate assign {item.id} AGENT{force}")
        lines.append(f"orchestrate assign {item.id} --pool POOL{force}")
    if item.state not in (State.COMPLETED, State.CANCELLED):
        lines.append(f"orchestrate comment {item.id} 'TEXT'")
        lines.append(f"orchestrate cancel {item.id}")
    return (*lines, f"orchestrate show {item.id}")


def questions_of(view: ItemView) -> Mapping[str, ActionQuestion | None]:
    """Return what the board asks before an action, by the action; None for nothing."""
    item = view.item
    return {
        "assign": assign_question(item),
        "cancel": cancel_question(item, view.waiting),
        "comment": comment_question(item),
        "requeue": requeue_question(item, view.project),
    }


def assign_question(item: Item) -> ActionQuestion:
    """Return what the board asks before an item moves to another agent."""
    owner = owner_of_item(item)
    why = "The new agent gets the item with all reports on it."
    if item.state in HELD:
        why = (
            f"{item.agent} holds it, and loses its lease. The new agent starts with "
            "all reports on it."
        )
    elif owner.typed:
        why = f"It leaves the queue of {owner.words}."
    return ActionQuestion(
        title=f"Reassign {item.title}?",
        why=why,
        yes="Reassign",
        label=assignee.LABEL,
        field="agent",
    )


def send_back_question(item: Item) -> ActionQuestion:
    """Return what the board asks before an item goes back to its agent."""
    return ActionQuestion(
        title=f"Send {item.title} back?",
        why=f"{item.agent} gets it again, with your text on top of its package. No "
        "attempt is spent.",
        yes="Send back",
        label="What has to change?",
    )


def cancel_question(item: Item, waiting: int) -> ActionQuestion:
    """Return what the board asks before an item is cancelled."""
    why = []
    if item.state in HELD:
        why.append(f"{item.agent} holds it, and is told at its next step.")
    if waiting:
        items = "1 item waits" if waiting == 1 else f"{waiting} items wait"
        why.append(
            f"{items} for it, and cannot start unless it is requeued and completed."
        )
    if item.questions:
        why.append("Its open questions are closed without an answer.")
    return ActionQuestion(
        title=f"Cancel {item.title}?",
        why=" ".join(why) or "It can be requeued later.",
        yes="Cancel the item",
        is_dangerous=True,
        label="Reason, if you like",
        field="reason",
    )


def comment_question(item: Item) -> ActionQuestion:
    """Return what the board asks for a comment."""
    who = (
        f"{item.agent} gets it" if item.state in HELD else "The holder gets it"
    )
    why = f"{who} with its next step."
    if item.state not in HELD:
        why = "Its next holder gets it."
    return ActionQuestion(
        title=f"Comment on {item.title}",
        why=why,
        yes="Comment",
        label="Comment",
        field="comment",
    )


def requeue_question(item: Item, project: Project) -> ActionQuestion | None:
    """Return what the board asks before an item starts again; None for no question."""
    if project.status == "completed":
        return ActionQuestion(
            title=f"Requeue {item.title}?",
            why=f"Its project, {project.title}, is completed. It becomes active again.",
            yes="Reopen and requeue",
        )
    if item.state is State.COMPLETED:
        return ActionQuestion(
            title=f"Requeue {item.title}?",
            why="It is completed. Its deliverables are dropped, and the items that "
            "depend on it wait for it again.",
            yes="Requeue",
        )
    return None


def _older(visit: Visit) -> int:
    """Return how often "older" was chosen."""
    older = visit.query("older")
    is_number = older.isascii() and older.isdigit() and len(older) <= DIGITS
    return min(int(older), MOST_OLDER) if is_number else 0


def _view(read: ItemTimeline, log: ShownLog | None) -> ItemView:
    item = read.item
    headline = _headline(read)
    return ItemView(
        item=item,
        project=read.project_context,
        dependencies=read.dependencies,
        dependencies_left_out=read.dependencies_left_out,
        dependents=read.dependents,
        dependents_left_out=read.dependents_left_out,
        attempts=attempts(read.timeline),
        has_older=read.has_older,
        is_trimmed=read.trimmed,
        headline=shown_text(headline) if headline else None,
        description=shown_text(item.description),
        checks=tuple(_checks(item)),
        log=log,
    )


def _checks(item: Item) -> Iterator[ShownCheck]:
    results = {each.check: each for each in item.evidence if each.passed}
    for check in item.checks:
        result = results.get(check)
        yield ShownCheck(
            check=check_words(check),
            result=result_words(result) if result else "",
            output=result.output if result else "",
        )


def _headline(read: ItemTimeline) -> str:
    """Return what was delivered, or the newest reason for the state, or ""."""
    item = read.item
    if item.summary and item.state in DELIVERED:
        return item.summary
    kind = REASONS.get(item.state, "")
    for entry in reversed(read.timeline):
        if entry.report.kind == kind and entry.report.text:
            return entry.report.text
    return item.returned.text if item.returned else item.summary


PAGES = (BoardPage(path="/items/{id}", show=show, entry="items"),)
