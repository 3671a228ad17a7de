"""The results of the tools of `orchestrate mcp`, as short as an agent needs them."""

from typing import TYPE_CHECKING, Any, cast

from taskorch.cli.json_output import Json, plain
from taskorch.mcp.brief import REPORT_LENGTH, cut, row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.domain.item import (
        CompletedProject,
        Item,
        ProjectProgress,
    )

    from taskorch_orchestrator.actions import WaitOutcome

#: The fields of a project that its orchestrator knows or does not need.
KNOWN = ("orchestrator", "created_at", "completed_at")
#: What an item has delivered; a list of items leaves it out.
DELIVERED = ("summary", "deliverables", "links")
#: States of which the newest report is shown.
AT_WORK = ("in_progress", "blocked")


def progress(found: "ProjectProgress") -> dict[str, Json]:
    """Return a project, its items by state, and the news of those at work."""
    shown = _object(found)
    reports = shown.pop("last_reports")
    items: dict[str, list[Json]] = {}
    for item in found.items:
        each = row(_object(item), without=("state", *DELIVERED))
        if item.state in AT_WORK and item.id in reports:
            each["last_report"] = cut(reports[item.id]["text"], REPORT_LENGTH)
        items.setdefault(item.state.value, []).append(each)
    left = sum(found.project.counts.values()) - len(found.items)
    shown |= {"items": items, "not_shown": left}
    return _without_known(shown)


def completed(found: "CompletedProject") -> dict[str, Json]:
    """Return a project with what each of its items has delivered."""
    shown = _object(found)
    del shown["last_reports"]
    return _without_known(shown)


def items(found: "Sequence[Item]", project: str) -> list[Json]:
    """Return items as rows, with their project if it is not the one that was asked for."""
    shown: list[Json] = []
    for item in found:
        of_another = item.project != project
        shown.append(
            {
                **row(_object(item), without=DELIVERED),
                "project": item.project if of_another else "",
            }
        )
    return shown


def waited(found: "WaitOutcome") -> dict[str, Json]:
    """Return what a wait has reached, and what needs the orchestrator."""
    shown = _object(found)
    shown["project"] = _without_known(shown["project"])
    return shown


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", plain(value))


def _without_known(project: dict[str, Any]) -> dict[str, Json]:
    return {
        name: member for name, member in project.items() if name not in KNOWN
    }
