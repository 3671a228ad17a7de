"""What is new in Redis is appended to files that only the mirror has written."""

import errno
import json
import os
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from support.mirrors import Root, progress, root_at, skip_wait, update
from taskorch.domain import errors
from taskorch.domain.item import Lease
from taskorch.queue import keys
from taskorch.queue.port import Argument, Connection, Reply, Script
from taskorch.transport.socket import SocketConnection
from taskorch_orchestrator.mirror.handoff_package import OF_THE_MOMENT

needs_leases = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux leases files"
)
KINDS = ("progress", "discoveries", "handoff", "completion")
#: How much of an append is written when its process is killed; the rest of the closing
#: brackets stays.
CUTS = (0, 1, 3, 5, 9, 60)


class Killed(BaseException):
    """The process is dead."""


class Reading(SocketConnection):
    """A connection that counts the reports and discoveries that it reads."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner
        self.read = 0

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.inner.run_script(script, key, arguments)
        if script.name == "records":
            rows, _ = cast("tuple[list[list[list[Reply]]], int]", reply)
            self.read += sum(len(row[2]) + len(row[3]) for row in rows)
        return reply


def reported(root: Root) -> Lease:
    """Return the lease of an item whose files have three entries each."""
    lease, me = root.bench.claimed(), root.bench.agent()
    for number in range(3):
        me.progress(lease, f"begun {number}")
        me.discover(lease, f"found {number}")
    root.sync()
    return lease


def report_more(root: Root, lease: Lease) -> None:
    """Report progress and a discovery, by commands."""
    me = root.bench.agent()
    me.progress(lease, "one\nmore", percent=40)
    me.discover(lease, "more", impact="big")


def inodes(root: Root, item: str) -> list[int]:
    """Return the inodes of the two files that grow."""
    return [
        root.file(item, kind).stat().st_ino
        for kind in ("progress", "discoveries")
    ]


def contents(root: Root, item: str) -> dict[str, bytes]:
    """Return the files of an item, but what its handoff has of the moment."""
    found = {}
    for kind in KINDS:
        if root.file(item, kind).exists():
            found[kind] = root.file(item, kind).read_bytes()
    if "handoff" in found:
        package = json.loads(found["handoff"])
        for name in OF_THE_MOMENT:
            del package["x_sync"][name]
        found["handoff"] = json.dumps(package).encode()
    return found


def fresh(root: Root) -> Root:
    """Return another root of the same queue, whose files are written from scratch."""
    other = root_at(root.bench, root.path.with_name("fresh"))
    other.sync()
    return other


def killed_in_append(
    root: Root, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """Make a pass that is killed when a part of an append is written."""
    write = os.pwrite

    def killed(descriptor: int, data: memoryview, at: int) -> int:
        if bytes(data[:1]) != b",":
            return write(descriptor, data, at)
        write(descriptor, data[:written], at)
        raise Killed

    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(os, "pwrite", killed)
        root.sync()


@needs_leases
def test_new_reports_are_appended_in_place(root: Root) -> None:
    lease = reported(root)
    before = inodes(root, lease.item)

    report_more(root, lease)
    root.sync()

    assert inodes(root, lease.item) == before
    assert contents(root, lease.item) == contents(fresh(root), lease.item)
    assert root.updates(lease.item)[-1] == "one\nmore"


def test_pass_reads_only_new_reports(root: Root) -> None:
    reading = Reading(root.bench.queue._scripts.connection)
    counted = root_at(root.bench.with_connection(lambda _: reading), root.path)
    lease = reported(counted)

    reading.read = 0
    report_more(root, lease)
    counted.sync()

    assert reading.read == 2


def test_progress_leaves_handoff_unwritten(root: Root) -> None:
    lease = reported(root)
    handoff = root.file(lease.item, "handoff")
    before = handoff.stat()

    report_more(root, lease)
    root.sync()

    after = handoff.stat()
    assert (after.st_ino, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_comment_rewrites_only_the_handoff(root: Root) -> None:
    lease = reported(root)
    before = root.state()

    root.bench.queue.comment(lease.item, "Well done.")
    root.sync()

    handoff = f"{lease.item}_handoff.json"
    changed = {
        name for name, state in root.state().items() if before[name] != state
    }
    assert changed <= {handoff, "orchestration.db"}


def test_completion_is_written_beside_appended_files(root: Root) -> None:
    lease = reported(root)

    root.bench.agent().complete(lease, "done", deliverables={"a": "b"})
    root.sync()

    assert contents(root, lease.item) == contents(fresh(root), lease.item)
    assert root.document(lease.item, "completion")["summary"] == "done"


def test_messages_stay_in_rewritten_package(root: Root) -> None:
    lease = reported(root)
    me, queue = root.bench.agent(), root.bench.queue
    for number in range(2):
        me.blocker(lease, f"Which {number}?")
        queue.answer(lease.item, f"This {number}.")
        root.sync()

    queue.comment(lease.item, "Well done.")
    root.sync()

    given = root.document(lease.item, "handoff")["provided_context"]
    assert list(given.values()) == ["This 0.", "This 1.", "Well done."]
    assert contents(root, lease.item) == contents(fresh(root), lease.item)


def test_file_of_worker_is_not_appended_to(root: Root) -> None:
    lease = reported(root)
    document = root.document(lease.item, "progress")
    document["updates"].insert(0, update("by a file"))
    root.put(lease.item, "progress", document)

    report_more(root, lease)
    root.sync()

    assert root.updates(lease.item) == [
        "by a file",
        "begun 0",
        "begun 1",
        "begun 2",
        "one\nmore",
    ]


def test_file_that_worker_has_open_is_replaced(root: Root) -> None:
    lease = reported(root)
    before = inodes(root, lease.item)

    with root.file(lease.item, "progress").open("rb"):
        report_more(root, lease)
        root.sync()

    assert inodes(root, lease.item)[0] != before[0]
    assert contents(root, lease.item) == contents(fresh(root), lease.item)


@needs_leases
def test_worker_waits_for_end_of_append(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = reported(root)
    path, refused = root.file(lease.item, "progress"), []

    def opened_meanwhile(_: int) -> None:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except BlockingIOError:
            refused.append(path)

    monkeypatch.setattr(os, "fsync", opened_meanwhile)
    root.bench.agent().progress(lease, "one more")
    root.sync()

    assert refused == [path]
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_reassigned_item_gets_new_head(root: Root) -> None:
    lease = reported(root)
    root.bench.queue.assign(lease.item, "bob", force=True)
    root.sync()

    bob = root.bench.agent("bob")
    bob.progress(Lease(item=lease.item), "taken over")
    root.sync()

    assert root.document(lease.item, "progress")["agent_id"] == "bob"
    assert root.updates(lease.item)[-1] == "taken over"


@needs_leases
@pytest.mark.parametrize("written", CUTS)
def test_killed_append_is_finished_by_next_pass(
    root: Root, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    lease = reported(root)
    report_more(root, lease)
    killed_in_append(root, monkeypatch, written)

    result = root_at(root.bench, root.path).sync()

    assert contents(root, lease.item) == contents(fresh(root), lease.item)
    assert not result.troubles
    assert root.hidden_files() == []
    assert not (root.home / "sync" / "append").exists()


def test_worker_that_writes_after_killed_append_loses_nothing(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = reported(root)
    report_more(root, lease)
    killed_in_append(root, monkeypatch, 9)
    root.put(lease.item, "progress", progress(lease.item, update("by a file")))

    root_at(root.bench, root.path).sync()

    assert sorted(root.updates(lease.item)) == [
        "begun 0",
        "begun 1",
        "begun 2",
        "by a file",
        "one\nmore",
    ]


@pytest.mark.parametrize("journal", [b"", b"{}\n", b"[1]\nx", b"\xff\n"])
def test_journal_that_is_not_whole_is_ignored(
    root: Root, journal: bytes
) -> None:
    lease = reported(root)
    (root.home / "sync" / "append").write_bytes(journal)

    report_more(root, lease)
    root.sync()

    assert contents(root, lease.item) == contents(fresh(root), lease.item)
    assert not (root.home / "sync" / "append").exists()


@pytest.mark.parametrize("kept", [0, 1, 200])
def test_truncated_file_is_restored(
    root: Root, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    lease = reported(root)
    os.truncate(root.file(lease.item, "progress"), kept)

    report_more(root, lease)
    root.sync()
    skip_wait(monkeypatch)
    root.sync()

    assert contents(root, lease.item) == contents(fresh(root), lease.item)


@needs_leases
def test_full_disk_leaves_file_as_it_was(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = reported(root)
    before, write = contents(root, lease.item), os.pwrite

    def full(descriptor: int, data: memoryview, at: int) -> int:
        if bytes(data[:1]) == b",":
            write(descriptor, data[:7], at)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data, at)

    report_more(root, lease)
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(errors.RootNotWritable):
            root.sync()

    assert contents(root, lease.item) == before
    root.sync()
    assert contents(root, lease.item) == contents(fresh(root), lease.item)


def test_report_with_earlier_clock_is_put_in_order(root: Root) -> None:
    lease = reported(root)
    document = root.document(lease.item, "progress")
    document["updates"].append(
        update("from tomorrow", at="2100-01-01T00:00:00")
    )
    root.put(lease.item, "progress", document)
    root.sync()

    report_more(root, lease)
    root.sync()

    assert root.updates(lease.item)[-2:] == ["one\nmore", "from tomorrow"]


def test_long_news_are_appended_page_by_page(root: Root) -> None:
    lease, me = reported(root), root.bench.agent()
    for number in range(30):
        me.progress(lease, f"{number} {'x' * 60_000}")
        me.discover(lease, f"{number} {'x' * 60_000}")

    root.sync()

    assert contents(root, lease.item) == contents(fresh(root), lease.item)
    assert len(root.updates(lease.item)) == 33


def test_full_pass_finds_reports_before_its_cursor(root: Root) -> None:
    lease = reported(root)
    stream = keys.reports(root.bench.namespace, lease.item)
    entries = cast("list[Any]", root.bench.raw.xrange(stream))
    root.bench.raw.delete(stream)

    # As after a failover to a replica whose clock is behind.
    _, fields = entries[0]
    root.bench.raw.xadd(stream, {**fields, "text": "other"}, id="1-0")
    root.sync(full=True)

    assert "other" in root.updates(lease.item)


def test_memory_of_earlier_version_is_read_again(root: Root) -> None:
    lease = reported(root)
    before = contents(root, lease.item)
    path = root.home / "sync" / "state.db"
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE files")
        database.execute("DROP TABLE synced")
        database.execute(
            "CREATE TABLE files (name TEXT PRIMARY KEY, signature TEXT, keys TEXT)"
        )
        database.execute("INSERT INTO files VALUES ('a', 'b', '[]')")
    database.close()

    result = root.sync()

    assert contents(root, lease.item) == before
    assert (result.written, result.imported) == (0, 0)
