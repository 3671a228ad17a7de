"""The command that removes what is over: purge."""

import sys
from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.domain.item import Project

    from taskorch_orchestrator.context import OrchestratorContext

OLD_MS = 30 * 24 * 3_600_000
MOST_SHOWN = 20
NOTHING = "Nothing was purged."


@orchestrate.command(epilog="Example: orchestrate purge --older-than 90d --dry-run")
@click.argument("projects", nargs=-1, metavar="[PROJECT]...")
@click.option(
    "--older-than",
    "age_ms",
    type=DURATION,
    help="All that were completed so long ago.  [default: 30d]",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_context
def purge(
    context: "OrchestratorContext",
    projects: tuple[str, ...],
    age_ms: int | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove completed projects for good: PROJECT, or all that are old. Exit 5 where one must stay; files stay, too."""
    from taskorch_orchestrator.purge import Purged, items_of, named, remove
    from taskorch_orchestrator.render import tables

    if projects and age_ms:
        raise click.UsageError(
            "--older-than is for all projects: it does not go with PROJECT."
        )
    queue = context.queue_of()
    found = (
        named(queue, projects)
        if projects
        else queue.views.finished(older_than_ms=age_ms or OLD_MS)
    )
    would_go = Purged(projects=found, items=items_of(found))
    if dry_run:
        context.output.show(would_go, lambda _: tables.projects(found), NOTHING)
        return
    purged = remove(queue, found if yes or _agreed(found, would_go.items) else ())
    context.output.show(purged, tables.purged, NOTHING)
    for why in purged.kept.values():
        context.output.hint(why)
    click.get_current_context().exit(errors.Invalid.exit_code if purged.kept else 0)


def _agreed(projects: "Sequence[Project]", items: int) -> bool:
    """Show what would go, and ask for it."""
    from taskorch_orchestrator.render import tables

    if not projects:
        return True
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            "Nobody can be asked here: --yes removes them, --dry-run shows them."
        )
    click.echo(tables.projects(projects[:MOST_SHOWN]), err=True)
    return click.confirm(
        f"Remove for good: {len(projects)} projects with {items} items?", err=True
    )
