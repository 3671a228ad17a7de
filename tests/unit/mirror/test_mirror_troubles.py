"""Obstacles: a pass reports them, loses nothing, and continues when they are fixed."""

import errno
import fcntl
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from support.mirrors import (
    Root,
    discovery,
    progress,
    restarted_item,
    root_at,
    update,
)
from taskorch.domain import errors
from taskorch_orchestrator.mirror import sqlite_copy

pytestmark = pytest.mark.one_lane

KINDS = ("handoff", "progress", "discoveries", "completion")


@pytest.fixture
def item(root: Root) -> str:
    return restarted_item(root)


def replace_by(path: Path, what: str, elsewhere: Path) -> None:
    """Replace a file by something that is not a file."""
    path.unlink(missing_ok=True)
    match what:
        case "link":
            path.symlink_to(elsewhere)
        case "dangling link":
            path.symlink_to(elsewhere / "nowhere")
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)


def take_away(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", ["link", "dangling link", "folder", "pipe"])
def test_irregular_file_is_reported_and_not_followed(
    root: Root, item: str, kind: str, what: str
) -> None:
    elsewhere = root.path / "elsewhere"
    elsewhere.write_text(
        json.dumps(progress(item, update("from elsewhere"))), encoding="utf-8"
    )
    before = elsewhere.read_bytes()
    replace_by(root.file(item, kind), what, elsewhere)
    history = root.history(item)

    result = root.sync()
    blocked = root.history(item)
    take_away(root.file(item, kind))
    fixed = root.sync()

    assert list(result.troubles) == [item]
    assert elsewhere.read_bytes() == before
    assert blocked == history
    assert fixed.troubles == {}
    assert root.file(item, kind).is_file() is (kind != "completion")


def test_bad_file_does_not_block_other_items(root: Root, item: str) -> None:
    replace_by(root.file(item, "progress"), "folder", root.path)
    other = root.bench.item()

    result = root.sync()

    assert list(result.troubles) == [item]
    assert root.file(other, "handoff").exists()


def test_linked_handoffs_folder_is_not_followed(root: Root, item: str) -> None:
    outside = root.path / "outside"
    root.handoffs.rename(root.home / "kept")
    outside.mkdir()
    root.handoffs.symlink_to(outside)

    with pytest.raises(errors.RootNotWritable, match="handoffs"):
        root.sync()
    error = root.bench.queue.views.mirrors()[0].status["error"]
    root.handoffs.unlink()
    (root.home / "kept").rename(root.handoffs)
    result = root.sync()

    assert list(outside.iterdir()) == []
    assert "handoffs" in str(error)
    assert result.troubles == {}
    assert not root.bench.queue.views.mirrors()[0].status["error"]
    assert root.updates(item)


@pytest.mark.parametrize("what", ["link", "folder", "garbage"])
def test_unwritable_database_is_reported_and_filled_later(
    root: Root, item: str, what: str
) -> None:
    path, elsewhere = root.home / "orchestration.db", root.path / "elsewhere"
    elsewhere.write_bytes(b"")
    if what == "garbage":
        for part in root.home.glob("orchestration.db*"):
            part.unlink()
        path.write_bytes(b"no database" * 999)
    else:
        replace_by(path, what, elsewhere)
    root.bench.queue.cancel(item)

    result = root.sync()
    if what != "garbage":  # garbage is renamed by the pass
        take_away(path)
    fixed = root.sync()

    with sqlite3.connect(path) as database:
        rows = database.execute(
            "SELECT item_id, status FROM work_items"
        ).fetchall()
    database.close()
    assert list(result.troubles) == ["orchestration.db"]
    assert elsewhere.read_bytes() == b""
    assert fixed.troubles == {}
    assert rows == [(item, "cancelled")]


def test_locked_database_is_filled_later(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.bench.queue.cancel(item)
    monkeypatch.setattr(sqlite_copy, "BUSY_TIMEOUT_S", 0.01)
    another = root_at(root.bench, root.path)
    with sqlite3.connect(
        root.home / "orchestration.db", isolation_level=None
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        result = another.sync()
        database.execute("ROLLBACK")
        fixed = another.sync()
        rows = database.execute(
            "SELECT item_id, status FROM work_items"
        ).fetchall()
    database.close()

    assert result.troubles == {"orchestration.db": "database is locked"}
    assert fixed.troubles == {}
    assert rows == [(item, "cancelled")]


@pytest.mark.parametrize("what", ["link", "folder"])
def test_irregular_pending_file_is_reported(root: Root, what: str) -> None:
    elsewhere = root.path / "elsewhere"
    root.handoffs.mkdir(parents=True)
    elsewhere.write_text("mine\n", encoding="utf-8")
    replace_by(root.handoffs / "pending_ada.txt", what, elsewhere)
    item = root.bench.item()

    result = root.sync()

    assert list(result.troubles) == ["pending_ada.txt"]
    assert elsewhere.read_text(encoding="utf-8") == "mine\n"
    assert root.file(item, "handoff").exists()


@pytest.mark.parametrize(
    "name",
    [
        "item_X_handoff.json",
        "my_handoff.json",
        ".item_1_handoff.json",
        "x_handoff.json",
    ],
)
def test_foreign_handoff_is_reported_until_it_is_removed(
    root: Root, item: str, name: str
) -> None:
    (root.handoffs / name).write_text("mine", encoding="utf-8")

    result = root.sync()
    again = root.sync(full=True)
    (root.handoffs / name).unlink()
    fixed = root.sync()

    assert list(result.troubles) == list(again.troubles) == [name]
    assert fixed.troubles == {}
    assert root.updates(item)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_unknown_item_are_reported_and_kept(
    root: Root, item: str, kind: str
) -> None:
    path = root.file("item_0badcafe", kind)
    path.write_text("mine", encoding="utf-8")

    result = root.sync()
    left = path.read_text(encoding="utf-8")
    path.unlink()
    fixed = root.sync()

    assert list(result.troubles) == ["item_0badcafe"]
    assert left == "mine"
    assert fixed.troubles == {}
    assert root.updates(item)


@pytest.mark.parametrize("what", ["handoffs", "everything"])
def test_deleted_folder_is_restored(root: Root, item: str, what: str) -> None:
    before = root.visible_files()

    shutil.rmtree(root.handoffs if what == "handoffs" else root.home)
    root.sync()

    pending = {
        name for name in root.visible_files() if name.startswith("pending")
    }
    assert {
        name: data
        for name, data in root.visible_files().items()
        if name not in pending
    } == {
        name: data
        for name, data in before.items()
        if not name.startswith("pending")
    }
    assert root.document(item, "handoff")["assigned_to"] == "ada"


def test_locked_root_is_awaited_or_skipped(root: Root, item: str) -> None:
    with (root.home / "sync" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = root.mirror.sync(wait=False)

    assert result is None
    assert root.sync().troubles == {}
    assert root.updates(item)


def test_other_machine_with_lease_goes_first(root: Root, item: str) -> None:
    root.bench.queue.cancel(item)
    before = root.state()
    root.bench.queue.mirror_take(root.mirror.root_id(), "elsewhere:1", 30_000)

    with pytest.raises(errors.SyncBusy, match="elsewhere:1"):
        root.sync()
    untouched = root.state() == before
    root.bench.queue.mirror_give(root.mirror.root_id(), "elsewhere:1", {}, {})
    root.sync()

    assert untouched
    assert not root.file(item, "handoff").exists()


def test_full_disk_during_pass_is_reported(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.bench.queue.assign(item, "bob", force=True)
    root.put(item, "discoveries", [discovery(item, "by a file", agent="bob")])
    before = root.visible_files()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(
            errors.RootNotWritable, match="No space left on device"
        ):
            root.sync()
    error, left = (
        root.bench.queue.views.mirrors()[0].status["error"],
        root.visible_files(),
    )
    result = root.sync()

    assert left == before
    assert "No space left on device" in str(error)
    assert root.hidden_files() == []
    assert root.discoveries(item) == ["found", "by a file"]
    assert root.document(item, "handoff")["assigned_to"] == "bob"
    assert result.troubles == {}
