"""Budgets, costs and pools over MCP, as an orchestrator without a shell uses them."""

from typing import Any

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.gateways import Gateway
from support.mcp_http import ORCHESTRATOR, RawClient
from support.tool_client import run_async


def test_budget_is_set_shown_and_removed(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    bench.item(project)

    async def test() -> None:
        async with (
            tool_client.orchestrate(shell) as boss,
            tool_client.worker(shell) as ada,
        ):
            (limited,) = await boss.data(
                "budget", owner=project, per="day", limit=0
            )
            refused = await ada.error("pop")
            (shown,) = await boss.data("status", of="budgets", project=project)
            none = await boss.data("status", of="budgets", agent=["ada"])
            left = await boss.document(
                "budget", owner=project, per="day", remove=True
            )
            claimed = await ada.data("pop")

        assert limited["owner"] == f"project:{project}"
        assert limited["period"] == "day"
        assert refused["code"] == "OVER_BUDGET"
        assert shown == limited
        assert none == []
        assert left["data"] == []
        assert claimed["project"] == project

    run_async(test)


def test_costs_are_shown_by_owner_and_kind(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    shell.worker(
        *("complete", item, "Done", "--cost", "0.25", "--tokens-in", "10"),
        *("--model", "large"),
    )

    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            of_all = await boss.data("status", of="costs")
            of_project = await boss.data("status", of="costs", project=project)
            of_ada = await boss.data("status", of="costs", agent=["ada"])
            by_model = await boss.data(
                "status", of="costs", project=project, by="model"
            )

        for costs in (of_all, of_project, of_ada, by_model):
            assert costs["total"]["cost_micros"] == 250_000
        assert [row["name"] for row in of_project["rows"]] == ["ada"]
        assert [row["name"] for row in by_model["rows"]] == ["large"]

    run_async(test)


#: Tool, arguments, the code of the error, and a part of its message.
MISTAKES: list[tuple[str, dict[str, Any], str, str]] = [
    ("budget", {"owner": "namespace", "per": "day"}, "USAGE", "or else remove"),
    ("budget", {"owner": "namespace", "per": "day", "limit": 1, "remove": True}, "USAGE", "or else remove"),
    ("budget", {"owner": "namespace", "per": "week", "limit": 1}, "USAGE", "per must be one of"),
    ("budget", {"owner": "namespace", "per": "day", "limit": -1}, "INVALID", ""),
    ("budget", {"owner": "proj_00000000", "per": "day", "limit": 1}, "NO_PROJECT", ""),
    ("budget", {"owner": "nobody", "per": "day", "limit": 1}, "NO_AGENT", ""),
    ("status", {"of": "costs", "by": "hour"}, "USAGE", "by must be one of"),
    ("status", {"of": "costs", "agent": ["ada", "bob"]}, "USAGE", "of one project or of one agent"),
    ("mend", {"item": "{item}", "verb": "assign"}, "USAGE", "Only assign takes agent or pool"),
    ("mend", {"item": "{item}", "verb": "assign", "agent": "a", "pool": "b"}, "INVALID", "name one of them"),
    ("mend", {"item": "{item}", "verb": "cancel", "pool": "b"}, "USAGE", "Only assign takes agent or pool"),
    ("delegate", {"title": "It"}, "USAGE", "an agent or a pool, not both"),
    ("delegate", {"title": "It", "agent": "a", "pool": "b"}, "USAGE", "an agent or a pool, not both"),
    ("delegate", {"title": "It", "agent": "../x"}, "INVALID", "is not a name for an agent"),
    ("delegate", {"title": "It", "agent": "a", "accept": [{"run": ["true"]}]}, "INVALID", "cannot fail"),
]  # fmt: skip


def test_mistakes_change_nothing(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            for tool, given, code, part in MISTAKES:
                named = {"item": item} if "item" in given else {}
                error = await boss.error(tool, **{**given, **named})
                assert error["code"] == code, (tool, given, error)
                assert part in error["message"], (tool, given, error)

    run_async(test)
    assert bench.queue.views.budgets() == ()
    assert len(bench.queue.views.projects()) == 1
    assert bench.queue.views.show(item).item.agent == "ada"


def test_held_item_is_taken_for_a_pool(shell: Shell, bench: Bench) -> None:
    item = bench.claimed(bench.item()).item

    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            await boss.data("mend", item=item, verb="assign", pool="backend")

    run_async(test)
    found = bench.queue.views.show(item).item
    assert (found.state, found.agent, found.pool) == ("queued", "", "backend")


def test_pool_does_a_delegated_item(shell: Shell, bench: Bench) -> None:
    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            document = await boss.document(
                "delegate",
                title="It",
                pool="backend",
                accept=["It reads well", {"review": "lead"}],
                timeout=0,
            )
        item = bench.queue.views.show(document["data"]["id"]).item
        assert item.pool == "backend"
        assert (item.criteria, item.reviewer) == (("It reads well",), "lead")

    run_async(test)


@pytest.mark.parametrize(
    ("role", "code"), [("orchestrator", None), ("viewer", "NOT_ALLOWED")]
)
def test_role_of_token_decides_over_http(
    gateway: Gateway, bench: Bench, role: str, code: str | None
) -> None:
    client = RawClient(gateway, ORCHESTRATOR, gateway.token("eve", role))
    plan = {"project": "Nightly", "items": [{"name": "a", "title": "A"}]}

    answers = [
        client.call("budget", owner="namespace", per="day", limit=5),
        client.call(
            "schedule", verb="add", schedule="n", plan=plan, cron="0 6 * * *"
        ),
    ]
    read = [
        client.call("status", of=name).document["data"]
        for name in ("budgets", "schedules")
    ]

    for answer in answers:
        assert answer.document.get("error", {}).get("code") == code
    assert [len(each) for each in read] == ([0, 0] if code else [1, 1])
    assert len(bench.queue.views.budgets()) == (0 if code else 1)
