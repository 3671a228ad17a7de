"""What commands that make a step print for people."""

from taskorch.domain.item import Assignment, State
from taskorch_orchestrator.actions import AssignedItem
from taskorch_orchestrator.render import steps


def test_path_of_handoff_forges_no_line() -> None:
    made = Assignment(
        id="item_1a2b3c4d",
        project="proj_1a2b3c4d",
        agent="ada",
        state=State.QUEUED,
        previous="",
    )

    shown = steps.assignment(
        AssignedItem(assignment=made, handoff="/a\nb\x1b[2J/handoffs/x.json")
    )

    assert shown.splitlines() == [
        "Assigned item_1a2b3c4d to ada.",
        (
            "Handoff package: /a\\nb\\x1b[2J/handoffs/x.json"
            " (printed by: orchestrate show item_1a2b3c4d --handoff)"
        ),
    ]
