"""What a model pays for the results of tools, and what they say to it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.tool_client import McpClient, document_of, run_async
from taskorch.domain import limits
from taskorch_orchestrator import mcp_tools as of_the_orchestrator
from taskorch_worker import mcp_tools as of_the_worker

#: Characters of a token.
TOKEN = 4


@dataclass
class Meter:
    """A client that counts the tokens of arguments and results."""

    client: McpClient
    tokens: dict[str, float] = field(default_factory=dict)

    async def call(self, tool: str, **arguments: Any) -> Any:
        """Return the data of a call, and add its tokens to those of the tool."""
        result = await self.client.session.call_tool(tool, arguments)
        document = document_of(result)
        assert not result.is_error, document
        given = len(json.dumps(arguments))
        shown = len(result.model_dump_json(by_alias=True, exclude_unset=True))
        self.tokens[tool] = self.tokens.get(tool, 0) + (given + shown) / TOKEN
        return document["data"]


def plan(queued: int, waiting: int) -> Mapping[str, Any]:
    """Return the arguments of a plan, with items as people write them."""
    items: list[dict[str, Any]] = [
        {
            "name": f"module{number}",
            "title": f"Write the module number {number}",
            "description": "As the design says, with its errors.",
            "requirements": ["Tests for each function", "Types"],
            "agent": "ada",
        }
        for number in range(queued)
    ]
    items += [
        {
            "name": f"docs{number}",
            "title": f"Describe the module number {number}",
            "agent": "bob",
            "depends_on": [f"module{number}"],
        }
        for number in range(waiting)
    ]
    return {"project": "Build it", "items": items}


def test_lists_of_items_cost_few_tokens(shell: Shell) -> None:
    async def test() -> None:
        async with (
            tool_client.orchestrate(shell) as boss,
            tool_client.worker(shell) as ada,
        ):
            planned = await boss.data("plan", **plan(queued=20, waiting=6))
            of_boss, of_ada = Meter(boss), Meter(ada)
            assigned = await of_ada.call("check")
            project = await of_boss.call("status", of=planned["project"])
            listed = Meter(boss)
            rows = await listed.call(
                "status", of="items", project=planned["project"]
            )
            waited = Meter(boss)
            await boss.call("wait", id=planned["project"], timeout=0)
            question = await ada.data("pop")
            await ada.data(
                "report", item=question["id"], kind="blocker", text="Which?"
            )
            reached = await waited.call(
                "wait", id=planned["project"], until=["blocked"]
            )

        assert of_ada.tokens["check"] < 400
        assert of_boss.tokens["status"] < 700
        assert listed.tokens["status"] < 800
        assert waited.tokens["wait"] < 200
        assert len(assigned["queued"]) == assigned["count"] == 20
        assert assigned["queued"][7] == {
            "id": planned["items"][7]["id"],
            "title": "Write the module number 7",
        }
        assert {
            state: len(items) for state, items in project["items"].items()
        } == {"queued": 20, "waiting": 6}
        assert project["items"]["waiting"][0] == {
            "id": planned["items"][20]["id"],
            "title": "Describe the module number 0",
            "agent": "bob",
        }
        assert rows[0] == {
            "id": planned["items"][0]["id"],
            "title": "Write the module number 0",
            "state": "queued",
            "agent": "ada",
        }
        assert [
            item["questions"][0]["text"] for item in reached["blocked"]
        ] == ["Which?"]

    run_async(test)


def test_cycle_of_an_item_costs_few_tokens(shell: Shell) -> None:
    async def test() -> None:
        async with (
            tool_client.orchestrate(shell) as boss,
            tool_client.worker(shell) as ada,
        ):
            await boss.data("plan", **plan(queued=2, waiting=1))
            meter = Meter(ada)
            item = (await meter.call("pop"))["id"]
            await meter.call(
                "report",
                item=item,
                kind="progress",
                text="The tables are written and tested",
                percent=50,
            )
            await meter.call(
                "report",
                item=item,
                kind="progress",
                text="The endpoints are written",
                percent=90,
            )
            await meter.call(
                "report",
                item=item,
                kind="discover",
                text="The users table lacks an index on email",
                impact="Logins are slow",
            )
            done = await meter.call(
                "complete",
                item=item,
                summary="Wrote the module with 12 tests",
                deliverables={"branch": "work/module0"},
            )

        assert done == {"id": item, "state": "completed"}
        assert sum(meter.tokens.values()) < 450, meter.tokens

    run_async(test)


def test_claimed_item_says_all_its_holder_needs(
    shell: Shell, bench: Bench
) -> None:
    first = bench.item(title="First")
    shell.worker(
        "complete", first, "Done", "--deliverable", "branch=work/first"
    )
    item = bench.item(
        title="Second",
        description="All of it",
        requirements=("Tests",),
        context={"style": "REST"},
        criteria=("It runs",),
        deliverables_expected=("report",),
        depends_on=(first,),
    )

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            claimed = await ada.data("get", item=item)

        (dependency,) = claimed.pop("dependencies")
        assert dependency["summary"] == "Done"
        assert dependency["deliverables"] == {"branch": "work/first"}
        assert claimed.pop("lease_expires_at")
        assert claimed.pop("project").startswith("proj_")
        assert claimed == {
            "id": item,
            "title": "Second",
            "description": "All of it",
            "requirements": ["Tests"],
            "context": {"style": "REST"},
            "criteria": ["It runs"],
            "deliverables_expected": ["report"],
            "priority": 2,
            "state": "in_progress",
            "attempts": 1,
            "max_attempts": 3,
            "project_context": {"title": "A project"},
        }

    run_async(test)


def test_check_separates_held_items_from_queued_ones(
    shell: Shell, bench: Bench
) -> None:
    held, queued = bench.item(title="Held"), bench.item(title="Queued")
    shell.worker("get", held)
    other = shell.having(AGENT_SESSION="second")

    async def test() -> None:
        async with (
            tool_client.worker(shell) as ada,
            tool_client.worker(other) as second,
        ):
            await ada.data(
                "report", item=held, kind="progress", text="Half", percent=50
            )
            of_ada = await ada.data("check")
            of_second = await second.data("check", limit=1)

        row = {
            "id": held,
            "title": "Held",
            "state": "in_progress",
            "percent": 50,
        }
        assert of_ada == {
            "count": 2,
            "held": [row],
            "queued": [{"id": queued, "title": "Queued"}],
        }
        assert of_second == {
            "count": 2,
            "held": [{**row, "by": "another session of yours"}],
            "not_shown": 1,
        }

    run_async(test)


def test_project_shows_news_of_items_at_work(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(title="x" * 200)

    async def test() -> None:
        async with (
            tool_client.orchestrate(shell) as boss,
            tool_client.worker(shell) as ada,
        ):
            project = (await ada.data("get", item=item))["project"]
            await ada.data(
                "report", item=item, kind="progress", text="y" * 200
            )
            shown = await boss.data("status", of=project)
            await ada.data("complete", item=item, summary="z" * 200)
            after = await boss.data("status", of=project)
            closed = await boss.data("complete", project=project)

        (row,) = shown["items"]["in_progress"]
        assert row["title"] == "x" * 120 + "…"
        assert row["last_report"] == "y" * 100 + "…"
        assert "summary" not in after["items"]["completed"][0]
        assert closed["items"][0]["summary"] == "z" * 200

    run_async(test)


def test_hints_name_tools_in_place_of_commands(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    async def test() -> None:
        async with (
            tool_client.orchestrate(shell) as boss,
            tool_client.worker(shell) as ada,
        ):
            await ada.data("get", item=item)
            project = (await boss.data("status", of=item))["project"]
            nothing = await ada.error("pop")
            still_open = await boss.error("complete", project=project)
            over = await boss.error(
                "wait", id=project, until=["any"], timeout=0
            )
            await ada.data("report", item=item, kind="blocker", text="Which?")
            (stuck,) = await boss.data("status", of="stuck")
            await ada.data("fail", item=item, reason="no luck", retry=False)
            dead = await ada.error(
                "report", item=item, kind="progress", text="x"
            )

        assert dead["hint"] == "Take other work: the tool pop"
        assert nothing["hint"] == "Wait for work: the tool pop with wait=100"
        assert still_open["hint"] == (
            f"the tool status with of={project} lists them. To cancel them and "
            f"complete the project: the tool mend with verb=complete, item={project}"
        )
        assert over["hint"].startswith(
            "To keep waiting, call this tool again with since="
        )
        assert stuck["command"] == (
            f"the tool answer with item={item}, text=TEXT"
        )
        for one in (nothing, still_open, over, stuck, dead):
            said = f"{one.get('hint')} {one.get('command')}"
            assert "orchestrate " not in said
            assert "worker " not in said
            assert "--" not in said

    run_async(test)


def test_waits_of_tools_end_before_programs_do() -> None:
    waits = (
        of_the_worker.WaitArguments.timeout,
        of_the_orchestrator.WaitUntilArguments.timeout,
    )

    assert set(waits) == {limits.SHORT_WAIT_S}
    assert limits.SHORT_WAIT_S <= 100
