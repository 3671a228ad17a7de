"""Commands that look: progress, discoveries, list, show, unassigned, inbox, stuck, projects, agents."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

STATES = (
    "pending",
    "waiting",
    "queued",
    "in_progress",
    "blocked",
    "delayed",
    "completed",
    "failed",
    "cancelled",
)
LIMIT = click.option(
    "--limit",
    type=click.IntRange(1, 5000),
    default=100,
    show_default=True,
    help="At most so many.",
)


@orchestrate.command(epilog="Example: orchestrate progress proj_1a2b3c4d")
@click.argument("project", metavar="PROJECT|ITEM")
@pass_context
def progress(context: "OrchestratorContext", project: str) -> None:
    """Show how far a project or an item is."""
    from taskorch_orchestrator.render import tables

    if project.startswith("item_"):
        context.output.show(context.queue.views.show(project), tables.item_progress)
    else:
        context.output.show(
            context.queue.views.progress(project), tables.project_progress
        )


@orchestrate.command(
    epilog="Example: orchestrate discoveries proj_1a2b3c4d --since 1700000000000-0"
)
@click.argument("project")
@click.option(
    "--since", default="0-0", metavar="CURSOR", help="Only what came after this cursor."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 5000),
    help="At most so many: 1000, or with --follow no end.",
)
@click.option(
    "--follow",
    is_flag=True,
    help="Go on with each as it is found, until the project is closed.",
)
@pass_context
def discoveries(
    context: "OrchestratorContext",
    project: str,
    since: str,
    limit: int | None,
    follow: bool,
) -> None:
    """List what the agents of PROJECT found."""
    from taskorch_orchestrator.render import tables
    from taskorch_orchestrator.watch import stream

    if follow:
        stream.discoveries(context, project, since, limit)
        return
    found = context.queue.views.discoveries(project, since=since, limit=limit or 1000)
    cursor = found[-1].cursor if found else since
    context.output.show(found, tables.discoveries, "No discoveries.", cursor=cursor)
    if found:
        context.output.hint(f"Continue with --since {cursor}")


@orchestrate.command(
    "list", epilog="Example: orchestrate list proj_1a2b3c4d --state blocked"
)
@click.argument("project", default="")
@click.option("--state", type=click.Choice(STATES), help="Only items in this state.")
@click.option("--agent", default="", help="Only items of this agent.")
@click.option("--cursor", default="", help="Go on where a page ended.")
@LIMIT
@pass_context
def list_(
    context: "OrchestratorContext",
    project: str,
    state: str | None,
    agent: str,
    cursor: str,
    limit: int,
) -> None:
    """List items, of PROJECT or of all projects."""
    from taskorch.domain.item import State

    from taskorch_orchestrator.render import tables

    wanted = State(state) if state else None
    page = context.queue.views.list(
        project=project, state=wanted, agent=agent, cursor=cursor, limit=limit
    )
    context.output.show(page.items, tables.items, "No items.", cursor=page.cursor)
    if page.cursor:
        context.output.hint(f"There is more: --cursor {page.cursor}")


@orchestrate.command(epilog="Example: orchestrate show item_1a2b3c4d --handoff")
@click.argument("item")
@click.option("--handoff", is_flag=True, help="Print the handoff package, as JSON.")
@pass_context
def show(context: "OrchestratorContext", item: str, handoff: bool) -> None:
    """Show all that ITEM carries, with its history."""
    from taskorch_orchestrator.render import tables

    if handoff:
        context.output.show(context.handoff(item), tables.handoff)
    else:
        context.output.show(context.queue.views.show(item), tables.package)


@orchestrate.command(epilog="Example: orchestrate unassigned --project proj_1a2b3c4d")
@click.option("--project", default="", help="Only items of this project.")
@LIMIT
@pass_context
def unassigned(context: "OrchestratorContext", project: str, limit: int) -> None:
    """List the items that wait for an agent."""
    from taskorch_orchestrator.render import tables

    context.output.show(
        context.queue.views.unassigned(project=project, limit=limit),
        tables.items,
        "No items.",
    )


@orchestrate.command(epilog="Example: orchestrate inbox")
@LIMIT
@pass_context
def inbox(context: "OrchestratorContext", limit: int) -> None:
    """List blockers that wait for an answer. The longest wait comes first."""
    from taskorch_orchestrator.render import tables

    context.output.show(
        context.queue.views.inbox(limit=limit),
        tables.inbox,
        "No blocker waits for an answer.",
    )


@orchestrate.command(epilog="Example: orchestrate stuck --silent-for 2h")
@click.option(
    "--unstarted-for",
    type=DURATION,
    default="30m",
    show_default=True,
    help="Queued for so long.",
)
@click.option(
    "--silent-for",
    type=DURATION,
    default="1h",
    show_default=True,
    help="Held without a sign for so long.",
)
@click.option("--project", default="", help="Only items of this project.")
@LIMIT
@pass_context
def stuck(
    context: "OrchestratorContext",
    unstarted_for: int,
    silent_for: int,
    project: str,
    limit: int,
) -> None:
    """List items that do not go on by themselves. Says why, since when, and what helps."""
    from taskorch_orchestrator.render import tables

    found = context.queue.views.stuck(
        unstarted_ms=unstarted_for, silent_ms=silent_for, project=project, limit=limit
    )
    nothing = "None of these is stuck." if found.more else "Nothing is stuck."
    context.output.show(
        found.items, tables.stuck, nothing, looked_at=found.looked_at, more=found.more
    )
    if found.more:
        context.output.hint(f"There is more: {found.looked_at} items were looked at.")


@orchestrate.command(epilog="Example: orchestrate projects")
@LIMIT
@pass_context
def projects(context: "OrchestratorContext", limit: int) -> None:
    """List the projects, the newest first."""
    from taskorch_orchestrator.render import tables

    context.output.show(
        context.queue.views.projects(limit=limit), tables.projects, "No projects."
    )


@orchestrate.command(epilog="Example: orchestrate agents")
@LIMIT
@pass_context
def agents(context: "OrchestratorContext", limit: int) -> None:
    """List the agents. Shows which session holds what, from where, since when, and how long it was silent."""
    from taskorch_orchestrator.render import agents as agents_render

    context.output.show(
        context.queue.views.agents(limit=limit), agents_render.agents, "No agents."
    )
