"""What the tools of `worker mcp` return, as short as an agent needs it."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

from taskorch.cli.json_output import Json, plain
from taskorch.mcp.brief import row

if TYPE_CHECKING:
    from taskorch.domain.item import Assignments, Claim, Item, Receipt
    from taskorch.queue.wait_results import Answered

#: The fields of a claimed item that its holder knows or does not need.
KNOWN = frozenset((
    "agent", "holder", "percent", "assigned_by", "created_at", "assigned_at", "started_at", "completed_at",
    "depends_on",
))  # fmt: skip
#: The same of the project of an item, and of a report.
KNOWN_OF_PROJECT = frozenset((
    "id", "counts", "orchestrator", "created_at", "completed_at", "status",
))  # fmt: skip
#: The same of an item in review.
KNOWN_OF_REVIEW = frozenset((
    "id", "holder", "percent", "created_at", "assigned_at", "started_at", "completed_at", "depends_on", "state",
    "max_attempts", "lease_expires_at", "questions",
))  # fmt: skip
KNOWN_OF_REPORT = frozenset(("id", "attempt", "changes"))


def assignments(
    assigned: "Assignments", elsewhere: Collection[str]
) -> dict[str, Json]:
    """Return the assigned items: those the agent holds, and those that are ready.

    Those `elsewhere` are held by other sessions of the agent.
    """
    held: list[Json] = []
    queued: list[Json] = []
    for item in assigned.items:
        shown = row(_object(item), without=("agent",))
        if not item.holder:
            del shown["state"]
            queued.append(shown)
        elif item.id in elsewhere:
            held.append({**shown, "by": "another session of yours"})
        else:
            held.append(shown)
    return {
        "count": assigned.count,
        "held": held,
        "queued": queued,
        "not_shown": assigned.count - len(assigned.items),
        "not_ready": assigned.later,
        **({"pools": dict(assigned.pools)} if assigned.pools else {}),
    }


def claim(taken: "Claim") -> dict[str, Json]:
    """Return an item in full, for its holder."""
    found = _object(taken)
    left_out = found.pop("left_out")
    if any(left_out.values()):
        found["left_out"] = left_out
    return {
        **_without(found, KNOWN),
        "project_context": _without(
            found["project_context"], KNOWN_OF_PROJECT
        ),
        "history": _reports(found["history"]),
    }


def receipt(done: "Receipt") -> dict[str, Json]:
    """Return the item after a step, with the next one if the step has claimed it."""
    found = _object(done)
    found["comments"] = _reports(found["comments"])
    following = getattr(done, "next", None)
    return {**found, "next": claim(following)} if following else found


def reviews(waiting: "Sequence[Item]") -> list[Json]:
    """Return items in review with what was asked and what was delivered.

    A list of items would lack that, so each is the `review` of its id.
    """
    return [
        {"review": item.id, **_without(_object(item), KNOWN_OF_REVIEW)}
        for item in waiting
    ]


def answered(done: "Answered") -> dict[str, Json]:
    """Return the answers, the comments, and what the wait has found of the item."""
    whole = _object(done)
    found = row(whole, without=("agent", "questions", "percent"))
    del found["title"]
    for name in ("answers", "comments"):
        found[name] = _reports(whole[name])
    return found


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", plain(value))


def _without(value: dict[str, Any], names: Collection[str]) -> dict[str, Json]:
    return {
        name: member for name, member in value.items() if name not in names
    }


def _reports(reports: list[dict[str, Any]]) -> list[Json]:
    return [_without(report, KNOWN_OF_REPORT) for report in reports]
