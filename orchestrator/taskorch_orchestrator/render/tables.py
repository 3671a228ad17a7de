"""What an orchestrator's commands print for people: tables and bars on a terminal, plain lines in a pipe."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text
from taskorch.cli.quoting import (
    INDENT,
    NOTICE,
    cut,
    open_question,
    question,
    report,
)
from taskorch.cli.text import block, cell, line, pairs, timestamp
from taskorch.domain import limits
from taskorch.domain.item import (
    Discovery,
    Item,
    Package,
    Project,
    ProjectProgress,
    Report,
)
from taskorch.domain.server_status import ServerStatus
from taskorch.queue.stuck import StuckItem

from taskorch_orchestrator.render import console as screen

if TYPE_CHECKING:
    from taskorch_orchestrator.purge import Purged

BAR_WIDTH = 20
#: Under the time of a report.
HISTORY_INDENT = "      "
#: Below this width a bar would take the room of the text.
BARS_FROM_WIDTH = 110
#: So many bytes of what an agent said stand in a table that is about another thing.
REASON = 120


def project_progress(progress: ProjectProgress) -> str:
    """Return a project's bar and the state of each of its items."""
    table = screen.table("ITEM", "STATE", "DONE", "AGENT", "TITLE", "LAST REPORT")
    for item in progress.items:
        last = _last(progress.last_reports.get(item.id))
        table.add_row(
            item.id,
            screen.state(item.state),
            screen.share(item.percent, BAR_WIDTH if _draws_bars() else 0),
            item.agent or "-",
            cell(item.title),
            last,
        )
    more = sum(progress.project.counts.values()) - len(progress.items)
    rest = (
        [Text(f"… and {more} more: orchestrate list {progress.project.id}")]
        if more > 0
        else []
    )
    note = [Text(NOTICE)] if progress.last_reports else []
    return screen.printed(
        _project_head(progress.project),
        *([table] if progress.items else []),
        *rest,
        *note,
    )


def item_progress(package: Package) -> str:
    """Return an item's state and its reports."""
    note = [Text(NOTICE)] if package.history else []
    return screen.printed(
        items_table([package.item]), *_history(package.history), *note
    )


def package(shown: Package) -> str:
    """Return all that an item carries, with its history."""
    item = shown.item
    facts = {
        "Title": line(item.title),
        "Project": f"{line(shown.project_context.title)} ({item.project})",
        "State": f"{item.state}, {item.percent}%",
        "Agent": _agent(item),
        "Holder": _holder(item),
        "Attempts": f"{item.attempts} of {item.max_attempts}",
        "Priority": str(item.priority),
        "Not before": timestamp(item.not_before_at) if item.not_before_at else "",
        "Created": timestamp(item.created_at),
        "Started": timestamp(item.started_at) if item.started_at else "",
        "Completed": timestamp(item.completed_at) if item.completed_at else "",
        "Description": block(item.description, INDENT),
        "Blocker": question(item.blocker, item.needs, INDENT),
        "Summary": block(item.summary, INDENT),
    }
    lists = {
        "Requirements": item.requirements,
        "Acceptance criteria": item.criteria,
        "Expected deliverables": item.deliverables_expected,
        "Context": pairs(item.context),
        "Resources": item.resources,
        "Depends on": [*_dependencies(shown)],
        "Deliverables": pairs(item.deliverables),
    }
    head = [Text(f"=== Work Item: {item.id} ===")]
    body = [Text(f"{label}: {value}") for label, value in facts.items() if value]
    return screen.printed(
        *head, *body, *_lists(lists), *_history(shown.history), Text(NOTICE)
    )


def _dependencies(shown: Package) -> Iterator[str]:
    yield from (
        f"{needed.id} ({needed.state}) {line(needed.title)}"
        for needed in shown.dependencies
    )
    left = len(shown.item.depends_on) - limits.DEPENDENCIES_SHOWN
    if left > 0:
        yield f"… and {left} more: orchestrate --json show {shown.item.id} has their ids"


def handoff(shown: Mapping[str, object]) -> str:
    """Return a handoff package as the JSON that its file holds."""
    return json.dumps(shown, indent=2)


def result(closed: ProjectProgress) -> str:
    """Return what a completed project has to show: each item's summary and deliverables."""
    project = closed.project
    lines: list[RenderableType] = [
        Text(f"Project completed: {line(project.title)} ({project.id})")
    ]
    for item in closed.items:
        summary = block(item.summary, INDENT) or "-"
        lines.append(
            Text(
                f"  - {item.id} {line(item.title)} ({item.state}, {item.agent or 'no agent'}): {summary}"
            )
        )
        lines += [
            Text(f"      - {block(pair, '      ')}")
            for pair in pairs(item.deliverables)
        ]
    return screen.printed(*lines, Text(NOTICE))


def discoveries(found: Iterable[Discovery]) -> str:
    """Return discoveries, oldest first: who found what on which item, and what it means."""
    lines = [discovery(each) for each in found]
    return screen.printed(*map(Text, lines), Text(NOTICE)) if lines else ""


def discovery(found: Discovery) -> str:
    """Return a discovery, without the notice."""
    impact = f"\n{INDENT}Impact: {block(found.impact, INDENT)}" if found.impact else ""
    return f"[{found.agent}] {found.item}: {block(found.text, INDENT)}{impact}"


def items(listed: Iterable[Item]) -> str:
    """Return items as a table."""
    return screen.printed(items_table(listed))


def items_table(listed: Iterable[Item]) -> Table:
    """Return items as a table, for others to print."""
    table = screen.table(
        "ITEM", "STATE", "DONE", "PRIORITY", "AGENT", "PROJECT", "TITLE"
    )
    for item in listed:
        done, agent = (
            screen.share(item.percent, BAR_WIDTH if _draws_bars() else 0),
            item.agent or "-",
        )
        table.add_row(
            item.id,
            screen.state(item.state),
            done,
            str(item.priority),
            agent,
            item.project,
            cell(item.title),
        )
    return table


def inbox(blocked: Iterable[Item]) -> str:
    """Return blockers that wait for an answer."""
    lines = [open_question(item) for item in blocked]
    return screen.printed(*map(Text, lines), Text(NOTICE)) if lines else ""


def stuck(found: Sequence[StuckItem]) -> str:
    """Return what is stuck as a table: why, since when, and the command that helps."""
    table = screen.table(
        "ITEM", "WHY", "SINCE", "AGENT", "LAST SEEN", "TITLE", "WHAT HELPS"
    )
    for each in found:
        since, seen = timestamp(each.since), timestamp(each.agent_seen_at)
        why = (
            f"{each.why}: {cut(cell(each.reason), REASON)}" if each.reason else each.why
        )
        table.add_row(
            each.item.id,
            why,
            since,
            each.item.agent,
            seen,
            cell(each.item.title),
            each.command,
        )
    note = [Text(NOTICE)] if any(each.reason for each in found) else []
    return screen.printed(table, *note)


def projects(listed: Iterable[Project]) -> str:
    """Return projects as a table."""
    table = screen.table("PROJECT", "STATUS", "ITEMS", "CREATED", "TITLE")
    for project in listed:
        done = f"{project.completed}/{project.wanted}"
        table.add_row(
            project.id,
            project.status,
            done,
            timestamp(project.created_at),
            cell(project.title),
        )
    return screen.printed(table)


def server(shown: ServerStatus) -> str:
    """Return whether the bundled server runs, and where."""
    if not shown.running:
        return f"not running ({shown.url})"
    service = f", service pid {shown.service_pid}" if shown.service_pid else ""
    missing = (
        "\nno service: orchestrate server start"
        if shown.service_wanted and not shown.service_pid
        else ""
    )
    elsewhere = "\nin another container or on another machine: the pids are those of processes there"
    gone = "\nits socket is gone: the next command starts it again, orchestrate server stop ends it"
    notes = elsewhere * shown.elsewhere + gone * (not shown.reachable)
    return f"running, pid {shown.pid}, {shown.url}{service}{missing}{notes}"


def _project_head(project: Project) -> RenderableType:
    title = Text(f"{line(project.title)} ({project.id}): {project.status}, ")
    title.append(f"{project.completed} of {project.wanted} items completed")
    if not _draws_bars():
        return title
    head = Table.grid(padding=(0, 2))
    head.add_row(title, screen.bar(project.completed, project.wanted))
    return head


def purged(done: "Purged") -> str:
    """Return what a purge removed; "" for nothing."""
    told = f"Purged: {len(done.projects)} projects, {done.items} items, {done.keys} keys of Redis."
    return told if done.projects else ""


def _draws_bars() -> bool:
    console = screen.console()
    return console.color_system is not None and console.width >= BARS_FROM_WIDTH


def _last(report: Report | None) -> str:
    if report is None:
        return "-"
    kind = "" if report.kind in ("progress", "complete") else f"{report.kind}: "
    return cell(f"{kind}{report.text}") if report.text else report.kind


def _agent(item: Item) -> str:
    return (
        f"{item.agent}, assigned by {item.assigned_by} at {timestamp(item.assigned_at)}"
        if item.agent
        else "nobody yet"
    )


def _holder(item: Item) -> str:
    if item.holder is None:
        return ""
    session = f" session {line(item.holder.session)}" if item.holder.session else ""
    until = (
        f", until {timestamp(item.lease_expires_at)}" if item.lease_expires_at else ""
    )
    return f"{line(item.holder.host)} pid {item.holder.pid}{session} since {timestamp(item.holder.since)}{until}"


def _lists(lists: Mapping[str, Iterable[str]]) -> Iterable[Text]:
    for label, values in lists.items():
        rows = [Text(f"  - {block(value, INDENT)}") for value in values]
        yield from [Text(f"{label}:"), *rows] if rows else []


def _history(reports: Iterable[Report]) -> Iterable[Text]:
    rows = [Text(f"  {timestamp(r.at)}  {report(r, HISTORY_INDENT)}") for r in reports]
    return [Text("History:"), *rows] if rows else []
