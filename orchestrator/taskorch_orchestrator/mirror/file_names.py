"""The names of the files in `handoffs/`, and whose files they are."""

import re

PROGRESS, DISCOVERIES, COMPLETION = "progress", "discoveries", "completion"
#: The kinds of report files of an item.
KINDS = (PROGRESS, DISCOVERIES, COMPLETION)
#: Every file that the mirror keeps, but for the pending files.
MIRRORED_FILE = re.compile(
    r"(?P<owner>(?:item|proj)_[0-9a-z]{1,32})"
    r"_(?P<kind>handoff|progress|discoveries|completion|context)\.(?:json|yaml)"
)
PENDING_FILE = re.compile(r"pending_.+\.txt")
ITEM_ID = re.compile(r"item_[0-9a-z]{1,32}")


def handoff(item: str) -> str:
    """Return the name of the handoff of an item."""
    return f"{item}_handoff.json"


def report(item: str, kind: str) -> str:
    """Return the name of one of an item's report files."""
    return f"{item}_{kind}.json"


def of_item(item: str) -> list[str]:
    """Return the names of all files of an item."""
    reports = [report(item, kind) for kind in KINDS]
    return [handoff(item), *reports]


def context(project: str) -> str:
    """Return the name of the context file of a project."""
    return f"{project}_context.yaml"


def pending(agent: str) -> str:
    """Return the name of the file that lists the new items of an agent."""
    return f"pending_{agent}.txt"


def owner(name: str) -> str:
    """Return the item or project that a mirrored file belongs to."""
    prefix, id_, _ = name.split("_", 2)
    return f"{prefix}_{id_}"


def kind(name: str) -> str:
    """Return the kind of a mirrored file, such as "progress"."""
    match = MIRRORED_FILE.fullmatch(name)
    return match["kind"] if match else ""


def is_item(id_: str) -> bool:
    """Return whether an id is that of an item, not of a project."""
    return id_.startswith("item_")
