"""A pass that is killed at any of its steps: the next pass repairs the files."""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import pytest
import redis
from support.builders import Bench
from support.mirrors import Root, discovery, progress, root_at, update
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.port import Argument, Connection, Reply, Script
from taskorch.queue.queue import Queue
from taskorch.transport.socket import SocketConnection
from taskorch_orchestrator.mirror import handoff_folder
from taskorch_orchestrator.mirror.mirror import Mirror

CALLS = (
    "open",
    "fdopen",
    "fsync",
    "link",
    "rename",
    "unlink",
    "listdir",
    "scandir",
    "pread",
)
#: Each test kills at every fourth step.
PARTS = 4
TIMES = re.compile(rb"\d{4}-\d\d-\d\dT[\d:.]{15}|\d{13}-\d+|\"sequence\": \d+")


class Killed(BaseException):
    """The process is dead: all its later steps fail."""


class Fate:
    """Kills the process at a step."""

    def __init__(self, at: int) -> None:
        self.left = at

    @property
    def is_dead(self) -> bool:
        return self.left < 0

    def step(self) -> None:
        self.left -= 1
        if self.is_dead:
            raise Killed

    def before(self, act: Callable[..., Any]) -> Callable[..., Any]:
        def fated(*arguments: Any, **how: Any) -> Any:
            self.step()
            return act(*arguments, **how)

        return fated

    def database(self) -> type[sqlite3.Connection]:
        """Return a class of connections that may be killed before or after a commit."""
        fate = self

        class Mortal(sqlite3.Connection):
            def __exit__(self, *error: Any) -> Literal[False]:  # noqa: PYI036  an error is raised again
                if not fate.is_dead:
                    try:
                        fate.step()
                    except Killed as killed:
                        super().__exit__(Killed, killed, None)
                        raise
                super().__exit__(*error)
                if not fate.is_dead:
                    fate.step()
                return False

        return Mortal


class MortalConnection(SocketConnection):
    """A connection that may be killed before or after a call."""

    def __init__(self, inner: Connection, fate: Fate) -> None:
        self.inner, self.fate = inner, fate

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.fate.step()
        reply = self.inner.run_script(script, key, arguments)
        self.fate.step()
        return reply


@pytest.fixture
def connection(valkey_url: str) -> Iterator[Connection]:
    connection = connect(valkey_url)
    yield connection
    connection.close()


def prepared(connection: Connection, url: str, path: Path) -> Root:
    """Return a root where both sides have changed since the last pass."""
    namespace, path = f"test-{os.urandom(4).hex()}", path / os.urandom(4).hex()
    bench = Bench(
        Queue(connection, namespace, Caller(agent="planner")),
        redis.Redis.from_url(url),
        namespace,
        url,
    )
    project = bench.queue.project("P", id="proj_p")
    for name in ("filed", "moved", "shared", "dropped", "grown"):
        bench.queue.create(
            project, NewItem(title="T", id=f"item_{name}", agent="ada")
        )
    root = root_at(bench, path)
    root.sync()
    root.worker().progress("item_shared", "first")
    grown = bench.agent().progress(Lease(item="item_grown"), "first").lease
    root.sync()
    bench.agent().progress(grown, "second")
    bench.queue.assign("item_moved", "bob")
    bench.queue.cancel("item_dropped")
    bench.queue.create(project, NewItem(title="T", id="item_new", agent="ada"))
    lease = (
        bench.agent().progress(Lease(item="item_new"), "by a command").lease
    )
    bench.agent().discover(lease, "by a command")
    root.worker().progress("item_filed", "begun", 10)
    root.worker().discover("item_filed", "found")
    root.worker().blocker("item_filed", "which?", "a word")
    root.worker().complete("item_filed", "done")
    record = bench.queue.views.records(["item_shared"])[0]
    lease = bench.lease_of("item_shared")
    bench.agent(session=record.session).progress(lease, "by a command")
    mine = root.document("item_shared", "progress")
    mine["updates"].append(update("second", at="2026-01-02T03:04:06.000001"))
    root.put("item_shared", "progress", mine)
    root.put(
        "item_shared",
        "discoveries",
        [discovery("item_shared", "of a stranger", agent="carl")],
    )
    root.put(
        "item_moved", "progress", progress("item_moved", update("too late"))
    )
    return root


def half_written(fate: Fate) -> Callable[[int, memoryview, int], int]:
    """Return a write that leaves a half of its data if it is killed."""
    write = os.pwrite

    def fated(descriptor: int, data: memoryview, at: int) -> int:
        was_dead = fate.is_dead
        try:
            fate.step()
        except Killed:
            if not was_dead:
                write(descriptor, data[: len(data) // 2], at)
            raise
        return write(descriptor, data, at)

    return fated


def killed_pass(root: Root, at: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Make a pass that is killed at a step; return whether it was."""
    fate = Fate(at)
    bench = root.bench.with_connection(
        lambda inner: MortalConnection(inner, fate)
    )
    real, mirror, pid = (
        sqlite3.connect,
        Mirror(bench.queue, root.path),
        os.getpid() + 1,
    )
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", half_written(fate))
        for name in CALLS:
            patched.setattr(os, name, fate.before(getattr(os, name)))
        patched.setattr(os, "getpid", lambda: pid)
        patched.setattr(
            sqlite3,
            "connect",
            lambda *given, **how: real(*given, factory=fate.database(), **how),
        )
        with suppress(Killed):
            mirror.sync()
    return fate.is_dead


def _without_findings(name: str, data: bytes) -> bytes:
    """Return a handoff without the discoveries of others.

    It has those that were there when it was written, and a killed pass writes it later.
    """
    if not name.endswith("_handoff.json"):
        return data
    package = json.loads(data)
    del package["x_sync"]["findings"], package["x_sync"]["checksum"]
    return json.dumps(package, indent=2).encode()


def outcome(root: Root) -> tuple[object, ...]:
    """Return everything that matters of a root and its items, without times."""
    files = {
        name: TIMES.sub(b"T", _without_findings(name, data))
        for name, data in root.visible_files().items()
    }
    items = [
        f"item_{name}"
        for name in ("filed", "moved", "shared", "dropped", "grown", "new")
    ]
    with sqlite3.connect(root.home / "orchestration.db") as database:
        rows = sorted(
            database.execute(
                "SELECT item_id, status, assigned_to FROM work_items"
            )
        )
    database.close()
    return (
        files,
        rows,
        [
            (sorted(root.history(item)), sorted(root.discoveries(item)))
            for item in items
        ],
    )


@pytest.mark.parametrize("first", range(PARTS))
def test_next_pass_repairs_after_a_killed_one(
    connection: Connection,
    valkey_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: int,
) -> None:
    monkeypatch.setattr(handoff_folder, "KEPT_S", -1.0)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    undisturbed = prepared(connection, valkey_url, tmp_path)
    undisturbed.sync()
    expected = outcome(undisturbed)
    wrong: dict[int, object] = {}

    at = first
    while True:
        root = prepared(connection, valkey_url, tmp_path)
        died = killed_pass(root, at, monkeypatch)
        root_at(root.bench, root.path).sync()
        after = outcome(root)
        last = root_at(root.bench, root.path).sync()
        if (
            after != expected
            or outcome(root) != expected
            or last.written
            or root.hidden_files()
        ):
            wrong[at] = after
        if list((root.home / "sync" / "replaced").iterdir()):
            wrong[at] = "a replaced file is left"
        root.bench.raw.delete(
            *root.bench.raw.scan_iter(f"taskorch:{{{root.bench.namespace}}}*")
        )
        at += PARTS
        if not died:
            break

    assert not wrong, wrong
    assert at > 100
