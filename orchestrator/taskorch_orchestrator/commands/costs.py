"""The commands `budget` and `costs`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import PROJECT_OR_AGENT, Amount
from taskorch.domain import errors, short_id, usage_rules
from taskorch.domain.amounts import DAY, PERIODS
from taskorch.queue.budgets import KINDS, MOST_MICROS, MOST_TOKENS

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

DOLLARS = Amount("dollars", lambda text: usage_rules.micros(text, MOST_MICROS))


@orchestrate.command(
    epilog="Example: orchestrate budget proj_1a2b3c4d --limit 20 --per day"
)
@click.argument(
    "owner",
    type=PROJECT_OR_AGENT,
    metavar="[PROJECT|AGENT|namespace]",
    default="",
)
@click.option(
    "--limit",
    "limit_micros",
    type=DOLLARS,
    metavar="DOLLARS",
    help="Maximum cost, such as 20 or 0.50; 0 stops all claims.",
)
@click.option(
    "--tokens",
    "limit_tokens",
    type=click.IntRange(0, MOST_TOKENS),
    metavar="N",
    help="Maximum number of tokens in and out, without those from a cache.",
)
@click.option(
    "--per",
    "period",
    type=click.Choice(PERIODS),
    help="Period of the limits: a day (UTC), or all the time.",
)
@click.option(
    "--remove",
    is_flag=True,
    help="Remove the budget of the period, or both without --per.",
)
@pass_context
def budget(
    context: "OrchestratorContext",
    owner: str,
    limit_micros: int | None,
    limit_tokens: int | None,
    period: str | None,
    remove: bool,
) -> None:
    """Limit what a project, an agent or the namespace may use, or show the limits.

    Once it has used that much, no agent claims any further item of it. Work that has
    begun continues. Without options, the budgets are shown.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import costs as render

    limits = (limit_micros, limit_tokens)
    has_limit = limits != (None, None)
    _check(owner, period, has_limit=has_limit, remove=remove)
    owner = _whole(context, owner)
    if not (has_limit or remove):
        published = actions.budgets(context.queue_of(), owner)
        context.show(published, render.budgets, "No budgets.")
        return
    for each in [period] if period else PERIODS:
        published = actions.set_budget(
            context.queue_of(),
            owner,
            period=each,
            limit_micros=limit_micros,
            limit_tokens=limit_tokens,
        )
    context.show(published, render.budgets, f"{owner} has no budget.")


def _whole(context: "OrchestratorContext", owner: str) -> str:
    """Return the id of the project that bare digits name, unless an agent has that name.

    Return any other owner unchanged. Raises errors.NoProject and errors.AmbiguousId.
    """
    project = short_id.parse(owner, ("proj",))
    if project == owner:
        return owner
    try:
        context.queue.views.costs(owner, by=DAY)
    except errors.NoAgent:
        return project if isinstance(project, str) else context.find(project)
    return owner


def _check(
    owner: str, period: str | None, *, has_limit: bool, remove: bool
) -> None:
    """Refuse options that do not fit together. Raises errors.Usage."""
    reason = ""
    if has_limit and remove:
        reason = "--remove takes no --limit and no --tokens."
    elif (has_limit or remove) and not owner:
        reason = "Name a project, an agent or namespace for the budget."
    elif has_limit and not period:
        reason = "Say for which time the limit is: --per day or --per total."
    elif period and not (has_limit or remove):
        reason = "--per needs --limit, --tokens or --remove."
    if reason:
        raise errors.Usage(reason=reason)


@orchestrate.command(epilog="Example: orchestrate costs --by day")
@click.argument(
    "owner", type=PROJECT_OR_AGENT, metavar="[PROJECT|AGENT]", default=""
)
@click.option(
    "--by",
    type=click.Choice(KINDS),
    help="What the rows are about.  [default: project; of a project agent, of an agent model]",
)
@pass_context
def costs(context: "OrchestratorContext", owner: str, by: str | None) -> None:
    """Show the tokens and the cost that agents have reported.

    They are those of all projects, of PROJECT or of AGENT. Days are those of UTC, and
    the last 90 are kept.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import costs as render

    found = actions.costs(context.queue, _whole(context, owner), by=by or "")
    context.show(found, render.costs)
