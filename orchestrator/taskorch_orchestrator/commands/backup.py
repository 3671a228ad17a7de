"""The `export` and `import` commands."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from taskorch.cli.arguments import PROJECT
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from taskorch.queue.backup import Line

    from taskorch_orchestrator.context import OrchestratorContext

FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
INTERRUPTED = (
    "The import may be incomplete: then the namespace is closed until you run it again with "
    "the same file."
)
UNFINISHED = (
    "The import may be incomplete: run it again with the same file, and it creates what "
    "is missing."
)
#: Folders that trackers keep their files in.
OF_TRACKERS = (".taskmaster", "tasks", ".beads")
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
@click.option(
    "--format",
    "format_",
    type=click.Choice(["export", "task-master", "beads", "github"]),
    help="Format of FILE.  [default: what its content says]",
)
@click.option(
    "--project",
    type=PROJECT,
    metavar="PROJECT",
    help="Existing project that gets the items of another tracker.",
)
@click.option(
    "--title", default="", help="Title of the new project instead of its name."
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Check the file of another tracker, without creating its items.",
)
@pass_context
def import_(
    context: "OrchestratorContext",
    /,
    place: Path,
    **options: Any,  # noqa: ANN401  the fields of ImportChoice
) -> None:
    """Import an export, a folder of the predecessor, or the file of another tracker.

    FILE is an export, an archived project, or - for standard input. The ids of an export
    are kept, and the namespace must be empty.

    Or FILE is the tasks.json of claude-task-master, the issues.jsonl of beads, or what
    gh issue list --json number,title,body,state,labels,url prints. Its open items are
    created in a new project, without an agent; those that are done or cancelled are left
    out, and nothing waits for them. Run again, the command creates what is missing.

    DIR is a folder of the predecessor, which is not changed. If DIR is the folder of
    this root, its database is kept as orchestration.db.before-import, because the sync
    job writes to it.
    """
    choice = ImportChoice(**options)
    if place.is_dir():
        if choice != ImportChoice():
            raise click.UsageError("A folder takes no options.")
        _take_over(context, place)
    else:
        _import_file(context, place, choice)


class ImportChoice(Frozen):
    """The options of an import."""

    format_: str | None = None
    project: str | None = None
    title: str = ""
    dry_run: bool = False


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


def _import_file(
    context: "OrchestratorContext", file: Path, choice: ImportChoice
) -> None:
    """Import an export or the file of another tracker, as its content says."""
    from taskorch_orchestrator.backup.restore import twice_readable
    from taskorch_orchestrator.trackers import formats

    is_export = choice.format_ == "export"
    with twice_readable(file) as opened:
        if is_export or (not choice.format_ and formats.is_export(opened)):
            _restore(context, opened, choice)
        else:
            _import_items(context, file, opened, choice)


def _restore(
    context: "OrchestratorContext", opened: "BinaryIO", choice: ImportChoice
) -> None:
    from taskorch.domain import errors

    from taskorch_orchestrator.backup.restore import restore_opened
    from taskorch_orchestrator.render import sync

    if choice.project or choice.title or choice.dry_run:
        raise click.UsageError(
            "An export has projects of its own: leave out --project, --title and "
            "--dry-run."
        )
    try:
        counts = restore_opened(opened, context.queue_of().backup)
    except (errors.Unavailable, KeyboardInterrupt):
        context.output.hint(INTERRUPTED)
        raise
    context.output.show(counts, sync.imported)


def _import_items(
    context: "OrchestratorContext",
    file: Path,
    opened: "BinaryIO",
    choice: ImportChoice,
) -> None:
    from taskorch.domain import errors

    from taskorch_orchestrator.render import trackers
    from taskorch_orchestrator.trackers.formats import Format
    from taskorch_orchestrator.trackers.tracker_import import (
        Destination,
        import_file,
    )

    destination = Destination(
        title=choice.title or _name_of(file),
        is_titled=bool(choice.title),
        project=choice.project or "",
    )
    try:
        imported = import_file(
            opened,
            context.queue_of(),
            destination,
            wanted=Format(choice.format_) if choice.format_ else None,
            dry_run=choice.dry_run,
        )
    except (errors.Unavailable, KeyboardInterrupt):
        context.output.hint(UNFINISHED)
        raise
    context.output.show(imported, trackers.imported, "There is no open item.")
    for row in trackers.remarks(imported):
        context.output.hint(row)
    if choice.dry_run:
        context.output.hint("Nothing was written.")


def _name_of(file: Path) -> str:
    """Return the name of the folder that a file is about, as title of its project."""
    if str(file) == "-" or not file.is_file():
        return "Imported items"
    parents = file.resolve().parents
    names = (each.name for each in parents if each.name not in OF_TRACKERS)
    return next(names, "") or "Imported items"
