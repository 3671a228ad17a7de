"""What `orchestrate apply` prints for people."""

from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.cli.text import cell
from taskorch.queue.plan import AppliedPlan, CreatedItem

from taskorch_orchestrator.render import console

#: More rows push what matters off the screen.
MOST_ROWS = 100


def applied(done: AppliedPlan) -> str:
    """Return the project's id, and on a terminal what became of each item; "" for a project that is yet to be."""
    if not on_terminal():
        return done.project
    head = f"Project ID: {done.project or 'a new one'}" + (
        "" if done.created else " (there already)"
    )
    table = console.table("NAME", "ITEM", "AGENT", "STATE", "")
    for item in done.items[:MOST_ROWS]:
        state = console.state(item.state) if item.state else "-"
        table.add_row(
            cell(item.name), item.id or "-", item.agent or "-", state, _remark(item)
        )
    left = len(done.items) - MOST_ROWS
    rest = [
        Text(
            f"… and {left} more"
            + (f": orchestrate list {done.project}" if done.project else "")
        )
    ]
    return console.printed(Text(head), table, *(rest if left > 0 else []))


def _remark(item: CreatedItem) -> str:
    if not item.created:
        return "there already"
    return "created" if item.id else "new"
