"""The `purge` command."""

import sys
from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION, PROJECT
from taskorch.cli.text import counted
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.domain.item import Project

    from taskorch_orchestrator.context import OrchestratorContext

DEFAULT_AGE_MS = 30 * 24 * 3_600_000
#: Projects that the question lists.
SHOWN = 20
NOTHING = "Nothing was purged."


@orchestrate.command(
    epilog="Example: orchestrate purge --older-than 90d --dry-run"
)
@click.argument("projects", nargs=-1, type=PROJECT, metavar="[PROJECT]...")
@click.option(
    "--older-than",
    "age_ms",
    type=DURATION,
    help="Minimum time since the project was completed.  [default: 30d]",
)
@click.option(
    "--dry-run", is_flag=True, help="List the projects without deleting."
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@pass_context
def purge(
    context: "OrchestratorContext",
    projects: tuple[str, ...],
    age_ms: int | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Delete completed projects: those named, or all old ones.

    The next sync of each root removes their files. Exit 5 if a project cannot be
    deleted.
    """
    from taskorch_orchestrator.purge import (
        Purged,
        count_items,
        delete,
        find_completed,
    )
    from taskorch_orchestrator.render import tables

    if projects and age_ms:
        raise click.UsageError(
            "--older-than selects among all projects: leave it out, or leave out PROJECT."
        )
    queue = context.queue_of()
    found = (
        find_completed(queue, projects)
        if projects
        else queue.views.finished(older_than_ms=age_ms or DEFAULT_AGE_MS)
    )
    items = count_items(found)
    if dry_run:
        preview = Purged(projects=found, items=items)
        context.output.show(preview, lambda _: tables.projects(found), NOTHING)
        return
    agreed = yes or not found or _confirm(found, items)
    purged = delete(queue, found if agreed else ())
    context.output.show(purged, tables.purged, NOTHING)
    for reason in purged.kept.values():
        context.output.hint(reason)
    click.get_current_context().exit(
        errors.Invalid.exit_code if purged.kept else 0
    )


def _confirm(projects: "Sequence[Project]", items: int) -> bool:
    """List the projects on stderr, and ask whether to delete them."""
    from taskorch_orchestrator.render import tables

    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask on. Delete with --yes, or list with --dry-run."
        )
    click.echo(tables.projects(projects[:SHOWN]), err=True)
    selected = counted(len(projects), "project", "projects")
    question = (
        f"Delete {selected} with {counted(items, 'item', 'items')} for good?"
    )
    return click.confirm(question, err=True)
