"""The `export` and `import` commands."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskorch.queue.backup import Line

    from taskorch_orchestrator.context import OrchestratorContext

FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
INTERRUPTED = (
    "The import may be incomplete: then the namespace is closed until you run it again with "
    "the same file."
)
PLACE = click.Path(exists=True, allow_dash=True, path_type=Path)


@orchestrate.command(epilog="Example: orchestrate export backup.jsonl")
@click.argument("file", metavar="[FILE]", required=False, type=FILE)
@pass_context
def export(context: "OrchestratorContext", file: Path | None) -> None:
    """Export the namespace as JSON lines.

    Without FILE, they go to standard output. FILE is replaced when the export is
    complete, and only its owner can read it.
    """
    from taskorch_orchestrator.backup import export as exporting
    from taskorch_orchestrator.render import sync

    queue = context.queue

    def lines() -> "Iterator[Line]":
        queue.damage.clear()
        return exporting.without_damage(queue.backup.lines(), queue.damage)

    if file and str(file) != "-":
        written = exporting.whole_to_file(lines, file)
        context.output.show(written, sync.exported)
    else:
        exporting.to_stdout(lines(), to_terminal=bool(file))
        context.output.report_damage()


@orchestrate.command(
    "import", epilog="Example: orchestrate import backup.jsonl"
)
@click.argument("place", metavar="FILE|DIR", type=PLACE)
@pass_context
def import_(context: "OrchestratorContext", place: Path) -> None:
    """Import an export, or a folder of the file-based predecessor. Ids are kept.

    FILE is an export, an archived project, or - for standard input; the namespace must
    be empty. DIR is a folder of the predecessor, which is not changed. If DIR is the
    folder of this root, its database is kept as orchestration.db.before-import, because
    the sync job writes to it.
    """
    if place.is_dir():
        _take_over(context, place)
    else:
        _restore(context, place)


def _take_over(context: "OrchestratorContext", folder: Path) -> None:
    from taskorch_orchestrator.migrate.legacy_import import import_folder
    from taskorch_orchestrator.render import sync

    brought = import_folder(
        folder, context.settings, context.queue_of(), context.queue_of
    )
    if brought.set_aside:
        context.output.hint(
            f"The database is kept as it was: {context.settings.folder / brought.set_aside}"
        )
    context.output.show(brought, sync.takeover)


def _restore(context: "OrchestratorContext", file: Path) -> None:
    from taskorch.domain import errors

    from taskorch_orchestrator.backup.restore import restore
    from taskorch_orchestrator.render import sync

    try:
        counts = restore(file, context.queue_of().backup)
    except (errors.Unavailable, KeyboardInterrupt):
        context.output.hint(INTERRUPTED)
        raise
    context.output.show(counts, sync.imported)
