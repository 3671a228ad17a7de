"""The output of `budget` and `costs` for people."""

from collections.abc import Sequence

from rich.text import Text
from taskorch.cli.text import cell, line
from taskorch.domain import amounts
from taskorch.domain.usage import ModelUsage
from taskorch.queue.budgets import AGENT, PROJECT, Budget, Costs

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.console import Column

NO_LIMIT = "-"
USED_UP = "used up"


def budgets(listed: Sequence[Budget]) -> str:
    """Return the budgets as a table; "" for none."""
    if not listed:
        return ""
    table = screen.Table(
        Column(header="OWNER"),
        Column(header="PER"),
        Column(header="COST"),
        Column(header="LIMIT"),
        Column(header="TOKENS", leaves=1),
        Column(header="LIMIT", leaves=2),
        Column(header="STATE"),
    )
    for budget in listed:
        used = budget.used
        table.add_row(
            amounts.owner_in_words(budget.owner),
            budget.period,
            amounts.dollars(used.cost_micros),
            _limit(budget.limit_micros),
            f"{used.tokens_in + used.tokens_out:,}",
            NO_LIMIT
            if budget.limit_tokens is None
            else f"{budget.limit_tokens:,}",
            Text(USED_UP, style="red") if budget.used_up else "open",
        )
    return screen.printed(table)


def budget_in_words(budget: Budget) -> str:
    """Return a budget as a line, such as `project proj_1: $3.20 of $20.00 a day`."""
    used, parts = budget.used, []
    if budget.limit_micros is not None:
        cost, most = map(
            amounts.dollars, (used.cost_micros, budget.limit_micros)
        )
        parts.append(f"{cost} of {most}")
    if budget.limit_tokens is not None:
        tokens = used.tokens_in + used.tokens_out
        parts.append(f"{tokens:,} of {amounts.tokens(budget.limit_tokens)}")
    when = "today" if budget.period == amounts.DAY else "in total"
    over = "over budget: " if budget.used_up else ""
    owner = amounts.owner_in_words(budget.owner)
    return f"{over}{owner}: {' and '.join(parts)} {when}"


def costs(read: Costs) -> str:
    """Return what was used as a table, with the sum and what was used today.

    Projects have their titles.
    """
    has_titles = read.by == PROJECT
    title_column = Column(header="TITLE", least=20)
    table = screen.Table(
        Column(header=read.by.upper()),
        Column(header="COST"),
        Column(header="TOKENS IN", leaves=1),
        Column(header="TOKENS OUT", leaves=2),
        Column(header="FROM CACHE", leaves=3),
        *([title_column] if has_titles else []),
    )
    for row in read.rows:
        titles = [cell(row.title)] if has_titles else []
        table.add_row(*_cells(line(row.name), row.usage), *titles)
    titles = [""] if has_titles else []
    table.add_row(*_cells("total", read.total), *titles)
    today = amounts.dollars(read.today.cost_micros)
    parts: list[screen.Part] = [table, Text(f"Today (UTC): {today}")]
    if read.more:
        what = "agents" if read.by == AGENT else "projects"
        parts.append(Text(f"There are more {what}: these are the first."))
    return screen.printed(*parts)


def _cells(name: str, used: ModelUsage) -> Sequence[str]:
    return (
        name,
        amounts.dollars(used.cost_micros),
        f"{used.tokens_in:,}",
        f"{used.tokens_out:,}",
        f"{used.cache_read:,}",
    )


def _limit(micros: int | None) -> str:
    return NO_LIMIT if micros is None else amounts.dollars(micros)
