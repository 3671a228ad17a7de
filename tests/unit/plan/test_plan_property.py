"""Random plans without circular dependencies, written as YAML and applied."""

from itertools import pairwise
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.builders import Bench
from taskorch.domain.item import Item, State
from taskorch_orchestrator.plan import plan_file

pytestmark = pytest.mark.one_lane

#: Text that is not blank and that YAML can hold.
TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r\x85\ufeff"),
    min_size=1,
    max_size=30,
).filter(lambda text: bool(text.strip()))


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """Return a plan in random order; an item may need those that were drawn before it."""
    names = draw(st.lists(TEXT, min_size=1, max_size=8, unique=True))
    items = []
    for place, name in enumerate(names):
        item: dict[str, Any] = {"name": name, "title": draw(TEXT)}
        if place and draw(st.booleans()):
            item["depends_on"] = draw(
                st.lists(st.sampled_from(names[:place]), unique=True)
            )
        if draw(st.booleans()):
            item["agent"] = draw(st.sampled_from(["ada", "bob"]))
        if draw(st.booleans()):
            item["priority"] = str(draw(st.integers(0, 4)))
        if draw(st.booleans()):
            item["not_before"] = "1h"
        if draw(st.booleans()):
            item["context"] = draw(st.dictionaries(TEXT, TEXT, max_size=2))
        items.append(item)
    return {"project": draw(TEXT), "items": draw(st.permutations(items))}


def expected(item: dict[str, Any]) -> State:
    if "agent" not in item:
        return State.PENDING
    if item.get("depends_on"):
        return State.WAITING
    return State.DELAYED if "not_before" in item else State.QUEUED


@settings(
    max_examples=60, deadline=None, suppress_health_check=list(HealthCheck)
)
@given(plan=plans(), style=st.sampled_from([None, True, False]))
def test_applied_plan_matches_its_file(
    bench: Bench,
    plan: dict[str, Any],
    style: bool | None,  # noqa: FBT001
) -> None:
    written = yaml.safe_dump(
        plan,
        default_flow_style=style,
        allow_unicode=True,
        default_style='"',
        sort_keys=False,
    )

    applied = bench.queue.apply(plan_file.read("plan.yaml", written.encode()))

    found = {
        item.id: item
        for item in bench.queue.views.progress(applied.project).items
    }
    items: dict[str, Item] = {
        created.name: found[created.id] for created in applied.items
    }
    ids = {name: item.id for name, item in items.items()}
    assert (
        bench.queue.views.progress(applied.project).project.title
        == plan["project"]
    )
    assert set(items) == {item["name"] for item in plan["items"]}
    for item in plan["items"]:
        made = items[item["name"]]
        assert (made.title, made.state, made.agent) == (
            item["title"],
            expected(item),
            item.get("agent", ""),
        )
        assert made.depends_on == tuple(
            ids[name] for name in item.get("depends_on", [])
        )
        assert (made.priority, made.context) == (
            int(item.get("priority", 2)),
            item.get("context", {}),
        )
    assert bench.inconsistencies() == []


@settings(max_examples=60, deadline=None)
@given(plan=plans())
def test_independent_items_keep_file_order(
    plan: dict[str, Any],
) -> None:
    read = plan_file.read(
        "plan.yaml", yaml.safe_dump(plan, default_style='"').encode()
    )

    places = {item["name"]: place for place, item in enumerate(plan["items"])}
    free = [places[item.key] for item in read.items if not item.depends_on]
    assert all(first < second for first, second in pairwise(free))
    assert all(
        needed < place  # type: ignore[operator]
        for place, item in enumerate(read.items)
        for needed in item.depends_on
    )
