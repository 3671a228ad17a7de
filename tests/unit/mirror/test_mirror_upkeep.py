"""The database, the cost of a pass, and the repair of lost files and memory."""

import os
import sqlite3
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support.mirrors import Root, reported_item, root_at
from taskorch.domain.item import Lease, State
from taskorch.queue import keys
from taskorch.queue.port import Argument, Connection, Reply, Script
from taskorch.transport.socket import SocketConnection
from taskorch_orchestrator.mirror.file_times import local_time

pytestmark = pytest.mark.one_lane


class Counting(SocketConnection):
    """A connection that counts the calls of each script."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner
        self.calls: Counter[str] = Counter()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.calls[script.name] += 1
        return self.inner.run_script(script, key, arguments)


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.row_factory = sqlite3.Row
        found = [
            dict(row) for row in database.execute(f"SELECT * FROM {table}")
        ]
    database.close()
    return found


def test_database_has_projects_and_items(root: Root) -> None:
    item = reported_item(root)
    record = root.bench.queue.views.records([item])[0]
    pending = root.bench.item(
        record.project.id, agent="", requirements=("r",), depends_on=(item,)
    )

    root.sync()

    path = root.home / "orchestration.db"
    assert rows(path, "orchestration") == [
        {
            "project_id": record.project.id,
            "title": "A project",
            "description": "",
            "orchestrator_id": "planner",
            "created_at": local_time(record.project.created_at),
            "status": "active",
        }
    ]
    found = {row["item_id"]: row for row in rows(path, "work_items")}
    assert found[item] == {
        "item_id": item,
        "project_id": record.project.id,
        "title": "An item",
        "description": "",
        "requirements": "[]",
        "assigned_to": "ada",
        "status": "completed",
        "dependencies": "[]",
        "created_at": local_time(record.item.created_at),
        "assigned_at": local_time(record.item.assigned_at),
        "completed_at": local_time(record.item.completed_at),
        "deliverables": '{"report": "a.md"}',
    }
    assert (found[pending]["assigned_to"], found[pending]["assigned_at"]) == (
        None,
        None,
    )
    assert (
        found[pending]["requirements"],
        found[pending]["dependencies"],
    ) == (
        '["r"]',
        f'["{item}"]',
    )


def test_database_reader_sees_one_state(
    root: Root,
) -> None:
    item = root.bench.item()
    root.sync()
    with sqlite3.connect(
        root.home / "orchestration.db", isolation_level=None
    ) as reader:
        reader.execute("BEGIN")
        before = reader.execute("SELECT status FROM work_items").fetchall()
        root.bench.queue.cancel(item)
        waiting = root.sync()
        during = reader.execute("SELECT status FROM work_items").fetchall()
        reader.execute("COMMIT")

        result = root.sync()
        after = reader.execute("SELECT status FROM work_items").fetchall()
    reader.close()

    assert (before, during, after) == (
        [("queued",)],
        [("queued",)],
        [("cancelled",)],
    )
    assert waiting.troubles == {"orchestration.db": "database is locked"}
    assert not root.file(item, "handoff").exists()
    assert result.troubles == {}


def test_deleted_database_is_restored(root: Root) -> None:
    items = {root.bench.item(), reported_item(root)}
    root.sync()

    (root.home / "orchestration.db").unlink()
    root.sync()

    assert {
        row["item_id"]
        for row in rows(root.home / "orchestration.db", "work_items")
    } == items


@pytest.mark.parametrize("full", [False, True])
def test_second_pass_writes_nothing(root: Root, *, full: bool) -> None:
    reported_item(root)
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "by a file")
    root.sync()
    before = root.state()

    result = root.sync(full=full)

    assert (result.written, result.imported, result.again, result.left) == (
        0,
        0,
        False,
        0,
    )
    assert root.state() == before


@pytest.mark.parametrize("lost", [False, True])
def test_pass_looks_only_at_changed_items(root: Root, *, lost: bool) -> None:
    counting = Counting(root.bench.queue._scripts.connection)
    counted = root_at(
        root.bench.with_connection(lambda _: counting), root.path
    )
    items = [root.bench.item() for _ in range(3)]
    counted.sync()
    if lost:
        (root.home / "sync" / "state.db").unlink()
        counted.sync()

    counting.calls.clear()
    counted.sync()
    idle = dict(counting.calls)
    root.bench.agent().progress(Lease(item=items[1]), "begun")
    counted.sync()

    assert set(idle) <= {"events", "mirror_take", "mirror_give"}
    assert counting.calls["records"] == 1
    assert counting.calls["list"] == 0


def test_deleted_torn_file_is_forgotten(root: Root) -> None:
    counting = Counting(root.bench.queue._scripts.connection)
    counted = root_at(
        root.bench.with_connection(lambda _: counting), root.path
    )
    item = root.bench.item()
    counted.sync()
    root.file(item, "progress").write_bytes(b"{")
    counted.sync()
    root.file(item, "progress").unlink()
    counted.sync()

    counting.calls.clear()
    result = counted.sync()

    assert set(counting.calls) <= {"events", "mirror_take", "mirror_give"}
    assert not result.again


@pytest.mark.parametrize("kind", ["handoff", "progress", "discoveries"])
def test_deleted_file_is_restored(root: Root, kind: str) -> None:
    lease, me = root.bench.claimed(), root.bench.agent()
    me.progress(lease, "begun")
    me.discover(lease, "It leaks.")
    root.sync()
    before = root.visible_files()

    root.file(lease.item, kind).unlink()
    root.sync()

    assert root.visible_files() == before


def test_trimmed_events_cause_a_full_pass(root: Root) -> None:
    root.sync()
    items = [root.bench.item() for _ in range(5)]

    root.bench.raw.xtrim(
        keys.tag(root.bench.namespace) + "events", maxlen=1, approximate=False
    )
    root.sync()

    assert all(root.file(item, "handoff").exists() for item in items)


@pytest.mark.parametrize("damage", ["gone", "garbage"])
def test_lost_memory_causes_a_full_pass(root: Root, damage: str) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "begun")
    root.sync()
    before = root.visible_files()

    (root.home / "sync" / "state.db").unlink()
    if damage == "garbage":
        (root.home / "sync" / "state.db").write_bytes(os.urandom(9000))
    root.bench.queue.answer(root.bench.lease_in(State.BLOCKED).item, "x")
    root.sync()

    assert {
        name: data
        for name, data in root.visible_files().items()
        if name in before and item in name
    } == {name: data for name, data in before.items() if item in name}
    assert root.history(item) == [("progress", "begun")]


@pytest.mark.parametrize("cursor", ["9999999999999-0", "1-1"])
def test_unknown_cursor_causes_a_full_pass(root: Root, cursor: str) -> None:
    root.sync()
    with sqlite3.connect(root.home / "sync" / "state.db") as database:
        database.execute(
            "UPDATE facts SET value = ? WHERE name = 'cursor'", (cursor,)
        )
    database.close()
    item = root.bench.item()

    root.sync()
    root.bench.queue.cancel(item)
    published = root.file(item, "handoff").exists()
    root.sync()

    assert published
    assert not root.file(item, "handoff").exists()


def test_stopped_pass_is_continued_by_the_next(root: Root) -> None:
    items = [root.bench.item() for _ in range(70)]

    first = root.mirror.sync(stop=lambda: True)
    published = [item for item in items if root.file(item, "handoff").exists()]
    second = root.sync()

    assert first is not None
    assert first.left >= len(items) - len(published) > 0
    assert second.left == 0
    assert all(root.file(item, "handoff").exists() for item in items)


def test_new_changes_do_not_starve_old_ones(root: Root) -> None:
    items = sorted(root.bench.item() for _ in range(130))
    root.sync()
    for item in items:
        root.bench.queue.assign(item, "bob")

    root.mirror.sync(scan=False, stop=lambda: True)
    for agent in ("carol", "dave", "erin"):
        for item in items[:60]:
            root.bench.queue.assign(item, agent)
        root.mirror.sync(scan=False, stop=lambda: True)

    handoffs = [root.document(item, "handoff") for item in items]
    assert handoffs[-1]["assigned_to"] == "bob"


def test_marked_file_is_synced_without_a_scan(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "begun")

    before = root.mirror.sync(scan=False)
    changed = root.mirror.mark_changed([f"{item}_progress.json", "other.json"])
    unchanged = root.mirror.mark_changed(
        [f"{item}_handoff.json", "other.json"]
    )
    after = root.mirror.sync(scan=False)

    assert (changed, unchanged) == (True, False)
    assert [result and result.imported for result in (before, after)] == [0, 1]
