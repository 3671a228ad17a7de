"""What `orchestrate setup` prints: each file with what became of it, and what is left for a person to do."""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from taskorch.cli.text import line
from taskorch.mcp.extras import MCP, how_to_install

from taskorch_orchestrator.setup.install import ProgramFile


def files(told: Sequence[ProgramFile]) -> str:
    """Return a line for each file."""
    return "\n".join(f"{each.status:11}  {line(each.file)}" for each in told)


def hints(program: str, top: Path, root: Path) -> Iterator[str]:
    """Return whose files these are, whose queue is theirs, what this machine lacks, and what the program asks for."""
    yield f"These are the files of {top}" + (
        f"; its queue is that of {root}." if root != top else "."
    )
    for name in ("worker", "orchestrate"):
        if shutil.which(name) is None:
            yield f"The program will not find `{name}`: it is not on the PATH of this shell."
    if find_spec("mcp") is None:
        yield f"The MCP servers need the Python package mcp. Install it: {how_to_install(MCP)}"
    if program == "codex":
        yield "Codex asks you to trust the project and its hooks: /hooks shows them."


def lost_parts(
    told: Sequence[ProgramFile], others: Mapping[str, Collection[Path]]
) -> Iterator[str]:
    """Return which files another program reads, too, so that it has lost its part of them."""
    for each in told:
        for other, files in others.items():
            if each.status != "unchanged" and Path(each.file).resolve() in files:
                yield f"{each.file} is a file of {other}, too: if that is to have its part, set it up again."
