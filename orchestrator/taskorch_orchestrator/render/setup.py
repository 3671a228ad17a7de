"""The output of `orchestrate setup`: the state of each file, and hints."""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from taskorch.cli.text import line

from taskorch_orchestrator.setup.install import ProgramFile


def files(changed: Sequence[ProgramFile]) -> str:
    """Return a line for each file."""
    return "\n".join(
        f"{file.status:11}  {line(file.file)}" for file in changed
    )


def hints(program: str, top: Path, root: Path, missing: str) -> Iterator[str]:
    """Yield whose files and queue these are, and what the user has to do.

    `missing` says which package the MCP server lacks, or is "".
    """
    if root == top:
        yield f"These are the files of {top}."
    else:
        yield f"These are the files of {top}; its queue is that of {root}."
    for name in ("worker", "orchestrate"):
        if shutil.which(name) is None:
            yield f"The program will not find `{name}`: it is not on the PATH of this shell."
    if missing:
        yield missing
    if program == "codex":
        yield "Codex asks you to trust the project and its hooks: /hooks shows them."


def lost_parts(
    removed: Sequence[ProgramFile], others: Mapping[str, Collection[Path]]
) -> Iterator[str]:
    """Yield the files that another program reads as well, and needs set up again."""
    for file in removed:
        for other, shared in others.items():
            if (
                file.status != "unchanged"
                and Path(file.file).resolve() in shared
            ):
                yield f"{file.file} is a file of {other} as well. If {other} needs it, set {other} up again."
