"""The costs page: what was used, by agent, project, model or day, and the budgets."""

from collections.abc import Mapping
from typing import Literal, cast

from starlette.responses import Response
from taskorch.domain import errors, limits, usage_rules
from taskorch.domain.amounts import MICROS, NAMESPACE, argument_of
from taskorch.domain.frozen import Frozen
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.budgets import (
    MOST_MICROS,
    PROJECT,
    Budget,
    Costs,
    kinds_of,
    usual_rows,
)

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.visit import Action, BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

PATH = "/costs"
#: Rows of costs and of budgets that are shown.
ROWS = 200
#: Period of a budget -> how the form and the table say it.
PERIODS: Mapping[str, str] = {"day": "a day (UTC)", "total": "in all"}


class CostsView(Frozen):
    """The content of the page of costs."""

    costs: Costs
    budgets: tuple[Budget, ...]
    #: Owner -> the title of a project.
    titles: Mapping[str, str]


class ReadCosts(ToolArguments):
    """Read the costs and the budgets of an owner. The result is a CostsView."""

    name = "board_costs"
    read_only = True
    #: A project, an agent, or "" for the namespace.
    owner: str
    #: One of budgets.KINDS.
    by: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Read them. Raises errors.NoProject and errors.NoAgent."""
        views = queue_of(call).views
        costs = views.costs(self.owner, by=self.by)
        budgets = views.budgets(self.owner)
        owners = [costs.owner, *(each.owner for each in budgets[:ROWS])]
        if self.by == PROJECT:
            owners += [f"project:{row.name}" for row in costs.rows[:ROWS]]
        used = views.usage([*dict.fromkeys(owners)])
        titles = {owner: each.title for owner, each in used.items()}
        return ToolResult(
            CostsView(costs=costs, budgets=budgets, titles=titles)
        )


async def show(visit: Visit) -> Response:
    """Show what was used by all, by a project or by an agent.

    A token that is confined to a project sees that of its project.
    """
    owner = visit.query("of") or visit.access.project
    if owner == NAMESPACE:
        owner = ""
    by = visit.query("by") or usual_rows(owner)
    read = ReadCosts(owner=owner, by=by)
    view = cast("CostsView", await visit.ask(read))
    return visit.page(
        "costs.html",
        view=view,
        costs=view.costs,
        owner=owner,
        kinds=kinds_of(view.costs.owner),
        periods=PERIODS,
        argument_of=argument_of,
        removing=removing_question,
        rows=ROWS,
    )


async def set_budget(visit: Visit, form: Form) -> ActionReceipt:
    """Limit what an owner may use."""
    owner, period = form.text("owner"), _period(form)
    limit, tokens = form.text("limit"), form.number("tokens")
    if not limit and tokens is None:
        raise errors.Usage(
            reason="Give a limit in dollars, in tokens, or both."
        )
    dollars = (
        usage_rules.micros(limit, MOST_MICROS) / MICROS if limit else None
    )
    verb = verbs.SetBudget(
        owner=owner, per=period, limit=dollars, tokens=tokens
    )
    await visit.ask(verb)
    return ActionReceipt(text=f"The budget of {owner} is set.")


async def remove_budget(
    visit: Visit, form: Form
) -> ActionReceipt | ActionQuestion:
    """Remove a budget, after a question."""
    owner, period = form.text("owner"), _period(form)
    if not form.is_confirmed:
        return removing_question(owner, period)
    verb = verbs.SetBudget(owner=owner, per=period, remove=True)
    await visit.ask(verb)
    return ActionReceipt(text=f"The budget of {owner} is removed.")


def removing_question(owner: str, period: str) -> ActionQuestion:
    """Return what is asked before a budget is removed."""
    return ActionQuestion(
        title=f"Remove the budget of {owner} {PERIODS[period]}?",
        why="It no longer stops claims.",
        yes="Remove the budget",
        is_dangerous=True,
    )


def _period(form: Form) -> Literal["day", "total"]:
    period = form.text("per")
    if period not in PERIODS:
        shown = limits.shortened(period)
        raise errors.Usage(reason=f"{shown!r} is not a period: day or total.")
    return cast('Literal["day", "total"]', period)


PAGES = (BoardPage(path=PATH, show=show, entry="costs"),)
ACTIONS = (
    Action(
        path=f"{PATH}/budget",
        act=set_budget,
        word="Set the budget",
        texts={
            "owner": "Project, agent or namespace",
            "limit": "Dollars",
            "tokens": "Tokens",
        },
    ),
    Action(
        path=f"{PATH}/budget/remove",
        act=remove_budget,
        word="Remove the budget",
    ),
)
