"""The output of `orchestrate` for people: tables, with bars on a terminal."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from taskorch.cli import quoting
from taskorch.cli.amounts import used
from taskorch.cli.check_lines import check_lines
from taskorch.cli.quoting import (
    INDENT,
    NOTICE,
    asking,
    cut,
    in_review,
    open_questions,
    question,
    report,
)
from taskorch.cli.text import (
    block,
    cell,
    closed_questions,
    counted,
    labelled,
    line,
    one_line,
    pairs,
    timestamp,
)
from taskorch.domain.item import (
    CompletedProject,
    Discovery,
    Item,
    Package,
    Project,
    ProjectProgress,
    Report,
    State,
)
from taskorch.domain.timeline import ItemTimeline
from taskorch.queue.stuck import StuckItem

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render import timeline
from taskorch_orchestrator.render.briefing import new_discoveries
from taskorch_orchestrator.render.console import Column

if TYPE_CHECKING:
    from taskorch_orchestrator.purge import Purged

#: Characters of the bar of a project, and of an item.
BAR_WIDTH, ITEM_BAR_WIDTH = 20, 10
#: Below this width, a bar would leave too little room for the text.
BARS_FROM_WIDTH = 110
#: Bytes of a reason that a table shows.
REASON_BYTES = 120
#: The beginning of a reason that repeats the why of its row.
OVER_BUDGET = "over budget: "
#: Indent of a text in the second level of a list.
NESTED = "      "


def project_progress(progress: ProjectProgress) -> str:
    """Return a project's bar, and a row for each of its items."""
    project = progress.project
    draws_bars = _draws_bars()
    head = Text(
        f"{line(project.title)} ({project.id}): {project.status}, {project.done}"
    )
    if draws_bars and project.completed:
        head.append("  ").append_text(
            screen.bar(project.completed, project.wanted, BAR_WIDTH)
        )
    table = screen.Table(
        Column(header="ITEM"),
        Column(header="STATE", leaves=4),
        Column(header="DONE", leaves=2),
        Column(header="AGENT", leaves=3, least=10, ample=20),
        Column(header="TITLE", least=20, ample=32),
        Column(header="LAST REPORT", leaves=1, least=16),
    )
    bar_width = ITEM_BAR_WIDTH if draws_bars else 0
    for item in progress.items:
        table.add_row(
            item.id,
            screen.state(item.state),
            screen.share(item.percent, bar_width),
            screen.owner(item.agent, item.pool),
            cell(item.title),
            _last_report(progress.last_reports.get(item.id)),
        )
    parts: list[screen.Part] = [head, table]
    more = sum(project.counts.values()) - len(progress.items)
    if more > 0:
        parts.append(Text(f"… and {more} more: orchestrate list {project.id}"))
    questions = [row for item in progress.items for row in asking(item)]
    parts += map(Text, labelled("Open questions", questions))
    if new := new_discoveries(progress.new_discoveries, project.id):
        parts.append(Text(new))
    if progress.dropped_discoveries:
        number = counted(
            progress.dropped_discoveries, "discovery", "discoveries"
        )
        parts.append(Text(f"dropped, the oldest: {number}; 32 MiB are kept"))
    if progress.last_reports:
        parts.append(Text(NOTICE))
    return screen.printed(*parts)


def item_progress(package: Package) -> str:
    """Return an item's state and its reports."""
    parts: list[screen.Part] = [items_table([package.item])]
    questions = map(question, package.item.questions)
    parts += map(Text, labelled("Open questions", questions))
    if package.history:
        parts += [*_history(package.history), Text(NOTICE)]
    return screen.printed(*parts)


def item(shown: ItemTimeline) -> str:
    """Return everything an item carries, and what happened to it."""
    item = shown.item
    facts = {
        "Title": line(item.title),
        "Project": f"{line(shown.project_context.title)} ({item.project})",
        "State": f"{item.state}, {item.percent}%",
        "Agent": _agent(item),
        "Holder": _holder(item),
        "Attempts": f"{item.attempts} of {item.max_attempts}",
        "Priority": str(item.priority),
        "Labels": ", ".join(item.labels),
        "Reviewed by": item.reviewer,
        "Not before": _timestamp(item.not_before_at),
        "Created": timestamp(item.created_at),
        "Started": _timestamp(item.started_at),
        "Completed": _timestamp(item.completed_at),
        "Used": used(item.usage) if item.usage else "",
        "Description": block(item.description, INDENT),
        "Summary": block(item.summary, INDENT),
    }
    lists: dict[str, Iterable[str]] = {
        "Requirements": item.requirements,
        "Acceptance criteria": item.criteria,
        "Acceptance checks": check_lines(item),
        "Expected deliverables": item.deliverables_expected,
        "Context": pairs(item.context),
        "Resources": item.resources,
        "Depends on": _dependencies(shown),
        "Deliverables": pairs(item.deliverables),
    }
    lines = [f"=== Work Item: {item.id} ==="]
    lines += [f"{label}: {value}" for label, value in facts.items() if value]
    for label, values in lists.items():
        rows = [f"  - {block(value, INDENT)}" for value in values]
        if rows:
            lines += [f"{label}:", *rows]
    lines += labelled("Open questions", map(question, item.questions))
    return screen.printed(
        *map(Text, lines), *timeline.rows(shown.timeline), Text(NOTICE)
    )


def _timestamp(at: int) -> str:
    return timestamp(at) if at else ""


def _agent(item: Item) -> str:
    if not (item.agent or item.pool):
        return "none yet"
    assigned = (
        f"assigned by {item.assigned_by} at {timestamp(item.assigned_at)}"
    )
    if not item.pool:
        return f"{item.agent}, {assigned}"
    return f"{item.agent or 'none yet'}, from the pool {item.pool}, {assigned}"


def _holder(item: Item) -> str:
    holder = item.holder
    if holder is None:
        return ""
    session = f" session {line(holder.session)}" if holder.session else ""
    since = f" since {timestamp(holder.since)}"
    until = (
        f", until {timestamp(item.lease_expires_at)}"
        if item.lease_expires_at
        else ""
    )
    return f"{line(holder.host)} pid {holder.pid}{session}{since}{until}"


def _dependencies(shown: ItemTimeline) -> Iterator[str]:
    for needed in shown.dependencies:
        yield f"{needed.id} ({needed.state}) {line(needed.title)}"
    more = shown.dependencies_left_out
    if more:
        command = f"orchestrate --json show {shown.item.id}"
        yield f"… and {more} more: {command} lists their ids"


def handoff(shown: Mapping[str, object]) -> str:
    """Return a handoff package as the JSON of its file."""
    return json.dumps(shown, indent=2)


def closed_project(closed: CompletedProject) -> str:
    """Return the summary and the deliverables of each item of a completed project."""
    project = closed.project
    lines = [f"Project completed: {line(project.title)} ({project.id})"]
    if project.cancelled:
        lines.append(f"  {project.done}")
    if closed.closed_questions:
        lines.append(f"  {closed_questions(closed.closed_questions)}")
    for item in closed.items:
        state = f"{item.state}, {item.agent or 'no agent'}"
        summary = block(item.summary, INDENT) or "-"
        lines.append(f"  - {item.id} {line(item.title)} ({state}): {summary}")
        deliverables = pairs(item.deliverables)
        lines += [f"      - {block(pair, NESTED)}" for pair in deliverables]
    return screen.printed(*map(Text, lines), Text(NOTICE))


def discoveries(
    found: Iterable[Discovery], *, with_project: bool = False
) -> str:
    """Return discoveries with the item, the agent and the impact of each."""
    return _noted(discovery(each, with_project=with_project) for each in found)


def discovery(found: Discovery, *, with_project: bool = False) -> str:
    """Return a discovery, without the notice."""
    place = f" ({line(found.project)})" if with_project else ""
    return quoting.discovery(found, place=place)


def items(listed: Iterable[Item]) -> str:
    """Return items as a table."""
    return screen.printed(items_table(listed))


def items_table(listed: Iterable[Item]) -> screen.Table:
    """Return items as a table, with their labels if there are any."""
    listed = list(listed)
    has_labels = any(item.labels for item in listed)
    labels_column = Column(header="LABELS", leaves=3, least=10)
    table = screen.Table(
        Column(header="ITEM"),
        Column(header="STATE", leaves=6),
        Column(header="DONE", leaves=4),
        Column(header="PRIORITY", leaves=1),
        Column(header="AGENT", leaves=5, least=10),
        Column(header="PROJECT", leaves=2),
        *([labels_column] if has_labels else []),
        Column(header="TITLE", least=20),
    )
    bar_width = ITEM_BAR_WIDTH if _draws_bars() else 0
    for item in listed:
        labels = [", ".join(item.labels) or "-"] if has_labels else []
        table.add_row(
            item.id,
            screen.state(item.state),
            screen.share(item.percent, bar_width),
            str(item.priority),
            screen.owner(item.agent, item.pool),
            item.project,
            *labels,
            cell(item.title),
        )
    return table


def inbox(waiting: Iterable[Item]) -> str:
    """Return what waits for a decision: questions, reviews and dead letters."""
    return _noted(map(_decision, waiting))


def _decision(item: Item) -> str:
    if item.questions:
        return open_questions(item)
    if item.state is State.REVIEW:
        return in_review(item)
    owner = screen.owner(item.agent, item.pool)
    row = f"{item.id} of {owner} has {item.state}: {one_line(item.title)}"
    if not item.failure:
        return row
    return f"{row}\n{INDENT}{cut(item.failure, REASON_BYTES)}"


def stuck(found: Sequence[StuckItem]) -> str:
    """Return stalled items as a table, with the reason and the command that helps."""
    quotes = any(each.reason for each in found)
    return screen.printed(
        stuck_table(found), *([Text(NOTICE)] if quotes else [])
    )


def stuck_table(found: Sequence[StuckItem]) -> screen.Table:
    """Return stalled items as a table, for the caller to print."""
    table = screen.Table(
        Column(header="ITEM"),
        Column(header="WHY", least=16),
        Column(header="SINCE", leaves=2),
        Column(header="AGENT", leaves=3, least=10),
        Column(header="LAST SEEN", leaves=1),
        Column(header="TITLE", leaves=4, least=12),
        Column(header="WHAT HELPS", is_below=True),
    )
    for each in found:
        words = one_line(each.reason).removeprefix(OVER_BUDGET)
        reason = f": {cut(words, REASON_BYTES)}" if words else ""
        table.add_row(
            each.item.id,
            f"{each.why}{reason}",
            screen.since(each.since),
            screen.owner(each.item.agent, each.item.pool),
            screen.since(each.agent_seen_at),
            cell(each.item.title),
            each.command,
        )
    return table


def projects(listed: Iterable[Project]) -> str:
    """Return projects as a table."""
    return screen.printed(projects_table(listed))


def projects_table(listed: Iterable[Project]) -> screen.Table:
    """Return projects as a table, for the caller to print."""
    table = screen.Table(
        Column(header="PROJECT"),
        Column(header="STATUS", leaves=2),
        Column(header="ITEMS", leaves=3),
        Column(header="CREATED", leaves=1),
        Column(header="TITLE", least=20),
    )
    for project in listed:
        table.add_row(
            project.id,
            project.status,
            project.share,
            screen.since(project.created_at),
            cell(project.title),
        )
    return table


def purged(done: "Purged") -> str:
    """Return the numbers of deleted projects, items and keys; "" for none."""
    if not done.projects:
        return ""
    projects = counted(len(done.projects), "project", "projects")
    items = counted(done.items, "item", "items")
    keys = counted(done.keys, "Redis key", "Redis keys")
    return f"Purged: {projects}, {items}, {keys}."


def _draws_bars() -> bool:
    """Return whether there is room, and colour, for bars."""
    console = screen.console()
    return (
        console.color_system is not None and console.width >= BARS_FROM_WIDTH
    )


def _last_report(last: Report | None) -> str:
    if last is None:
        return "-"
    words = quoting.kind(last)
    if not last.text:
        return words
    is_plain = last.kind in ("progress", "complete")
    return cell(last.text if is_plain else f"{words}: {last.text}")


def _history(reports: Sequence[Report]) -> list[Text]:
    if not reports:
        return []
    rows = [
        f"  {timestamp(each.at)}  {report(each, NESTED)}"
        for each in reports
        if each.kind != "assign"
    ]
    return [Text("History:"), *map(Text, rows)]


def _noted(lines: Iterable[str]) -> str:
    """Return lines with the notice about quoted text; "" if there are none."""
    shown = [Text(line) for line in lines]
    return screen.printed(*shown, Text(NOTICE)) if shown else ""
