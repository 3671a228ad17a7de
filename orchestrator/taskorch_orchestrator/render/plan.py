"""The output of `apply` for people: the project, and on a terminal each item."""

from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.cli.text import cell
from taskorch.queue.plan import AppliedPlan, CreatedItem

from taskorch_orchestrator.render import console
from taskorch_orchestrator.render.console import Column

#: Items that are shown: more rows push what matters off the screen.
ITEMS_SHOWN = 100


def applied(plan: AppliedPlan) -> str:
    """Return the project's id, and on a terminal a row for each item.

    In a pipe, the result of a dry run that would create a project is "".
    """
    if not on_terminal():
        return plan.project
    remark = "" if plan.created else " (existing)"
    head = f"Project ID: {plan.project or 'a new one'}{remark}"
    table = console.Table(
        Column(header="NAME", least=12),
        Column(header="ITEM"),
        Column(header="AGENT", leaves=3, least=10),
        Column(header="STATE", leaves=2),
        Column(header="", leaves=1),
    )
    for item in plan.items[:ITEMS_SHOWN]:
        table.add_row(
            cell(item.name),
            item.id or "-",
            item.agent or "-",
            console.state(item.state) if item.state else "-",
            _remark(item),
        )
    parts: list[console.Part] = [Text(head), table]
    more = len(plan.items) - ITEMS_SHOWN
    if more > 0:
        command = f": orchestrate list {plan.project}" if plan.project else ""
        parts.append(Text(f"… and {more} more{command}"))
    return console.printed(*parts)


def _remark(item: CreatedItem) -> str:
    if item.changes:
        return "changed"
    if not item.created:
        return "existing"
    return "created" if item.id else "new"
