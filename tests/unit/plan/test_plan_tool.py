"""The MCP tool `plan` returns the created items and hints."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from support.builders import Bench
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors
from taskorch.domain.item import EditedItem, State
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolResult
from taskorch.queue.fields import Damage
from taskorch.queue.plan import AppliedPlan
from taskorch.queue.requests import Requests
from taskorch_orchestrator import mcp_tools


@dataclass(frozen=True)
class OnBench:
    """A tool call on a bench."""

    bench: Bench
    settings: Settings
    requests: Requests = field(default_factory=Requests)

    @property
    def connection(self) -> object:
        return self.bench.queue._scripts.connection

    @property
    def files(self) -> Settings:
        return self.settings

    @property
    def damage(self) -> Damage:
        return self.bench.queue.damage


@pytest.fixture
def call(bench: Bench, tmp_path: Path) -> ToolCall:
    settings = resolve(
        {"namespace": bench.namespace},
        {"TASKORCH_ROOT": str(tmp_path)},
        tmp_path,
    )
    return cast("ToolCall", OnBench(bench, settings))


def planned(
    call: ToolCall, title: str = "A", *, update: bool = False
) -> ToolResult:
    return mcp_tools.PlanArguments(
        project="P",
        key="k",
        items=[{"name": "a", "title": title, "agent": "ada"}],
        update=update,
    ).perform(call)


def test_plan_tool_updates_only_if_asked_to(
    bench: Bench, call: ToolCall
) -> None:
    first = cast("AppliedPlan", planned(call).data)
    item = first.items[0].id

    planned(call, "B")
    kept = bench.queue.views.show(item).item.title
    planned(call, "B", update=True)

    assert (kept, bench.queue.views.show(item).item.title) == ("A", "B")


def test_edit_tool_changes_items(bench: Bench, call: ToolCall) -> None:
    first = bench.item(agent="bob")
    item = bench.item(depends_on=(first,), labels=("old",))

    edited = mcp_tools.EditArguments(
        items=(item,),
        title="T",
        description="",
        requirements=("One",),
        accept=("Tested",),
        priority=0,
        context={"a": "b"},
        label=("new",),
        unlabel=("old",),
        undepend=(first,),
    ).perform(call)

    found = bench.queue.views.show(item).item
    assert cast("EditedItem", edited.data).state is State.QUEUED
    assert (found.title, found.requirements, found.criteria) == (
        "T",
        ("One",),
        ("Tested",),
    )
    assert (found.priority, found.context, found.labels) == (
        0,
        {"a": "b"},
        ("new",),
    )
    assert found.depends_on == ()


def test_edit_tool_needs_something_to_change(
    bench: Bench, call: ToolCall
) -> None:
    with pytest.raises(errors.Usage):
        mcp_tools.EditArguments(items=(bench.item(),)).perform(call)


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_plan_tool_names_dead_items(
    bench: Bench, call: ToolCall, state: State
) -> None:
    first = cast("AppliedPlan", planned(call).data)
    bench.bring_to(first.items[0].id, state)

    again = planned(call)

    (item,) = cast("AppliedPlan", again.data).items
    assert (item.created, item.state, item.id) == (
        False,
        state,
        first.items[0].id,
    )
    (hint,) = cast("list[str]", again.meta["hints"])
    assert hint.startswith(
        f"a: {item.id} has this key already and is {state}: nothing was created."
    )


def test_plan_tool_reports_time_without_zone(call: ToolCall) -> None:
    item = {"name": "a", "title": "A", "not_before": "2027-01-01 12:00"}

    plan = mcp_tools.PlanArguments(project="P", key="k", items=[item])
    result = plan.perform(call)

    (hint,) = cast("list[str]", result.meta["hints"])
    assert (
        "2027-01-01 12:00 has no time zone. It is read as 2027-01-01T" in hint
    )


def test_status_tool_lists_items_by_filters(
    bench: Bench, call: ToolCall
) -> None:
    item = bench.item(labels=("api",), title="Login", priority=1)
    bench.item(labels=("api",), agent="bob")

    found = mcp_tools.StatusArguments(
        of="items",
        label=("api",),
        agent=("ada",),
        state=("queued",),
        priority=(1,),
        grep="login",
        since="1h",
        sort="changed",
    ).perform(call)

    rows = cast("list[dict[str, str]]", found.data)
    assert [row["id"] for row in rows] == [item]
    with pytest.raises(errors.Usage):
        mcp_tools.StatusArguments(of="items", state=("busy",)).perform(call)


def test_plan_tool_notices_new_agents(bench: Bench, call: ToolCall) -> None:
    bench.agent("adda").check()

    first, again = planned(call), planned(call)

    remark = "No agent named ada has called yet. Did you mean adda?"
    assert remark in str(first.meta["hints"])
    assert remark not in str(again.meta)
