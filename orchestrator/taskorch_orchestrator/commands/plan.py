"""Commands that plan the work: project, create, apply, depend, assign, complete."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import (
    AGENT,
    AGENT_OR_LAST_ITEM,
    DURATION,
    ITEM,
    ITEM_BEFORE_AGENT,
    PAIR,
    PROJECT,
    START_TIME,
    TEXT,
    Contents,
    ManyValues,
)
from taskorch.domain import errors, limits
from taskorch.domain.start_time import StartTime

from taskorch_orchestrator.commands.check_options import (
    CheckOptions,
    check_options,
)
from taskorch_orchestrator.commands.project_option import project_option
from taskorch_orchestrator.commands.set_option import set_option
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

Pairs = tuple[tuple[str, str], ...]


@orchestrate.command(
    epilog='Example: orchestrate project "Build authentication system"'
)
@click.argument("title", type=TEXT)
@click.option(
    "-d",
    "--description",
    type=TEXT,
    default="",
    help="The user's request, in full.",
)
@pass_context
def project(
    context: "OrchestratorContext", title: str, description: str
) -> None:
    """Open a project for a user's request."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    created = actions.project(context.queue, title, description=description)
    context.show(created, steps.new_project)


@orchestrate.command(
    epilog='Example: orchestrate create proj_1a2b3c4d "Design schema" -r "Users table" Sessions'
)
@click.argument("project", type=PROJECT)
@click.argument("title", type=TEXT)
@click.option(
    "-d",
    "--description",
    type=TEXT,
    default="",
    help="Description of the work.",
)
@click.option(
    "-r",
    "--requirement",
    "requirements",
    cls=ManyValues,
    type=TEXT,
    help="Requirements of the item …",
)
@click.option(
    "--depends-on",
    cls=ManyValues,
    type=ITEM,
    metavar="ITEM",
    help="Items that must be completed first …",
)
@click.option(
    "--priority",
    type=click.IntRange(0, 4),
    default=2,
    show_default=True,
    help="Priority, from 0 (most urgent) to 4.",
)
@click.option(
    "--lease",
    "lease_ms",
    type=DURATION,
    default="4h",
    show_default=True,
    help="Lease duration, such as 30m or 4h.",
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Maximum number of attempts before the item becomes a dead letter.",
)
@click.option(
    "--not-before",
    type=START_TIME,
    default=StartTime(),
    help="Earliest start: a delay (30m) or a time (RFC 3339).",
)
@click.option(
    "--context",
    "facts",
    cls=ManyValues,
    type=PAIR,
    help="Facts for the agent, NAME=VALUE …",
)
@click.option(
    "--resource",
    "resources",
    cls=ManyValues,
    type=TEXT,
    help="Files and links for the agent …",
)
@click.option(
    "--deliverable",
    "deliverables_expected",
    cls=ManyValues,
    type=TEXT,
    help="Expected deliverables …",
)
@click.option(
    "--accept",
    "criteria",
    cls=ManyValues,
    type=TEXT,
    help="Acceptance criteria, in words …",
)
@check_options
@click.option(
    "--label",
    "labels",
    cls=ManyValues,
    help="Labels, for filters such as list --label …",
)
@click.option(
    "--traceparent",
    default="",
    help="Its place in a trace, as W3C Trace Context writes it. Also: TRACEPARENT",
)
@click.option(
    "--key",
    default="",
    help="Key of the item. If an item has it already, print that item's id.",
)
@click.option(
    "--assign",
    "agent",
    type=AGENT,
    default="",
    metavar="AGENT",
    help="Agent to assign it to.",
)
@click.option(
    "--pool",
    default="",
    metavar="POOL",
    help="Pool to assign it to, instead of an agent.",
)
@pass_context
def create(
    context: "OrchestratorContext",
    /,
    project: str,
    not_before: StartTime,
    facts: Pairs,
    checks: CheckOptions,
    **fields: object,
) -> None:
    """Add a work item to PROJECT. Options marked … take several values: -r A B C."""
    from taskorch.domain.item import NewItem

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    new = NewItem(
        delay_ms=not_before.delay_ms,
        not_before_at=not_before.at,
        context=dict(facts),
        checks=checks.all() or (),
        **fields,  # type: ignore[arg-type]
    )
    created = actions.create(
        context.queue,
        context.handoffs(),
        project,
        new,
        remark=not_before.remark,
    )
    context.show(created, steps.new_item)


@orchestrate.command(epilog="Example: orchestrate apply plan.yaml --dry-run")
@click.argument("plan", type=Contents(limits.PLAN_BYTES), metavar="PLAN.yaml")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the plan and show what it would change, without applying it.",
)
@set_option()
def apply(
    plan: tuple[str, bytes], dry_run: bool, values: dict[str, str]
) -> None:
    """Create or update a project and its items from a plan file.

    All of it is done, or nothing. PLAN.yaml may be -, for standard input. The command
    is repeatable: new items in the file are added, and items that a plan with the same
    key created earlier become what the file says. An item that an agent has begun
    keeps its title, description and requirements, and the command names the differences.

    A plan may declare variables, whose values --set gives. With --dry-run, the filled
    plan is shown.

    For an example of a plan: orchestrate docs orchestrator#a-whole-plan-at-once
    """
    from taskorch.domain.access import Access

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.context import OrchestratorContext
    from taskorch_orchestrator.plan import plan_file
    from taskorch_orchestrator.render import plan as plan_render

    read = plan_file.read(*plan, values)
    context = OrchestratorContext(Access.READ if dry_run else Access.CREATE)
    applied = actions.apply(
        context.queue, context.handoffs(), read, dry_run=dry_run
    )
    shown = plan_render.filled(read) if dry_run else ""
    context.show(
        applied,
        lambda result: shown + plan_render.applied(result),
        "The plan creates a new project.",
    )
    if dry_run:
        context.output.hint("Nothing was written.")


@orchestrate.command(
    epilog="Example: orchestrate depend item_5e6f7a8b item_1a2b3c4d"
)
@click.argument("item", type=ITEM)
@click.argument(
    "dependencies",
    nargs=-1,
    required=True,
    type=ITEM,
    metavar="DEPENDENCY...",
)
@click.option(
    "--remove",
    is_flag=True,
    help="Make ITEM no longer wait for these items.",
)
@pass_context
def depend(
    context: "OrchestratorContext",
    item: str,
    dependencies: tuple[str, ...],
    remove: bool,
) -> None:
    """Make ITEM wait for more items, or for fewer. No agent may have begun it."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    if remove:
        changed = actions.undepend(
            context.queue, context.handoffs(), item, dependencies
        )
    else:
        changed = actions.depend(context.queue, item, dependencies)
    context.show(changed, steps.state)


@orchestrate.command(
    epilog="Example: orchestrate assign item_1a2b3c4d database_specialist"
)
@click.argument("items", nargs=-1, type=ITEM_BEFORE_AGENT, metavar="ITEM...")
@click.argument("agent", required=False, default="", type=AGENT_OR_LAST_ITEM)
@click.option(
    "--pool",
    default="",
    is_eager=True,
    metavar="POOL",
    help="Pool to assign them to, instead of AGENT.",
)
@click.option(
    "--context",
    "facts",
    cls=ManyValues,
    type=PAIR,
    help="More facts for the agent, NAME=VALUE …",
)
@click.option(
    "--resource",
    "resources",
    cls=ManyValues,
    type=TEXT,
    help="More files and links for the agent …",
)
@click.option(
    "--force",
    is_flag=True,
    help="Reassign items that an agent holds; it loses its lease.",
)
@pass_context
def assign(
    context: "OrchestratorContext",
    items: tuple[str, ...],
    agent: str,
    pool: str,
    facts: Pairs,
    resources: tuple[str, ...],
    force: bool,
) -> None:
    """Assign items to AGENT, all or none. An item waits for its open dependencies.

    With --pool, any agent that takes items from the pool may claim them.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    if pool and agent:  # the last word is an item, too
        items, agent = (*items, agent), ""
    if not items:
        raise errors.Usage(
            reason="Name the items, and behind them AGENT or --pool POOL."
        )
    done = actions.assign(
        context.queue,
        context.handoffs(),
        items,
        agent,
        pool=pool,
        context=dict(facts),
        resources=resources,
        force=force,
    )
    if len(done.data) == 1:
        [assigned] = done.data
        context.show(
            actions.Published(data=assigned, meta=done.meta, hints=done.hints),
            steps.assignment,
        )
    else:
        context.show(done, steps.assignments)


@orchestrate.command(epilog="Example: orchestrate complete proj_1a2b3c4d")
@project_option(metavar="PROJECT")
@click.option(
    "--force", is_flag=True, help="Cancel the items that are still open."
)
@pass_context
def complete(
    context: "OrchestratorContext", project: str, force: bool
) -> None:
    """Complete PROJECT and print its deliverables. Refused while items are open."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    closed = actions.complete(context.queue, project, force=force)
    context.show(closed, tables.closed_project)
