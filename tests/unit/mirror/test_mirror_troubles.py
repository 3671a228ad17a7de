"""What is in the way of the sync job: told clearly, nothing is lost, and the next pass after it is mended goes on."""

import errno
import fcntl
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from support.mirrors import Root, begun_again, discovery, progress, rooted, update
from taskorch.domain import errors
from taskorch_orchestrator.mirror import sqlite_copy

pytestmark = pytest.mark.one_lane

KINDS = ("handoff", "progress", "discoveries", "completion")


@pytest.fixture
def item(root: Root) -> str:
    return begun_again(root)


def put_in_the_way(path: Path, what: str, elsewhere: Path) -> None:
    """Put something that is no file where a file is."""
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
def test_what_is_no_file_is_told_and_never_followed(
    root: Root, item: str, kind: str, what: str
) -> None:
    elsewhere = root.path / "elsewhere"
    elsewhere.write_text(
        json.dumps(progress(item, update("from elsewhere"))), encoding="utf-8"
    )
    before = elsewhere.read_bytes()
    put_in_the_way(root.file(item, kind), what, elsewhere)
    history = root.history(item)

    done = root.sync()
    blocked = root.history(item)
    take_away(root.file(item, kind))
    mended = root.sync()

    assert list(done.troubles) == [item]
    assert elsewhere.read_bytes() == before
    assert blocked == history
    assert mended.troubles == {}
    assert root.file(item, kind).is_file() is (kind != "completion")


def test_one_bad_file_does_not_hold_up_other_items(root: Root, item: str) -> None:
    put_in_the_way(root.file(item, "progress"), "folder", root.path)
    other = root.bench.item()

    done = root.sync()

    assert list(done.troubles) == [item]
    assert root.file(other, "handoff").exists()


def test_a_link_in_place_of_the_folder_is_not_followed(root: Root, item: str) -> None:
    outside = root.path / "outside"
    root.handoffs.rename(root.home / "kept")
    outside.mkdir()
    root.handoffs.symlink_to(outside)

    with pytest.raises(errors.RootNotWritable, match="handoffs"):
        root.sync()
    told = root.bench.queue.views.mirrors()[0].status["error"]
    root.handoffs.unlink()
    (root.home / "kept").rename(root.handoffs)
    done = root.sync()

    assert list(outside.iterdir()) == []
    assert "handoffs" in str(told)
    assert done.troubles == {}
    assert not root.bench.queue.views.mirrors()[0].status["error"]
    assert root.updates(item)


@pytest.mark.parametrize("what", ["link", "folder", "garbage"])
def test_a_database_that_cannot_be_written_is_told_and_filled_later(
    root: Root, item: str, what: str
) -> None:
    path, elsewhere = root.home / "orchestration.db", root.path / "elsewhere"
    elsewhere.write_bytes(b"")
    if what == "garbage":
        for part in root.home.glob("orchestration.db*"):
            part.unlink()
        path.write_bytes(b"no database" * 999)
    else:
        put_in_the_way(path, what, elsewhere)
    root.bench.queue.cancel(item)

    done = root.sync()
    if what != "garbage":  # that is set aside
        take_away(path)
    mended = root.sync()

    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT item_id, status FROM work_items").fetchall()
    database.close()
    assert list(done.troubles) == ["orchestration.db"]
    assert elsewhere.read_bytes() == b""
    assert mended.troubles == {}
    assert rows == [(item, "cancelled")]


def test_a_database_that_is_locked_is_written_when_it_is_free(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.bench.queue.cancel(item)
    monkeypatch.setattr(sqlite_copy, "BUSY_TIMEOUT_S", 0.01)
    another = rooted(root.bench, root.path)
    with sqlite3.connect(
        root.home / "orchestration.db", isolation_level=None
    ) as database:
        database.execute("BEGIN IMMEDIATE")
        done = another.sync()
        database.execute("ROLLBACK")
        mended = another.sync()
        rows = database.execute("SELECT item_id, status FROM work_items").fetchall()
    database.close()

    assert done.troubles == {"orchestration.db": "database is locked"}
    assert mended.troubles == {}
    assert rows == [(item, "cancelled")]


@pytest.mark.parametrize("what", ["link", "folder"])
def test_a_doorbell_that_is_no_file_is_told(root: Root, what: str) -> None:
    elsewhere = root.path / "elsewhere"
    root.handoffs.mkdir(parents=True)
    elsewhere.write_text("mine\n", encoding="utf-8")
    put_in_the_way(root.handoffs / "pending_ada.txt", what, elsewhere)
    item = root.bench.item()

    done = root.sync()

    assert list(done.troubles) == ["pending_ada.txt"]
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
def test_a_foreign_handoff_is_left_and_told_until_it_is_gone(
    root: Root, item: str, name: str
) -> None:
    (root.handoffs / name).write_text("mine", encoding="utf-8")

    done = root.sync()
    again = root.sync(full=True)
    (root.handoffs / name).unlink()
    mended = root.sync()

    assert list(done.troubles) == list(again.troubles) == [name]
    assert mended.troubles == {}
    assert root.updates(item)


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_an_item_that_redis_does_not_have_are_left_and_told(
    root: Root, item: str, kind: str
) -> None:
    path = root.file("item_0badcafe", kind)
    path.write_text("mine", encoding="utf-8")

    done = root.sync()
    left = path.read_text(encoding="utf-8")
    path.unlink()
    mended = root.sync()

    assert list(done.troubles) == ["item_0badcafe"]
    assert left == "mine"
    assert mended.troubles == {}
    assert root.updates(item)


@pytest.mark.parametrize("what", ["handoffs", "everything"])
def test_a_folder_that_was_deleted_comes_back(root: Root, item: str, what: str) -> None:
    before = root.shown()

    shutil.rmtree(root.handoffs if what == "handoffs" else root.home)
    root.sync()

    bells = {name for name in root.shown() if name.startswith("pending")}
    assert {name: data for name, data in root.shown().items() if name not in bells} == {
        name: data for name, data in before.items() if not name.startswith("pending")
    }
    assert root.document(item, "handoff")["assigned_to"] == "ada"


def test_another_process_of_this_machine_is_waited_for_or_left_alone(
    root: Root, item: str
) -> None:
    with (root.home / "sync" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = root.mirror.sync(wait=False)

    assert done is None
    assert root.sync().troubles == {}
    assert root.updates(item)


def test_another_machine_that_writes_the_same_root_goes_first(
    root: Root, item: str
) -> None:
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


def test_a_disk_that_is_full_in_the_middle_of_a_pass_is_told(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.bench.queue.assign(item, "bob", force=True)
    root.put(item, "discoveries", [discovery(item, "by a file", agent="bob")])
    before = root.shown()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(errors.RootNotWritable, match="No space left on device"):
            root.sync()
    told, left = root.bench.queue.views.mirrors()[0].status["error"], root.shown()
    done = root.sync()

    assert left == before
    assert "No space left on device" in str(told)
    assert root.hidden() == []
    assert root.found(item) == ["found", "by a file"]
    assert root.document(item, "handoff")["assigned_to"] == "bob"
    assert done.troubles == {}
