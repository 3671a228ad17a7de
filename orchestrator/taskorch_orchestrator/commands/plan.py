"""Commands that make a plan: project, create, apply, depend, assign, complete."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import (
    DURATION,
    PAIR,
    START_TIME,
    TEXT,
    Contents,
    ManyValues,
)
from taskorch.domain import limits
from taskorch.domain.start_time import StartTime

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

Items = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]


@orchestrate.command(
    epilog='Example: orchestrate project "Build authentication system"'
)
@click.argument("title", type=TEXT)
@click.option(
    "-d", "--description", type=TEXT, default="", help="What the user wants, in full."
)
@pass_context
def project(context: "OrchestratorContext", title: str, description: str) -> None:
    """Open a project for a user's request."""
    context.output.show_id(
        "Project ID", context.queue.project(title, description=description)
    )


@orchestrate.command(
    epilog='Example: orchestrate create proj_1a2b3c4d "Design schema" -r "Users table" Sessions'
)
@click.argument("project")
@click.argument("title", type=TEXT)
@click.option("-d", "--description", type=TEXT, default="", help="What to do, in full.")
@click.option(
    "-r",
    "--requirement",
    "requirements",
    cls=ManyValues,
    type=TEXT,
    help="What it must fulfil …",
)
@click.option(
    "--depends-on",
    cls=ManyValues,
    metavar="ITEM",
    help="Items that must be completed first …",
)
@click.option(
    "--priority",
    type=click.IntRange(0, 4),
    default=2,
    show_default=True,
    help="0 is the most urgent.",
)
@click.option(
    "--lease",
    "lease_ms",
    type=DURATION,
    default="4h",
    show_default=True,
    help="A claim lasts so long.",
)
@click.option(
    "--max-attempts",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Then a dead letter.",
)
@click.option(
    "--not-before",
    type=START_TIME,
    default=StartTime(),
    help="From now (30m) or a time (RFC 3339).",
)
@click.option(
    "--context",
    "facts",
    cls=ManyValues,
    type=PAIR,
    help="Facts that the agent needs, NAME=VALUE …",
)
@click.option(
    "--resource",
    "resources",
    cls=ManyValues,
    type=TEXT,
    help="Files and links that help …",
)
@click.option(
    "--deliverable",
    "deliverables_expected",
    cls=ManyValues,
    type=TEXT,
    help="What must come back …",
)
@click.option(
    "--accept", "criteria", cls=ManyValues, type=TEXT, help="When it counts as done …"
)
@click.option(
    "--key",
    default="",
    help="A repeat with this key creates nothing and prints the same id.",
)
@click.option(
    "--assign", "agent", default="", metavar="AGENT", help="Assign it at once."
)
@pass_context
def create(
    context: "OrchestratorContext",
    /,
    project: str,
    not_before: StartTime,
    facts: Pairs,
    **fields: object,
) -> None:
    """Add a work item to PROJECT. Options with … take several values: -r A B C."""
    from taskorch.domain.item import NewItem

    from taskorch_orchestrator.render import steps

    new = NewItem(
        delay_ms=not_before.delay_ms,
        not_before_at=not_before.at,
        context=dict(facts),
        **fields,  # type: ignore[arg-type]
    )
    (created,) = context.queue.create_many(project, [new])
    hints = [hint for hint in (not_before.remark, created.hint) if hint]
    meta = (
        {"dead_dependency": created.dead_dependency} if created.dead_dependency else {}
    )
    meta |= {"hint": " ".join(hints)} if hints else {}
    context.output.show(steps.New.of(created), steps.new_item, **meta)
    for hint in hints:
        context.output.hint(hint)


@orchestrate.command(epilog="Example: orchestrate apply plan.yaml --dry-run")
@click.argument("plan", type=Contents(limits.PLAN_BYTES), metavar="PLAN.yaml")
@click.option("--dry-run", is_flag=True, help="Check everything, and write nothing.")
def apply(plan: tuple[str, bytes], dry_run: bool) -> None:
    """Create a project with all its items, as a file has them: all or none. - reads standard input.

    What a plan with the same key has created is there already: it stays as it is, and what is new in the file is added.
    For an example of a plan: orchestrate docs usage#a-whole-plan-at-once
    """
    from taskorch.domain.access import Access

    from taskorch_orchestrator.context import OrchestratorContext
    from taskorch_orchestrator.plan import plan_file
    from taskorch_orchestrator.render import plan as plan_render
    from taskorch_orchestrator.render import steps

    read = plan_file.read(*plan)
    context = OrchestratorContext(Access.READ if dry_run else Access.CREATE)
    applied = context.queue.apply(read, dry_run=dry_run)
    hints = [*steps.hints(applied, read.remarks)]
    meta = {"hints": hints} if hints else {}
    context.output.show(applied, plan_render.applied, "It makes a new project.", **meta)
    for hint in [*hints, *(["Nothing was written."] if dry_run else [])]:
        context.output.hint(hint)


@orchestrate.command(epilog="Example: orchestrate depend item_5e6f7a8b item_1a2b3c4d")
@click.argument("item")
@click.argument("dependencies", nargs=-1, required=True, metavar="DEPENDENCY...")
@pass_context
def depend(
    context: "OrchestratorContext", item: str, dependencies: tuple[str, ...]
) -> None:
    """Let ITEM wait for other items too. Nobody may have begun it."""
    from taskorch_orchestrator.render import steps

    state = context.queue.depend(item, dependencies)
    context.output.show({"id": item, "state": state}, steps.state)


@orchestrate.command(
    epilog="Example: orchestrate assign item_1a2b3c4d database_specialist"
)
@click.argument("items", nargs=-1, required=True, metavar="ITEM...")
@click.argument("agent")
@click.option(
    "--context",
    "facts",
    cls=ManyValues,
    type=PAIR,
    help="More facts that the agent needs, NAME=VALUE …",
)
@click.option(
    "--resource", "resources", cls=ManyValues, type=TEXT, help="More files and links …"
)
@click.option(
    "--force",
    is_flag=True,
    help="Take it from the agent that holds it; that agent's token dies.",
)
@pass_context
def assign(
    context: "OrchestratorContext",
    items: Items,
    agent: str,
    facts: Pairs,
    resources: tuple[str, ...],
    force: bool,
) -> None:
    """Give ITEM to AGENT; it waits while a dependency of it is open. Several are all assigned, or none is."""
    from taskorch_orchestrator.render import steps

    done = context.queue.assign_many(
        items, agent, context=dict(facts), resources=resources, force=force
    )
    handoffs = [
        steps.Handoff(assignment=each, handoff=context.handoff_file(each.id))
        for each in done
    ]
    if len(handoffs) == 1:
        context.output.show(handoffs[0], steps.assignment)
    else:
        context.output.show(handoffs, steps.assignments)


@orchestrate.command(epilog="Example: orchestrate complete proj_1a2b3c4d")
@click.argument("project")
@click.option("--force", is_flag=True, help="Cancel the items that are open.")
@pass_context
def complete(context: "OrchestratorContext", project: str, force: bool) -> None:
    """Close PROJECT and print what it delivered. Refused while items are open."""
    from taskorch_orchestrator.render import tables

    context.output.show(
        context.queue.complete_project(project, force=force), tables.result
    )
