"""Commands that move a whole namespace: export, import."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskorch_orchestrator.group import at_office, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.context import Office

FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)
CUT_OFF = "If it had begun to write, the namespace is closed until the import is run again with the same file."
PLACE = click.Path(exists=True, allow_dash=True, path_type=Path)


@orchestrate.command(epilog="Example: orchestrate export backup.jsonl")
@click.argument("file", metavar="[FILE]", required=False, type=FILE)
@at_office
def export(office: "Office", file: Path | None) -> None:
    """Write the whole namespace as JSON lines, to FILE or to standard output ('-').

    FILE is replaced once it is complete, and only its owner can read it.
    """
    from taskorch_orchestrator.backup import export as exporting
    from taskorch_orchestrator.render import sync

    lines = exporting.sound(office.queue.archive.lines(), office.queue.damage)
    if file and str(file) != "-":
        office.output.show(exporting.to_file(lines, file), sync.exported)
    else:
        exporting.to_stdout(lines, to_terminal=bool(file))
        office.output.tell_damage()


@orchestrate.command("import", epilog="Example: orchestrate import backup.jsonl")
@click.argument("place", metavar="FILE|DIR", type=PLACE)
@at_office
def import_(office: "Office", place: Path) -> None:
    """Read an export back from FILE ('-': standard input) into an empty namespace; or take over DIR. Ids are kept.

    DIR is a folder of the file-based predecessor. It stays as it is. Where it is this root's own, its database is kept
    as orchestration.db.before-import: the sync job writes to it.
    """
    if place.is_dir():
        _take_over(office, place)
    else:
        _restore(office, place)


def _take_over(office: "Office", folder: Path) -> None:
    from taskorch_orchestrator.migrate.legacy_import import take_over
    from taskorch_orchestrator.render import sync

    brought = take_over(folder, office.settings, office.queue_of(), office.queue_of)
    if brought.set_aside:
        office.output.hint(
            f"The database is kept as it was: {office.settings.folder / brought.set_aside}"
        )
    office.output.show(brought, sync.takeover)


def _restore(office: "Office", file: Path) -> None:
    from taskorch.domain import errors

    from taskorch_orchestrator.backup.restore import restore
    from taskorch_orchestrator.render import sync

    try:
        counts = restore(file, office.queue_of().archive)
    except (errors.Unavailable, KeyboardInterrupt):
        office.output.hint(CUT_OFF)
        raise
    office.output.show(counts, sync.imported)
