"""Budgets and costs: what may be used, and what was used."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TypeAlias, cast

from taskorch.domain import errors, limits
from taskorch.domain.amounts import DAY, MICROS, NAMESPACE, PERIODS
from taskorch.domain.frozen import Frozen
from taskorch.domain.usage import ModelUsage
from taskorch.domain.usage_rules import summed
from taskorch.queue.port import Argument
from taskorch.queue.scripts import Scripts

#: The largest numbers of a budget.
MOST_MICROS = 1_000_000_000 * MICROS
MOST_TOKENS = 10**15
#: No limit, as scripts take and return it.
NO_LIMIT = "-"
#: What rows of costs are about.
AGENT, PROJECT, MODEL = "agent", "project", "model"
KINDS = (AGENT, PROJECT, MODEL, DAY)
#: Calls for the totals of projects and agents: 200 in each.
MOST_CALLS = 50
_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_FORMAT = "%Y-%m-%d"
#: Owner, period, two limits, and what is used.
Rows: TypeAlias = Sequence[tuple[str, str, str, str, str]]
#: Whether there was a budget, whether to call again, when the day ends, and budgets.
SetReply: TypeAlias = tuple[str, str, str, Rows]


class Budget(Frozen):
    """A limit of what an owner may use in a period, and what it has used."""

    #: `namespace`, `project:<id>` or `agent:<name>`.
    owner: str
    #: `day` (of UTC) or `total`.
    period: str
    #: The limit of the cost; None for no such limit, 0 if nothing may be claimed.
    limit_micros: int | None
    #: The limit of the tokens in and out, without those that were read from a cache.
    limit_tokens: int | None
    #: What was used in the period.
    used: ModelUsage
    #: When a budget per day begins again, in ms; 0 for one in total.
    resets_at: int
    #: Whether no further item may be claimed.
    used_up: bool


class BudgetChange(Frozen):
    """The result of setting or removing a budget."""

    #: Whether there was one before.
    existed: bool
    #: The budgets of its owner as they are now.
    budgets: tuple[Budget, ...]


class CostRow(Frozen):
    """What one project, agent, model or day has used."""

    #: Its id or name; of a day its date, such as 2026-12-01.
    name: str
    #: The title of a project, "" of anything else.
    title: str
    usage: ModelUsage


class Costs(Frozen):
    """What was used, in rows of one kind, the most expensive first, or days in order."""

    #: `namespace`, `project:<id>` or `agent:<name>`.
    owner: str
    #: One of KINDS.
    by: str
    total: ModelUsage
    #: What was used today, by UTC.
    today: ModelUsage
    rows: tuple[CostRow, ...]
    #: Whether there are projects or agents that were not looked at.
    more: bool


def owner_of(name: str) -> str:
    """Return the owner that a name means: a project, an agent or `namespace`.

    Raises errors.Invalid for anything else.
    """
    if name == NAMESPACE:
        return NAMESPACE
    if limits.is_project_id(name):
        return f"project:{name}"
    return f"agent:{limits.agent_name(name)}"


def usual_rows(name: str) -> str:
    """Return the kind of rows that says most about an owner, or the namespace for ""."""
    owner = owner_of(name or NAMESPACE)
    if owner == NAMESPACE:
        return PROJECT
    return AGENT if owner.startswith("project:") else MODEL


def kinds_of(owner: str) -> Sequence[str]:
    """Return the kinds of rows that costs of an owner can have."""
    if owner == NAMESPACE:
        return KINDS
    return (
        (AGENT, MODEL, DAY) if owner.startswith("project:") else (MODEL, DAY)
    )


def set_budget(
    scripts: Scripts,
    owner: str,
    period: str,
    *,
    limit_micros: int | None,
    limit_tokens: int | None,
) -> BudgetChange:
    """Set a budget, or remove it without any limit; wake agents that wait for it.

    Raises errors.NoProject and errors.NoAgent.
    """
    if period not in PERIODS:
        raise errors.Invalid(
            reason=f"{limits.shortened(period)!r} is not a period: day or total."
        )
    words: tuple[Argument, ...] = (
        owner,
        period,
        _limit(limit_micros, "limit in microdollars", MOST_MICROS),
        _limit(limit_tokens, "limit of tokens", MOST_TOKENS),
    )
    reply = scripts.run_script("set_budget", *words)
    existed, more, day_ends, rows = cast("SetReply", reply)
    rest = scripts.for_the_rest()
    with suppress(
        errors.Unavailable
    ):  # a waiting agent looks again within a minute
        while more:
            wake = ("", period, NO_LIMIT, NO_LIMIT)
            woken = rest.run_script("set_budget", *wake)
            _, more, *_ = cast("SetReply", woken)
    budgets = _in_order(_read(rows, day_ends))
    return BudgetChange(existed=bool(existed), budgets=budgets)


def read_budgets(scripts: Scripts, owner: str = "") -> tuple[Budget, ...]:
    """Return the budgets: those that are used up first, then by owner.

    With an owner, only its own: raises errors.NoProject and errors.NoAgent.
    """
    found: list[Budget] = []
    cursor = ""
    while cursor != "0":
        reply = scripts.run_script("budgets", cursor or "0", owner)
        cursor, day_ends, rows = cast("tuple[str, str, Rows]", reply)
        found += _read(rows, day_ends)
    return _in_order(found)


def read_costs(scripts: Scripts, owner: str, by: str) -> Costs:
    """Return what an owner has used.

    Raises errors.NoProject and errors.NoAgent, and errors.Invalid for a kind of rows that
    the owner does not have: a project has none by project, and an agent only those by
    model and day.
    """
    kinds = kinds_of(owner)
    if by not in kinds:
        raise errors.Invalid(
            reason=f"Costs of {owner} are shown by {', '.join(kinds)}, not by "
            f"{limits.shortened(by)}."
        )
    found: dict[str, CostRow] = {}
    skip, total, today = "0", "", ""
    for _ in range(MOST_CALLS):
        reply = scripts.run_script("costs", owner, by, skip)
        skip, rows, total, today = cast(
            "tuple[str, list[list[str]], str, str]", reply
        )
        for name, used, title in rows:
            # one that moves between two calls is in both
            found[name] = CostRow(name=name, title=title, usage=summed(used))
        if not skip:
            break
    return Costs(
        owner=owner,
        by=by,
        total=summed(total),
        today=summed(today),
        rows=_days(found) if by == DAY else _most_expensive(found),
        more=bool(skip),
    )


def _days(found: Mapping[str, CostRow]) -> tuple[CostRow, ...]:
    """Return the rows of the days in their order, named by their dates."""
    days = sorted(int(name) for name in found if name.isdecimal())
    return tuple(
        CostRow(name=_date(day), title="", usage=found[str(day)].usage)
        for day in days
    )


def _most_expensive(found: Mapping[str, CostRow]) -> tuple[CostRow, ...]:
    return tuple(sorted(found.values(), key=_cost))


def _date(day: int) -> str:
    return (_FIRST_DAY + timedelta(days=min(day, 10**6))).strftime(_DAY_FORMAT)


def _read(rows: Rows, day_ends: str) -> Iterator[Budget]:
    """Yield the budgets in rows of a script."""
    for owner, period, micros, tokens, used in rows:
        yield _budget(
            (owner, period), (micros, tokens), summed(used), int(day_ends)
        )


def _in_order(found: Iterable[Budget]) -> tuple[Budget, ...]:
    """Return budgets, each once, as people read them."""
    known = {(each.owner, each.period): each for each in found}
    return tuple(
        sorted(
            known.values(),
            key=lambda each: (not each.used_up, each.owner, each.period),
        )
    )


def _budget(
    key: tuple[str, str],
    limits_: tuple[str, str],
    used: ModelUsage,
    day_ends: int,
) -> Budget:
    owner, period = key
    micros, tokens = (
        int(text) if text.isdecimal() else None for text in limits_
    )
    is_over_cost = micros is not None and used.cost_micros >= micros
    new_tokens = used.tokens_in + used.tokens_out
    is_over_tokens = tokens is not None and new_tokens >= tokens
    return Budget(
        owner=owner,
        period=period,
        limit_micros=micros,
        limit_tokens=tokens,
        used=used,
        resets_at=day_ends if period == DAY else 0,
        used_up=is_over_cost or is_over_tokens,
    )


def _cost(row: CostRow) -> tuple[int, int, str]:
    return -row.usage.cost_micros, -row.usage.tokens_out, row.name


def _limit(value: int | None, what: str, most: int) -> Argument:
    return NO_LIMIT if value is None else limits.number(value, what, 0, most)
