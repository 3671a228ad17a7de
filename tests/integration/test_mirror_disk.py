"""`orchestrate sync` on a full disk, in a read-only folder, and in an ASCII locale."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell
from support.disks import FULL, may_mount
from support.mirrors import Root, root_at
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease
from taskorch.queue.queue import Queue

READ_ONLY = 'mount --bind "$PWD" "$PWD" && mount -o remount,bind,ro "$PWD" && cd "$PWD" && exec "$@"'


def mounted(root: Root, mounts: str) -> CommandResult:
    """Make a pass with mounts in the root that only this process sees."""
    if not may_mount():
        pytest.skip("unshare -rm may not mount here")
    return shell(root).run(
        "unshare", "-rm", "sh", "-c", mounts, "sh", BIN / "orchestrate", "sync"
    )


def shell(root: Root) -> Shell:
    return Shell(
        root.path,
        {
            "TASKORCH_REDIS_URL": root.bench.url,
            "TASKORCH_NAMESPACE": root.bench.namespace,
            "TASKORCH_ROOT": str(root.path),
            "AGENT_ID": "planner",
        },
    )


@pytest.fixture
def root(valkey_url: str, tmp_path: Path) -> Iterator[Root]:
    namespace, connection = f"test-{os.urandom(4).hex()}", connect(valkey_url)
    with redis.Redis.from_url(valkey_url, decode_responses=True) as raw:
        queue = Queue(connection, namespace, Caller(agent="planner"))
        yield root_at(Bench(queue, raw, namespace, valkey_url), tmp_path)
    connection.close()


@pytest.fixture
def item(root: Root) -> str:
    """An item on which both sides have reported since the last pass."""
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "by a file")
    root.bench.item()
    return item


def test_read_only_folder_is_reported_without_loss(
    root: Root, item: str
) -> None:
    ran = mounted(root, READ_ONLY)
    result = root.sync()

    assert ran.code == 5
    assert f"Cannot write to {root.path}" in ran.stderr
    assert root.history(item) == [("progress", "by a file")]
    assert result.troubles == {}


@pytest.mark.parametrize("size", ["400k", "2m"])
def test_full_disk_is_reported_without_loss(
    root: Root, item: str, size: str
) -> None:
    before = root.visible_files()

    ran = mounted(root, FULL.format(size=size))
    (root.path / "kept").rename(root.path / "aside")
    left = {
        path.name: path.read_bytes()
        for path in (root.path / "aside" / "handoffs").iterdir()
    }
    result = root.sync()

    assert ran.code == 5, ran.stderr
    assert "Cannot write to" in ran.stderr
    assert "No space left on device" in ran.stderr or "full" in ran.stderr
    assert {name: left[name] for name in before if name.endswith(".json")} == {
        name: data for name, data in before.items() if name.endswith(".json")
    }
    assert not [name for name in left if name.endswith(".tmp")]
    assert root.history(item) == [("progress", "by a file")]
    assert result.troubles == {}


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_unicode_text_survives_an_ascii_locale(
    root: Root, locale: str
) -> None:
    item = root.bench.item(title="Größe ✅ 🎉")
    root.bench.agent().progress(Lease(item=item), "über 🎉")
    root.handoffs.mkdir(parents=True)
    root.put(item, "discoveries", [])
    plain = shell(root).having(
        LC_ALL=locale, PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"
    )

    first = plain.orchestrate("sync")
    lines = json.dumps({"found": "naïve ☃"})
    root.worker("ada").blocker(item, "Où? 🎉", lines)
    second = plain.orchestrate("sync")
    status = plain.orchestrate("sync", "status")

    assert [ran.code for ran in (first, second, status)] == [0, 0, 0], (
        first,
        second,
        status,
    )
    assert root.document(item, "handoff")["task"]["title"] == "Größe ✅ 🎉"
    assert root.updates(item)[0] == "über 🎉"
    assert "stray" in dict(root.history(item)) or (
        "blocker",
        "Où? 🎉",
    ) in root.history(item)
    assert any("Où? 🎉" in text for _, text in root.history(item))
