"""Which file of the archive has an item or a project.

.task-orchestrator/archive/items.txt    a line for each archived item: <item> <file>

The name of a file begins with its project.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path

from taskorch.config import files

#: The folder of the archive in a .task-orchestrator.
NAME = "archive"
SUFFIX = ".jsonl.gz"
INDEX = "items.txt"


def add(folder: Path, file: str, items: Iterable[str]) -> None:
    """Note that a file of the archive in `folder` has these items. Raises OSError."""
    lines = "".join(f"{item} {file}\n" for item in sorted(items))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    with os.fdopen(files.open_private(folder / INDEX, flags), "ab") as index:
        # A process that was killed may have left a line without its end.
        index.write(f"\n{lines}".encode())


def find(home: Path, id_: str) -> Path | None:
    """Return the newest archive of an item or a project in `home`, if there is one.

    `home` is the folder .task-orchestrator.
    """
    folder = home / NAME
    is_item = id_.startswith("item_")
    names = _of_item(folder, id_) if is_item else _of_project(folder, id_)
    for name in names:
        file = folder / name
        if "/" not in name and file.is_file():
            return file
    return None


def _of_project(folder: Path, project: str) -> Iterable[str]:
    names = [file.name for file in folder.glob(f"*{SUFFIX}")]
    return sorted(
        (name for name in names if name.startswith(f"{project}-")),
        reverse=True,
    )


def _of_item(folder: Path, item: str) -> Iterator[str]:
    """Yield the files that have an item, the newest first."""
    # mmap refuses an empty file
    with (
        suppress(OSError, ValueError),
        (folder / INDEX).open("rb") as opened,
        mmap(opened.fileno(), 0, access=ACCESS_READ) as index,
    ):
        begin = f"\n{item} ".encode(errors="replace")
        place = index.rfind(begin)
        while place >= 0:
            start = place + len(begin)
            end = index.find(b"\n", start)
            if end >= 0:
                yield index[start:end].decode(errors="replace")
            place = index.rfind(begin, 0, place)
