"""The output of `import` for the file of another tracker, for people."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from taskorch.cli.text import counted, line

if TYPE_CHECKING:
    from taskorch_orchestrator.trackers.tracker_import import ImportedFile

#: Remarks that are printed; --json has all of them.
REMARKS_SHOWN = 20


def imported(result: "ImportedFile") -> str:
    """Return a line for each project, and one for what was left out; "" for nothing."""
    rows = []
    for each in result.projects:
        new = counted(each.created, "new item", "new items")
        rows.append(
            f"{each.id or 'New project'} {line(each.title)}: {new}, "
            f"{each.existing} existing"
        )
    if rows and (result.done or result.cancelled):
        rows.append(
            f"Left out: {result.done} done, {result.cancelled} cancelled"
        )
    return "\n".join(rows)


def remarks(result: "ImportedFile") -> Iterator[str]:
    """Yield what has no place here, and what was changed."""
    if result.left_out:
        named = [
            f"{line(name)} ({number})"
            for name, number in result.left_out.items()
        ]
        yield f"No place for: {', '.join(named)}."
    yield from map(line, result.remarks[:REMARKS_SHOWN])
    left = len(result.remarks) - REMARKS_SHOWN
    if left > 0:
        yield f"… and {left} more remarks."
