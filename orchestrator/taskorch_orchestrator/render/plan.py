"""The output of `apply` for people: the project, and on a terminal each item."""

import yaml
from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.cli.text import cell, lines
from taskorch.queue.plan import AppliedPlan, CreatedItem, Plan

from taskorch_orchestrator.render import console
from taskorch_orchestrator.render.console import Column


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
    for item in plan.items:
        table.add_row(
            cell(item.name),
            item.id or "-",
            console.owner(item.agent, item.pool),
            console.state(item.state) if item.state else "-",
            _remark(item),
        )
    return console.printed(Text(head), table)


def filled(plan: Plan) -> str:
    """Return the texts of a plan whose variables were filled, as YAML; else ""."""
    if plan.filled is None:
        return ""
    text = yaml.safe_dump(plan.filled, allow_unicode=True, sort_keys=False)
    return lines(text)


def _remark(item: CreatedItem) -> str:
    if item.changes:
        return "changed"
    if not item.created:
        return "existing"
    return "created" if item.id else "new"
