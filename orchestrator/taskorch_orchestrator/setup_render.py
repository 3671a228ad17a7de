"""What `orchestrate setup` prints: each file with what became of it, and what is left for a person to do."""

import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec

from taskorch.plain_text import line

from taskorch_orchestrator.installation import ToolFile


def files(told: Sequence[ToolFile]) -> str:
    """Return a line for each file."""
    return "\n".join(f"{each.status:11}  {line(each.file)}" for each in told)


def hints(tool: str) -> Iterator[str]:
    """Return what is missing on this machine, and what the tool asks for."""
    for name in ("worker", "orchestrate"):
        if shutil.which(name) is None:
            yield f"The tool will not find `{name}`: it is not on the PATH of this shell."
    if find_spec("mcp") is None:
        yield "The MCP servers need the package mcp: pip install 'task-orchestrator[mcp]'"
    if tool == "codex":
        yield "Codex asks you to trust the project and its hooks: /hooks shows them."
