"""Strange names and contents of files: no path, no key, and no aborted pass."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.mirrors import (
    Root,
    completion,
    discovery,
    progress,
    restarted_item,
    update,
)
from taskorch.domain.item import Lease, State

pytestmark = pytest.mark.one_lane

KINDS = ("handoff", "progress", "discoveries", "completion")
LARGEST = "é" * (32 * 1024)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "9" * 99]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.fixture
def item(root: Root) -> str:
    return restarted_item(root)


def test_unrelated_files_are_left_alone(root: Root, item: str) -> None:
    names = [
        "README.md",
        "item_../x",
        "notes.json",
        f"{item}_progress.json.bak",
        "item__progress.json",
        "é_progress.json",
    ]
    foreign = {name: root.handoffs / name for name in names if "/" not in name}
    for path in foreign.values():
        path.write_text("mine", encoding="utf-8")

    result = root.sync(full=True)

    assert result.troubles == {}
    assert {path.read_text(encoding="utf-8") for path in foreign.values()} == {
        "mine"
    }


@pytest.mark.parametrize(
    "bad", ["../../x", "a/b", "", "x" * 65, ".hidden", "{tag}", "a\x00b", "é"]
)
def test_invalid_agent_becomes_neither_path_nor_key(
    root: Root, bad: str
) -> None:
    item = root.bench.item()
    root.sync()
    before = sorted(
        path
        for path in root.path.parent.rglob("*")
        if "sync" not in path.parts
    )
    root.put(item, "progress", progress(item, update("mine"), agent=bad))
    root.put(item, "discoveries", [discovery(item, "mine", agent=bad)])
    root.put(item, "completion", completion(item, "mine", agent=bad))

    result = root.sync()
    root.sync(full=True)

    there = sorted(
        path
        for path in root.path.parent.rglob("*")
        if "sync" not in path.parts
    )
    assert {path.name for path in there} - {path.name for path in before} <= {
        f"{item}_progress.json",
        f"{item}_discoveries.json",
        f"{item}_completion.json",
    }
    assert [agent.name for agent in root.bench.queue.views.agents()] == ["ada"]
    assert root.history(item) == []
    assert all(
        "is not a name for an agent" in why or "is empty" in why
        for why in result.troubles.values()
    )
    assert len(result.troubles) == 3


@pytest.mark.parametrize("bad", ["../../x", "item_0badcafe", ""])
def test_file_name_decides_the_item(root: Root, bad: str) -> None:
    item = root.bench.item()
    root.sync()
    root.put(
        item, "progress", {**progress(item, update("mine")), "item_id": bad}
    )
    root.put(
        item, "discoveries", [{**discovery(item, "mine"), "item_id": bad}]
    )

    result = root.sync()

    assert root.history(item) == [("progress", "mine")]
    assert root.discoveries(item) == []
    assert (
        list(result.troubles.values())
        == ["The report of 2026-01-02T03:04:05.678901: it is no report"]
        or result.troubles
    )
    assert sorted(path.name for path in root.path.parent.iterdir()) == ["root"]


def test_longest_texts_are_synced_both_ways(root: Root) -> None:
    by_file, by_command = root.bench.item(), root.bench.item()
    root.sync()
    root.put(by_file, "progress", progress(by_file, update(LARGEST)))
    root.put(by_file, "discoveries", [discovery(by_file, LARGEST, LARGEST)])
    lease = root.bench.agent().progress(Lease(item=by_command), LARGEST).lease
    root.bench.agent().discover(lease, LARGEST, impact=LARGEST)

    result = root.sync()

    assert result.troubles == {}
    for item in (by_file, by_command):
        assert root.history(item) == [("progress", LARGEST)]
        assert root.updates(item) == [LARGEST]
        assert [
            found["impact"] for found in root.document(item, "discoveries")
        ] == [LARGEST]
    assert root.discoveries(by_file) == [LARGEST]


@pytest.mark.parametrize("text", [LARGEST + "x", "", " \n", "\ud800"])
def test_refused_text_is_reported_and_kept(root: Root, text: str) -> None:
    item = root.bench.item()
    root.sync()
    root.put(item, "progress", progress(item, update(text), update("fine")))

    result = root.sync()

    assert root.history(item) == [("progress", "fine")]
    assert sorted(root.updates(item)) == sorted([text, "fine"])
    assert len(result.troubles) == 1


@pytest.mark.parametrize(
    "at", ["", "yesterday", "0001-01-01T00:00:00", "9999-12-31T23:59:59"]
)
def test_report_with_invalid_time_is_imported(root: Root, at: str) -> None:
    item = root.bench.item()
    root.sync()
    root.put(item, "progress", progress(item, update("begun", at=at)))
    root.put(
        item, "discoveries", [{**discovery(item, "found"), "timestamp": at}]
    )

    result = root.sync()
    again = root.sync(full=True)

    assert (root.history(item), root.discoveries(item)) == (
        [("progress", "begun")],
        ["found"],
    )
    assert root.document(item, "progress")["updates"][0]["timestamp"] == at
    assert (result.troubles, again.imported, again.written) == ({}, 0, 0)


@pytest.mark.parametrize("at", ["\ud800", "9" * 100_000])
def test_entry_with_impossible_time_is_not_imported(
    root: Root, at: str
) -> None:
    item = root.bench.item()
    root.sync()
    root.put(item, "progress", progress(item, update("begun", at=at)))

    result = root.sync()

    assert root.history(item) == []
    assert root.document(item, "progress")["updates"][0]["timestamp"] == at
    (trouble,) = result.troubles.values()
    assert trouble.startswith(
        "The report without a time was not imported: its timestamp is not valid: "
    )


def test_deeply_nested_file_does_not_block_others(root: Root) -> None:
    item, other = root.bench.item(), root.bench.item()
    root.sync()
    for depth in range(900, 1000, 10):
        nested = b"[" * depth + b"]" * depth
        whole = json.dumps(progress(item, update("begun"))).encode()
        root.file(item, "progress").write_bytes(
            whole.replace(b'"begun"', b'"begun", "more": ' + nested)
        )
        root.worker().progress(other, f"at {depth}")
        root.sync()

    assert [text for _, text in root.history(other)] == [
        f"at {depth}" for depth in range(900, 1000, 10)
    ]


def mutated(document: Any, path: list[int], value: Any) -> Any:
    """Return a document with another value at one place."""
    if not path or not isinstance(document, (dict, list)) or not document:
        return value
    places = (
        list(document)
        if isinstance(document, dict)
        else list(range(len(document)))
    )
    place = places[path[0] % len(places)]
    changed = document.copy()
    changed[place] = mutated(document[place], path[1:], value)
    return changed


@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    kind=st.sampled_from(KINDS),
    path=st.lists(st.integers(0, 9), max_size=4),
    value=JSON | st.integers(10**30, 10**400),
)
def test_no_file_content_aborts_a_pass(
    root: Root, item: str, kind: str, path: list[int], value: Any
) -> None:
    documents: dict[str, Any] = {
        "handoff": {"item_id": item},
        "progress": progress(item, update("a", 1), update("b", None)),
        "discoveries": [
            discovery(item, "a"),
            discovery(item, "BLOCKER: b", "Needs: c"),
        ],
        "completion": completion(item, "done"),
    }
    root.put(item, kind, mutated(documents[kind], path, value))

    root.sync()
    root.sync()

    assert root.bench.state(item) in State
    assert root.bench.inconsistencies() == []
