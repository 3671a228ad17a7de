"""Items for the runs of an agent program, and what a run leaves."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from programs.checkout import Checkout


def new_items(checkout: Checkout, *titles: str) -> Sequence[str]:
    """Create items for ada, with one attempt each, and return them."""
    project = checkout.orchestrate("project", "Shop").stdout.strip()
    return [
        checkout.orchestrate(
            "create", project, title, "--assign", "ada", "--max-attempts", "1"
        ).stdout.strip()
        for title in titles
    ]


def shown(checkout: Checkout, item: str) -> dict[str, Any]:
    """Return an item, as `orchestrate show` has it."""
    data: dict[str, Any] = checkout.orchestrate("show", item, "--json").data()
    return data


def worktrees(checkout: Checkout) -> Sequence[str]:
    """Return the names of the worktrees that are left."""
    folder = checkout.folder / ".task-orchestrator" / "worktrees"
    return sorted(each.name for each in folder.glob("item_*") if each.is_dir())


def processes(mark: str) -> Sequence[str]:
    """Return the command lines of the processes with a variable."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if mark.encode() in variables:
                words = (process / "cmdline").read_bytes().split(b"\0")
                found.append(b" ".join(words).decode(errors="replace"))
    return found
