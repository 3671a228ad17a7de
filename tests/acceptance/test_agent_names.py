"""Names of agents: never like an id, and noticed when they are new."""

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.tool_client import run_async
from taskorch.domain.item import NewItem, State

LIKE_IDS = ("item_1a2b3c4d", "proj_1a2b", "item_a")
NAMES = ("item_writer", "project_lead", "items", "item_1a2b_checker")


@pytest.mark.parametrize("name", LIKE_IDS)
def test_item_in_place_of_agent_is_refused(
    shell: Shell, bench: Bench, name: str
) -> None:
    item = bench.item(agent="")

    ran = shell.orchestrate("assign", item, name)

    assert ran.code == 5
    assert ran.stderr.splitlines() == [
        f"Error: {name} looks like an id, so it cannot be the name of an agent.",
        "  Put an agent after the items: orchestrate assign ITEM AGENT",
    ]
    assert bench.state(item) is State.PENDING
    assert bench.queue.views.agents() == ()


def test_name_like_an_id_is_refused_everywhere(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    plan = "project: P\nitems: [{name: a, title: A, agent: item_1a2b}]"

    created = shell.orchestrate(
        "create", project, "x", "--assign", "item_1a2b"
    )
    planned = shell.orchestrate("apply", "-", stdin=plan.encode())
    worked = shell.having(AGENT_ID="item_1a2b").worker("check")

    assert (created.code, planned.code, worked.code) == (5, 5, 5)
    assert "looks like an id" in planned.stderr
    assert worked.stderr.splitlines() == [
        "Error: item_1a2b looks like an id, so it cannot be the name of an agent.",
        "  Set AGENT_ID to a name such as database_specialist.",
    ]
    assert bench.queue.views.list().items == ()


def test_tool_refuses_agent_like_an_id(shell: Shell, bench: Bench) -> None:
    item = bench.item(agent="")

    async def test() -> None:
        async with tool_client.orchestrate(
            shell.lacking("AGENT_ID")
        ) as client:
            error = await client.error(
                "assign", items=[item], agent="item_1a2b"
            )
            assert error["code"] == "NOT_A_NAME"

    run_async(test)
    assert bench.state(item) is State.PENDING


@pytest.mark.parametrize("name", NAMES)
def test_names_that_begin_like_ids_are_allowed(
    shell: Shell, bench: Bench, name: str
) -> None:
    item = bench.item(agent="")

    ran = shell.orchestrate("assign", item, name)

    assert ran.code == 0
    assert bench.queue.views.show(item).item.agent == name


def test_imported_item_keeps_agent_like_an_id(bench: Bench) -> None:
    new = NewItem(title="x", id="item_7fed0001", agent="item_1a2b")

    item = bench.queue.create(bench.project(), new)

    assert bench.queue.views.show(item).item.agent == "item_1a2b"
    assert bench.queue.views.list(agent="item_1a2b").items[0].id == item


def test_new_agent_is_noticed_with_close_names(
    shell: Shell, bench: Bench
) -> None:
    first, second, third = (bench.item(agent="") for _ in range(3))
    bench.agent("database_specialist").check()

    slip = shell.orchestrate("assign", first, "databse_specialist")
    again = shell.orchestrate("assign", second, "databse_specialist")
    known = shell.orchestrate("assign", third, "database_specialist")

    assert slip.stderr == (
        "No agent named databse_specialist has called yet. "
        "Did you mean database_specialist?\n"
    )
    assert slip.stdout.startswith(f"Assigned {first} to databse_specialist.")
    assert (again.stderr, known.stderr) == ("", "")


def test_new_agent_is_in_json(shell: Shell, bench: Bench) -> None:
    bench.agent("writer").check()
    words = ("assign", bench.item(agent=""), "writter", "--json")

    ran = shell.orchestrate(*words)

    assert ran.stderr == ""
    assert ran.json()["meta"] == {
        "hints": [
            "No agent named writter has called yet. Did you mean writer?"
        ]
    }
    assert set(ran.data()) == {
        "id",
        "project",
        "agent",
        "state",
        "previous",
        "pool",
        "previous_pool",
        "handoff",
    }


def test_new_agent_of_created_item_is_noticed(
    shell: Shell, bench: Bench
) -> None:
    bench.agent("writer").check()
    bench.agent("editor").check()
    words = ("create", bench.project(), "A chapter", "--assign")

    slip = shell.orchestrate(*words, "writter")
    again = shell.orchestrate(*words, "writter")
    document = shell.orchestrate("--json", *words, "edittor").json()
    known = shell.orchestrate("--json", *words, "editor").json()

    remark = "No agent named {} has called yet. Did you mean {}?"
    assert (slip.code, slip.stderr.rstrip()) == (
        0,
        remark.format("writter", "writer"),
    )
    assert again.stderr == ""
    assert document["meta"]["hint"] == remark.format("edittor", "editor")
    assert known["meta"] == {}


def test_new_agents_of_a_plan_are_noticed(shell: Shell, bench: Bench) -> None:
    bench.agent("writer").check()
    plan = b"""
project: A book
key: book
items:
  - {name: a, title: A, agent: writter}
  - {name: b, title: B, agent: writter}
  - {name: c, title: C, agent: reviewer}
"""

    tried = shell.orchestrate("apply", "-", "--dry-run", stdin=plan)
    first = shell.orchestrate("--json", "apply", "-", stdin=plan).json()
    again = shell.orchestrate("--json", "apply", "-", stdin=plan).json()

    # nothing is similar to reviewer
    remarks = ["No agent named writter has called yet. Did you mean writer?"]
    assert set(remarks) <= set(tried.stderr.splitlines())
    assert "reviewer has called" not in tried.stderr
    assert first["meta"] == {"hints": remarks}
    assert "new_agents" not in first["data"]
    assert again["meta"] == {}


def test_numbered_sibling_is_not_suggested(shell: Shell, bench: Bench) -> None:
    bench.agent("agent_1").check()

    ran = shell.orchestrate("assign", bench.item(agent=""), "agent_2")

    assert ran.stderr == "No agent named agent_2 has called yet.\n"
