"""Handoffs are there when a command has assigned items; the mirror takes them over."""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.config.settings import Settings, resolve
from taskorch.domain import errors
from taskorch.domain.item import NewItem, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.queue import Queue
from taskorch_orchestrator import actions
from taskorch_orchestrator.mirror import handoff_writer
from taskorch_orchestrator.mirror.handoff_writer import (
    HandoffWriter,
    source_of,
)
from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.plan import plan_file

pytestmark = pytest.mark.one_lane
ANOTHER_USER = 12345


class BrokenReads:
    """A queue whose Redis does not answer any more."""

    def __init__(self, queue: Queue) -> None:
        self.views = self
        self._queue = queue

    def records(self, _items: Sequence[str]) -> None:
        """Fail as a connection does after its last attempt."""
        raise errors.Unavailable(url="redis://gone", reason="no answer")


def settings_of(root: Root, **flags: str) -> Settings:
    """Return the settings of a command in a root."""
    environment = {"TASKORCH_ROOT": str(root.path), "HOME": str(root.path)}
    return resolve(flags, environment, root.path)


@pytest.fixture
def writer(root: Root) -> HandoffWriter:
    """A writer for a root that has files."""
    root.home.mkdir()
    return HandoffWriter(settings_of(root))


@pytest.fixture
def item(bench: Bench) -> str:
    """An item in the queue of ada."""
    return bench.item()


def test_handoff_is_there_without_a_pass(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    written = writer.write(root.bench.queue, [item])

    assert written.paths == {item: str(root.file(item, "handoff"))}
    assert root.document(item, "handoff")["assigned_to"] == "ada"
    assert root.worker().check() == [item]


def test_mirror_takes_over_written_handoff(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    writer.write(root.bench.queue, [item])
    before = root.file(item, "handoff").stat()

    root.sync()

    after = root.file(item, "handoff").stat()
    assert (after.st_ino, after.st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert root.pending() == [item]
    assert root.sync(full=True).written == 0


@pytest.mark.parametrize(
    "state",
    sorted(set(State) - {State.QUEUED, State.IN_PROGRESS, State.BLOCKED}),
)
def test_handoff_of_unready_item_is_not_written(
    root: Root, writer: HandoffWriter, state: State
) -> None:
    item = root.bench.lease_in(state).item

    written = writer.write(root.bench.queue, [item])

    assert written.paths == {}
    assert not root.file(item, "handoff").exists()


def test_reassigned_item_has_handoff_of_new_agent(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    writer.write(root.bench.queue, [item])

    actions.assign(root.bench.queue, writer, [item], "bob", context={})

    assert root.document(item, "handoff")["assigned_to"] == "bob"


def test_item_assigned_to_wait_loses_handoff(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    writer.write(root.bench.queue, [item])
    root.bench.queue.depend(item, [root.bench.item()])

    done = actions.assign(root.bench.queue, writer, [item], "bob", context={})

    assert [each.handoff for each in done.data] == [""]
    assert not root.file(item, "handoff").exists()


def test_created_and_planned_items_get_handoffs(
    root: Root, writer: HandoffWriter
) -> None:
    queue = root.bench.queue
    project = queue.project("x")
    plan = b"project: y\nitems: [{name: a, title: t, agent: ada}]"

    created = actions.create(
        queue, writer, project, NewItem(title="t", agent="ada")
    )
    applied = actions.apply(queue, writer, plan_file.read("plan", plan))

    planned = applied.data.items[0].id
    assert set(root.worker().check()) == {created.data.id, planned}


def test_dry_run_writes_no_handoff(root: Root, writer: HandoffWriter) -> None:
    plan = b"project: y\nitems: [{name: a, title: t, agent: ada}]"

    actions.apply(
        root.bench.queue, writer, plan_file.read("plan", plan), dry_run=True
    )

    assert not root.handoffs.exists()


def test_root_without_folder_gets_no_files(root: Root, item: str) -> None:
    written = HandoffWriter(settings_of(root)).write(root.bench.queue, [item])

    assert written.paths == {}
    assert not root.home.exists()


def test_root_of_another_queue_gets_no_files(root: Root) -> None:
    mine = settings_of(root)
    others = settings_of(root, namespace="others")
    Mirror(root.bench.queue, root.path, source=source_of(others)).sync()
    item = root.bench.item()

    refused = HandoffWriter(mine).write(root.bench.queue, [item])
    written = HandoffWriter(others).write(root.bench.queue, [item])

    assert refused.paths == {}
    assert list(written.paths) == [item]


def test_address_without_secrets_names_the_queue(root: Root) -> None:
    settings = settings_of(root, redis_url="redis://:secret@example.org/3")

    assert source_of(settings) == "default redis://***@example.org/3"


def test_busy_mirror_writes_the_handoff_itself(
    root: Root,
    writer: HandoffWriter,
    item: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handoff_writer, "LOCK_S", 0.05)
    root.sync()
    other = root.bench.item()

    with (root.home / "sync" / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        written = writer.write(root.bench.queue, [other])
    root.sync()

    assert (written.paths, written.trouble) == ({}, "")
    assert set(root.worker().check()) == {item, other}


def test_more_items_are_left_to_the_mirror(
    root: Root,
    writer: HandoffWriter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handoff_writer, "MOST", 2)
    items = [root.bench.item() for _ in range(3)]

    written = writer.write(root.bench.queue, items)

    assert sorted(written.paths) == sorted(items[:2])


def test_link_as_handoff_folder_is_reported_not_followed(
    root: Root, writer: HandoffWriter, item: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root.handoffs.symlink_to(outside)

    done = actions.assign(root.bench.queue, writer, [item], "ada", context={})

    [assigned] = done.data
    [hint] = done.hints
    assert assigned.handoff == ""
    assert "symbolic link" in hint
    assert list(outside.iterdir()) == []


def test_outage_after_the_assignment_is_not_a_failure(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    reads = BrokenReads(root.bench.queue)

    written = writer.write(cast(Queue, reads), [item])

    assert written.paths == {}
    assert written.trouble.startswith(
        "The items are assigned, but their handoff files are not written yet"
    )


def test_no_lock_is_taken_through_a_link(
    root: Root, writer: HandoffWriter, item: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    sync = root.home / "sync"
    sync.mkdir(mode=0o700)
    (sync / "lock").symlink_to(elsewhere)

    written = writer.write(root.bench.queue, [item])

    assert "symbolic link" in written.trouble
    assert not elsewhere.exists()


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a folder to another user"
)
def test_files_of_another_user_are_left_alone(
    root: Root, writer: HandoffWriter, item: str
) -> None:
    sync = root.home / "sync"
    sync.mkdir(mode=0o700)
    os.chown(sync, ANOTHER_USER, ANOTHER_USER)

    done = actions.assign(root.bench.queue, writer, [item], "bob", context={})

    assert [each.handoff for each in done.data] == [""]
    assert [hint for hint in done.hints if "another user" in hint] == []


class Reads(ConnectionWrapper):
    """A connection that counts the items of each read of handoffs."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.counts: list[int] = []

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if script.name == "records":
            self.counts.append(
                sum(str(word).startswith("item_") for word in arguments)
            )
        return self.connection.run_script(script, key, arguments)


def test_many_handoffs_are_read_in_parts(
    root: Root, writer: HandoffWriter
) -> None:
    project = root.bench.project()
    items = [root.bench.item(project) for _ in range(25)]
    reads: list[Reads] = []

    def counted(connection: Connection) -> Connection:
        reads.append(Reads(connection))
        return reads[-1]

    written = writer.write(root.bench.with_connection(counted).queue, items)

    assert set(written.paths) == set(items)
    assert reads[0].counts == [10, 10, 5]
