"""Commands that only read.

They are progress, discoveries, list, show, unassigned, inbox, stuck, projects and
agents.
"""

from typing import TYPE_CHECKING, cast

import click
from taskorch.cli.arguments import (
    AGENT,
    DURATION,
    ITEM,
    ITEM_OR_PROJECT,
    START_TIME,
    TEXT,
)
from taskorch.cli.text import counted
from taskorch.domain import errors
from taskorch.domain.start_time import StartTime

from taskorch_orchestrator.commands.project_option import project_option
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.queue.overview import PoolWork

    from taskorch_orchestrator.context import OrchestratorContext

STATES = (
    "pending",
    "waiting",
    "queued",
    "in_progress",
    "blocked",
    "review",
    "delayed",
    "completed",
    "failed",
    "cancelled",
)
ORDERS = ("created", "changed", "priority")
ROWS = click.IntRange(1, 5000)
LIMIT = click.option(
    "--limit",
    type=ROWS,
    default=100,
    show_default=True,
    help="Maximum number of rows.",
)


@orchestrate.command(epilog="Example: orchestrate progress proj_1a2b3c4d")
@project_option(metavar="PROJECT|ITEM", type_=ITEM_OR_PROJECT)
@pass_context
def progress(context: "OrchestratorContext", project: str) -> None:
    """Show the progress of a project or an item."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    if project.startswith("item_"):
        context.show(
            actions.item_progress(context.queue, project), tables.item_progress
        )
    else:
        context.show(
            actions.progress(context.queue, project), tables.project_progress
        )


@orchestrate.command(
    epilog="Example: orchestrate discoveries proj_1a2b3c4d --since 1700000000000-0"
)
@project_option()
@click.option(
    "--new",
    is_flag=True,
    help="Only those that you have not read yet; they count as read from now on.",
)
@click.option(
    "--since", metavar="CURSOR", help="Only discoveries after this cursor."
)
@click.option(
    "--limit",
    type=ROWS,
    help="Maximum number of discoveries.  [default: 1000; with --follow: no limit]",
)
@click.option(
    "--follow",
    is_flag=True,
    help="Keep printing new discoveries until PROJECT is closed.",
)
@pass_context
def discoveries(
    context: "OrchestratorContext",
    project: str,
    new: bool,
    since: str | None,
    limit: int | None,
    follow: bool,
) -> None:
    """List what the agents found, in PROJECT or in all."""
    from functools import partial

    from taskorch.domain.events import FROM_THE_START

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables
    from taskorch_orchestrator.watch import stream

    if new and since:
        raise errors.Usage(
            reason="--new and --since exclude each other: --new keeps a cursor itself."
        )
    since = since or FROM_THE_START
    if follow:
        read = stream.DiscoveryReader(context, project, since, new=new)
        stream.discoveries(context, read, limit)
        return
    most = limit or actions.LONG_LIMIT
    if new:
        found = actions.new_discoveries(context.queue, project, limit=most)
    else:
        found = actions.discoveries(
            context.queue, project, since=since, limit=most
        )
    render = partial(tables.discoveries, with_project=not project)
    context.show(
        found, render, "No new discoveries." if new else "No discoveries."
    )


@orchestrate.command(
    "list",
    epilog="Example: orchestrate list proj_1a2b3c4d --state blocked --label api",
)
@project_option()
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only items in this state, or in one of several.",
)
@click.option(
    "--agent",
    "agents",
    multiple=True,
    type=AGENT,
    help="Only items of this agent, or of one of several.",
)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL",
    help="Only items of this pool, or of one of several.",
)
@click.option(
    "--priority",
    "priorities",
    multiple=True,
    type=click.IntRange(0, 4),
    help="Only items of this priority, or of one of several.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="Only items with this label, or with all of several.",
)
@click.option(
    "--grep",
    "text",
    type=TEXT,
    default="",
    help="Only items with this text in their title or description.",
)
@click.option(
    "--since",
    type=START_TIME,
    default=StartTime(),
    help="Only items that changed since then: an age (2h) or a time (RFC 3339).",
)
@click.option(
    "--sort",
    "order",
    type=click.Choice(ORDERS),
    help="The newest, the last changed or the most urgent items first.",
)
@click.option(
    "--cursor", default="", help="Cursor that the previous page printed."
)
@LIMIT
@pass_context
def list_(
    context: "OrchestratorContext",
    /,
    states: tuple[str, ...],
    since: StartTime,
    text: str,
    order: str | None,
    cursor: str,
    limit: int,
    **fields: object,
) -> None:
    """List items, of PROJECT or of all projects. Options can be combined.

    --state, --agent, --pool, --priority and --label can be repeated.
    """
    from taskorch.domain.item import ItemFilter, Order, State

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    wanted = ItemFilter(
        states=tuple(map(State, states)),
        since_at=since.at,
        since_ago_ms=since.delay_ms,
        texts=(text,) if text else (),
        order=Order(order) if order else None,
        **fields,  # type: ignore[arg-type]
    )
    found = actions.list_items(
        context.queue, wanted, cursor=cursor, limit=limit
    )
    if since.remark:
        context.output.hint(since.remark)
    context.show(found, tables.items, "No items.")


@orchestrate.command(
    epilog="Example: orchestrate show item_1a2b3c4d --handoff"
)
@click.argument("item", type=ITEM)
@click.option(
    "--handoff", is_flag=True, help="Print the handoff package, as JSON."
)
@pass_context
def show(context: "OrchestratorContext", item: str, handoff: bool) -> None:
    """Show everything about ITEM, and what happened to it, in order."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    if handoff:
        context.show(actions.handoff(context.queue, item), tables.handoff)
    else:
        context.show(actions.show(context.queue, item), tables.item)


@orchestrate.command(
    epilog="Example: orchestrate unassigned --project proj_1a2b3c4d"
)
@project_option()
@LIMIT
@pass_context
def unassigned(
    context: "OrchestratorContext", project: str, limit: int
) -> None:
    """List the items that have no agent."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    found = actions.unassigned(context.queue, project=project, limit=limit)
    context.show(found, tables.items, "No items.")


@orchestrate.command(epilog="Example: orchestrate inbox")
@LIMIT
@pass_context
def inbox(context: "OrchestratorContext", limit: int) -> None:
    """List what waits for a decision: questions, reviews, dead letters.

    Of each kind, the one that waits longest comes first.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    waiting = actions.inbox(context.queue, limit=limit)
    context.show(waiting, tables.inbox, "Nothing waits for a decision.")


@orchestrate.command(epilog="Example: orchestrate stuck --silent-for 2h")
@click.option(
    "--unstarted-for",
    type=DURATION,
    default="30m",
    show_default=True,
    help="Report items queued longer than this.",
)
@click.option(
    "--silent-for",
    type=DURATION,
    default="1h",
    show_default=True,
    help="Report held items without a sign of life for longer than this.",
)
@project_option()
@LIMIT
@pass_context
def stuck(
    context: "OrchestratorContext",
    unstarted_for: int,
    silent_for: int,
    project: str,
    limit: int,
) -> None:
    """List stalled items, each with the command that helps."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    found = actions.stuck(
        context.queue,
        unstarted_ms=unstarted_for,
        silent_ms=silent_for,
        project=project,
        limit=limit,
    )
    more, checked = found.meta["more"], found.meta["looked_at"]
    context.show(
        found,
        tables.stuck,
        "None of these is stuck." if more else "Nothing is stuck.",
    )
    if more:
        items = counted(int(str(checked)), "item was", "items were")
        context.output.hint(f"There are more: only {items} checked.")


@orchestrate.command(epilog="Example: orchestrate projects")
@LIMIT
@pass_context
def projects(context: "OrchestratorContext", limit: int) -> None:
    """List the projects, the newest first."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import tables

    found = actions.projects(context.queue, limit=limit)
    context.show(found, tables.projects, "No projects.")


@orchestrate.command(epilog="Example: orchestrate agents")
@LIMIT
@pass_context
def agents(context: "OrchestratorContext", limit: int) -> None:
    """List the agents with their sessions and the items they hold. Pools are below."""
    from functools import partial

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import agents as agents_render

    found = actions.agents(context.queue, limit=limit)
    pools = cast("Sequence[PoolWork]", found.meta.get("pools", ()))
    render = partial(agents_render.agents, pools=pools)
    context.show(found, render, "No agents.")
