"""A purge of a project removes what the mirrors of all roots wrote for it."""

import json
import sqlite3
from pathlib import Path

import pytest
from support.mirrors import Root, progress, reported_item, root_at, update
from taskorch.domain import errors
from taskorch.domain.item import Lease
from taskorch.queue import queue
from taskorch_orchestrator.backup.archive import Archive
from taskorch_orchestrator.backup.restore import restore
from taskorch_orchestrator.mirror import sqlite_copy
from taskorch_orchestrator.mirror.purged_files import MISSING
from taskorch_orchestrator.purge import delete, find_completed

pytestmark = pytest.mark.one_lane


def completed(root: Root) -> tuple[str, str]:
    """Return a completed project and its only item, with all files of it."""
    item = reported_item(root)
    project = root.bench.queue.views.show(item).item.project
    delivered = root.bench.item(project)
    root.sync()
    root.bench.agent().complete(Lease(item=delivered), "done")
    root.bench.queue.complete_project(project, force=True)
    root.sync()
    assert root.handoffs.joinpath(f"done/{delivered}_handoff.json").exists()
    return project, item


def purge(root: Root, project: str) -> None:
    delete(root.bench.queue, find_completed(root.bench.queue, [project]))


def files(root: Root) -> set[str]:
    """Return the paths of all files that the mirror has in `handoffs/`."""
    return {
        str(path.relative_to(root.handoffs))
        for path in root.handoffs.rglob("*")
        if path.is_file()
    }


def rows(root: Root) -> set[str]:
    """Return the ids of the projects and items in `orchestration.db`."""
    found = set()
    with sqlite3.connect(root.home / sqlite_copy.NAME) as database:
        for table, (key, *_) in sqlite_copy.COLUMNS.items():
            query = f"SELECT {key} FROM {table}"
            found |= {row[0] for row in database.execute(query)}
    database.close()
    return found


def test_purged_project_leaves_no_file_and_row(root: Root) -> None:
    kept = root.bench.item()
    root.sync()
    files_before, rows_before = files(root), rows(root)
    project, item = completed(root)
    assert {project, item} < rows(root)

    purge(root, project)
    done = root.sync()

    assert files(root) == files_before
    assert rows(root) == rows_before
    assert f"{kept}_handoff.json" in files(root)
    assert (done.troubles, done.left) == ({}, 0)
    assert root.sync().written == 0


def test_purge_removes_files_in_every_root(root: Root, tmp_path: Path) -> None:
    other = root_at(root.bench, tmp_path / "other")
    project, _ = completed(root)
    other.sync()
    assert files(other)

    purge(root, project)
    root.sync()
    other.sync()

    assert files(root) == files(other) == set()
    assert rows(root) == rows(other) == set()


@pytest.mark.parametrize("full", [False, True])
def test_root_that_missed_the_purge_removes_files(
    root: Root, *, full: bool
) -> None:
    project, _ = completed(root)
    purge(root, project)
    root.bench.delete_key("events")
    other = root.bench.project()

    root.sync(full=full)

    assert files(root) == {f"{other}_context.yaml"}
    assert rows(root) == {other}


def test_restored_archive_gets_files_again(root: Root) -> None:
    project, item = completed(root)
    root.bench.age_project(project)
    Archive(root.bench.queue, root.home, "root").add_old_projects(
        90 * 24 * 3_600_000, lambda: False
    )
    root.sync()
    assert not root.file(item, "progress").exists()

    (archived,) = root.home.joinpath("archive").glob("*.gz")
    restore(archived, root.bench.queue.backup)
    done = root.sync()

    assert {project, item} < rows(root)
    assert root.file(item, "progress").exists()
    assert (done.troubles, done.left) == ({}, 0)
    assert root.sync().written == 0


def test_files_of_lost_project_stay(root: Root) -> None:
    project, item = completed(root)
    before = files(root)
    root.bench.delete_project(project)
    root.bench.delete_item(item)

    root.sync(full=True)

    assert files(root) == before
    assert {project, item} <= rows(root)


def test_file_that_worker_changed_stays_after_purge(root: Root) -> None:
    project, item = completed(root)
    late = progress(item, update("too late"))
    root.put(item, "progress", late)

    purge(root, project)
    done = root.sync()

    assert root.document(item, "progress") == late
    assert not root.file(item, "completion").exists()
    assert "Redis has no such item" in done.troubles[item]


def test_file_with_refused_report_stays_after_purge(root: Root) -> None:
    item = root.bench.item()
    project = root.bench.queue.views.show(item).item.project
    root.put(item, "progress", progress(item, update("a\0b")))
    root.sync()
    root.bench.queue.complete_project(project, force=True)
    root.sync()

    purge(root, project)
    root.sync()

    assert root.updates(item) == ["a\0b"]
    assert not root.file(item, "handoff").exists()


def test_handoff_of_predecessor_stays_after_purge(root: Root) -> None:
    project, item = completed(root)
    root.file(item, "handoff").write_text(
        json.dumps({"item_id": item, "assigned_to": "ada"})
    )

    purge(root, project)
    root.sync()

    assert root.file(item, "handoff").exists()


def test_purge_before_first_sync_removes_handoff(root: Root) -> None:
    project = root.bench.project()
    item, kept = root.bench.item(project), root.bench.item()
    root.sync()
    root.worker().check()
    root.worker().progress(item, "begun")
    root.sync()
    root.bench.queue.complete_project(project, force=True)
    purge(root, project)

    done = root.sync()

    assert files(root) >= {f"{kept}_handoff.json"}
    assert not [name for name in files(root) if item in name]
    assert root.pending() is None
    assert done.troubles == {}


def test_purged_item_leaves_the_pending_file(root: Root) -> None:
    project = root.bench.project()
    item, kept = root.bench.item(project), root.bench.item()
    root.sync()
    assert set(root.pending() or ()) == {item, kept}
    root.bench.queue.complete_project(project, force=True)
    purge(root, project)

    root.sync()

    assert root.pending() == [kept]


def test_stopped_pass_leaves_the_rest_for_the_next(root: Root) -> None:
    project = root.bench.project()
    for _ in range(60):
        root.bench.item(project)
    root.bench.queue.complete_project(project, force=True)
    root.sync()
    purge(root, project)

    stopped = root.mirror.sync(stop=lambda: True)
    assert stopped is not None
    assert stopped.left > 0
    root.sync()

    assert files(root) == rows(root) == set()


def test_pass_during_a_purge_leaves_no_file(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 1)
    item = reported_item(root)
    project = root.bench.queue.views.show(item).item.project
    root.bench.item(project)
    root.sync()
    root.bench.queue.complete_project(project, force=True)
    root.sync()

    root.bench.queue.purge(project)
    root.file(item, "discoveries").unlink()
    during = root.sync()
    purge(root, project)
    after = root.sync()

    assert MISSING in during.troubles.values()
    assert after.troubles == {}
    assert files(root) == rows(root) == set()


def test_locked_database_delays_the_removal(root: Root) -> None:
    project, _ = completed(root)
    purge(root, project)
    with sqlite3.connect(root.home / sqlite_copy.NAME) as reader:
        reader.execute("BEGIN EXCLUSIVE")
        waiting = root.sync()
    reader.close()

    done = root.sync()

    assert "database is locked" in waiting.troubles[sqlite_copy.NAME]
    assert (files(root), rows(root)) == (set(), set())
    assert done.troubles == {}


def test_memory_without_items_is_completed_before_purge(root: Root) -> None:
    project, _ = completed(root)
    with sqlite3.connect(root.home / "sync" / "state.db") as memory:
        memory.execute("DELETE FROM items")
        memory.execute("DELETE FROM facts WHERE name = 'keeps_items'")
    memory.close()
    root.sync()

    purge(root, project)
    root.sync()

    assert files(root) == set()


def test_purged_project_is_unknown_afterwards(root: Root) -> None:
    project, item = completed(root)
    purge(root, project)
    root.sync()

    with pytest.raises(errors.NoItem):
        root.bench.agent().progress(Lease(item=item), "again")

    assert root.bench.queue.views.purged([project, "proj_00000000"]) == (
        project,
    )


def kept(root: Root) -> dict[str, str]:
    """Return the copies that were kept, by the name of their file."""
    return {
        path.name[1:].partition(".json")[0]: path.read_text()
        for path in root.handoffs.glob(".*.kept")
    }


def test_added_text_survives_the_purge_in_a_copy(root: Root) -> None:
    project, item = completed(root)
    document = root.document(item, "progress")
    document["remark"] = "Ask Eve about this"
    document["updates"][0]["aside"] = "Not so"
    root.put(item, "progress", document)
    root.sync()

    purge(root, project)
    done = root.sync()

    copies = kept(root)
    assert set(copies) == {f"{item}_progress"}
    assert "Ask Eve" in copies[f"{item}_progress"]
    assert "Not so" in copies[f"{item}_progress"]
    assert not root.file(item, "progress").exists()
    (message,) = done.troubles.values()
    assert "had added a text" in message
    assert root.sync().troubles == done.troubles


@pytest.mark.parametrize("place", ["", "done"])
def test_changed_handoff_survives_the_purge_in_a_copy(
    root: Root, place: str
) -> None:
    project, item = completed(root)
    (delivered,) = (path.name for path in (root.handoffs / "done").iterdir())
    file = root.handoffs / "done" / delivered
    if not place:
        file = root.file(item, "handoff")
    package = json.loads((root.handoffs / "done" / delivered).read_text())
    package["task"]["title"] = "Said Eve: the other title"
    file.write_text(json.dumps(package, indent=2))

    purge(root, project)
    root.sync()

    (text,) = kept(root).values()
    assert "Said Eve" in text
    assert not file.exists()
