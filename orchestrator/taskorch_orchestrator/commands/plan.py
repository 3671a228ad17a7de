"""Commands that make a plan: project, create, apply, depend, assign, complete."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import (
    DURATION,
    MOMENT,
    PAIR,
    TEXT,
    Contents,
    ManyValues,
    When,
)
from taskorch.domain import limits

from taskorch_orchestrator.group import at_office, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.context import Office

Items = tuple[str, ...]
Pairs = tuple[tuple[str, str], ...]


@orchestrate.command(
    epilog='Example: orchestrate project "Build authentication system"'
)
@click.argument("title", type=TEXT)
@click.option(
    "-d", "--description", type=TEXT, default="", help="What the user wants, in full."
)
@at_office
def project(office: "Office", title: str, description: str) -> None:
    """Open a project for a user's request."""
    office.output.show_id(
        "Project ID", office.queue.project(title, description=description)
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
    type=MOMENT,
    default=When(),
    help="From now (30m) or a time (RFC 3339).",
)
@click.option(
    "--context",
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
@at_office
def create(
    office: "Office",
    /,
    project: str,
    not_before: When,
    context: Pairs,
    **fields: object,
) -> None:
    """Add a work item to PROJECT. Options with … take several values: -r A B C."""
    from taskorch.domain.item import NewItem

    from taskorch_orchestrator.render import steps

    new = NewItem(
        delay_ms=not_before.delay_ms,
        not_before_at=not_before.at,
        context=dict(context),
        **fields,  # type: ignore[arg-type]
    )
    (created,) = office.queue.create_many(project, [new])
    hints = [hint for hint in (not_before.remark, created.hint) if hint]
    meta = (
        {"dead_dependency": created.dead_dependency} if created.dead_dependency else {}
    )
    meta |= {"hint": " ".join(hints)} if hints else {}
    office.output.show(steps.New.of(created), steps.new_item, **meta)
    for hint in hints:
        office.output.hint(hint)


@orchestrate.command(epilog="Example: orchestrate apply plan.yaml --dry-run")
@click.argument("plan", type=Contents(limits.PLAN_BYTES), metavar="PLAN.yaml")
@click.option("--dry-run", is_flag=True, help="Check everything, and write nothing.")
def apply(plan: tuple[str, bytes], dry_run: bool) -> None:
    """Create a project with all its items, as a file has them: all or none. - reads standard input.

    What a plan with the same key has created is there already: it stays as it is, and what is new in the file is added.
    For an example of a plan: orchestrate docs usage#a-whole-plan-at-once
    """
    from taskorch.domain.access import Access

    from taskorch_orchestrator.context import Office
    from taskorch_orchestrator.plan import plan_file
    from taskorch_orchestrator.render import plan as plan_render
    from taskorch_orchestrator.render import steps

    read = plan_file.read(*plan)
    office = Office(Access.READ if dry_run else Access.CREATE)
    applied = office.queue.apply(read, dry_run=dry_run)
    hints = [*steps.hints(applied, read.remarks)]
    meta = {"hints": hints} if hints else {}
    office.output.show(applied, plan_render.applied, "It makes a new project.", **meta)
    for hint in [*hints, *(["Nothing was written."] if dry_run else [])]:
        office.output.hint(hint)


@orchestrate.command(epilog="Example: orchestrate depend item_5e6f7a8b item_1a2b3c4d")
@click.argument("item")
@click.argument("dependencies", nargs=-1, required=True, metavar="DEPENDENCY...")
@at_office
def depend(office: "Office", item: str, dependencies: tuple[str, ...]) -> None:
    """Let ITEM wait for other items too. Nobody may have begun it."""
    from taskorch_orchestrator.render import steps

    state = office.queue.depend(item, dependencies)
    office.output.show({"id": item, "state": state}, steps.state)


@orchestrate.command(
    epilog="Example: orchestrate assign item_1a2b3c4d database_specialist"
)
@click.argument("items", nargs=-1, required=True, metavar="ITEM...")
@click.argument("agent")
@click.option(
    "--context",
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
@at_office
def assign(
    office: "Office",
    items: Items,
    agent: str,
    context: Pairs,
    resources: tuple[str, ...],
    force: bool,
) -> None:
    """Give ITEM to AGENT; it waits while a dependency of it is open. Several are all assigned, or none is."""
    from taskorch_orchestrator.render import steps

    done = office.queue.assign_many(
        items, agent, context=dict(context), resources=resources, force=force
    )
    handoffs = [
        steps.Handoff(assignment=each, handoff=office.handoff_file(each.id))
        for each in done
    ]
    if len(handoffs) == 1:
        office.output.show(handoffs[0], steps.assignment)
    else:
        office.output.show(handoffs, steps.assignments)


@orchestrate.command(epilog="Example: orchestrate complete proj_1a2b3c4d")
@click.argument("project")
@click.option("--force", is_flag=True, help="Cancel the items that are open.")
@at_office
def complete(office: "Office", project: str, force: bool) -> None:
    """Close PROJECT and print what it delivered. Refused while items are open."""
    from taskorch_orchestrator.render import tables

    office.output.show(
        office.queue.complete_project(project, force=force), tables.result
    )
