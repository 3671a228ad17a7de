"""A plan on the board: what it would create, and where its mistakes are."""

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.queue.plan import Plan
from taskorch_gateway.board import new_project
from taskorch_gateway.board.new_project import CheckedPlan
from taskorch_orchestrator.plan import plan_file

PLAN = new_project.EXAMPLE


def checked(bench: Bench, text: str) -> CheckedPlan:
    plan: Plan = plan_file.read("This", text.encode())
    applied = bench.queue.apply(plan, dry_run=True)
    return CheckedPlan(plan=plan, applied=applied, hints=())


def test_example_of_a_plan_is_valid(bench: Bench) -> None:
    found = checked(bench, PLAN)

    assert found.new == 3
    assert [(row.item.key, row.after) for row in found.rows] == [
        ("schema", ()),
        ("api", ("schema",)),
        ("docs", ("api",)),
    ]
    assert bench.queue.views.projects() == ()


def test_plan_is_drawn_before_it_exists(bench: Bench) -> None:
    graph = new_project.graph_of(checked(bench, PLAN))

    shown = [(item.title, item.sub, item.mark.glyph) for item in graph.items]
    assert shown == [
        ("Design database schema", "database_specialist", "queued"),
        ("Implement the API", "backend_developer", "wait"),
        ("Write the documentation", "no agent", "pending"),
    ]
    assert [item.id for item in graph.items] == ["", "", ""]
    assert len(graph.lines) == 2


def test_plan_names_the_pools_of_items(bench: Bench) -> None:
    plan = PLAN.replace("agent: database_specialist", "pool: backend")
    plan = plan.replace("agent: backend_developer", "pool: backend")

    graph = new_project.graph_of(checked(bench, plan))

    assert [(item.sub, item.mark.glyph) for item in graph.items] == [
        ("pool backend", "queued"),
        ("pool backend", "wait"),
        ("no agent", "pending"),
    ]


def test_second_check_tells_what_changes(bench: Bench) -> None:
    plan = plan_file.read("This", f"key: auth\n{PLAN}".encode())
    bench.queue.apply(plan)
    changed = PLAN.replace("Implement the API", "Write a small API")
    more = f"{changed}  - name: more\n    title: More\n"

    found = checked(bench, f"key: auth\n{more}")

    assert (found.new, found.changed) == (1, 0)


def test_mistakes_have_their_lines() -> None:
    wrong = PLAN.replace("title: Implement", "titel: Implement")
    with pytest.raises(errors.BadPlan) as refusal:
        plan_file.read("This", wrong.encode())

    mistakes = new_project.mistakes_of(refusal.value, wrong)

    line = wrong.split("\n").index("    titel: Implement the API") + 1
    assert line in [each.line for each in mistakes]
    (unknown,) = [
        each for each in mistakes if "Unknown" in " ".join(each.messages)
    ]
    assert unknown.lines == (
        (line - 1, "  - name: api", False),
        (line, "    titel: Implement the API", True),
        (line + 1, "    agent: backend_developer", False),
    )


@pytest.mark.parametrize("text", ["", "\n\n", "[", "a: b: c", "- 1", "{}"])
def test_text_that_is_no_plan_is_refused(text: str) -> None:
    with pytest.raises(errors.BadPlan) as refusal:
        plan_file.read("This", text.encode())

    for mistake in new_project.mistakes_of(refusal.value, text):
        assert mistake.messages
        assert all(number > 0 for number, _, _ in mistake.lines)
