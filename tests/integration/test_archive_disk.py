"""The archive of a root on a full disk: nothing is purged, and a later pass does it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import Bench, opened
from support.commands import Shell
from support.disks import FULL, may_mount
from taskorch_orchestrator.backup.archive import Archive

DAY_MS = 86_400_000
ARCHIVE = """
import sys
from pathlib import Path
from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch_orchestrator.backup.archive import Archive

url, namespace = sys.argv[1:]
queue = Queue(connect(url), namespace, Caller(agent="planner"))
archive = Archive(queue, Path(".task-orchestrator").resolve(), "root")
try:
    archive.add_old_projects(86_400_000, lambda: False)
except errors.ArchiveNotWritable as refusal:
    print(refusal)
"""


@pytest.fixture
def bench(valkey_url: str) -> Iterator[Bench]:
    with opened(valkey_url, f"test-{os.urandom(4).hex()}") as bench:
        yield bench


def test_full_disk_delays_the_archive(bench: Bench, tmp_path: Path) -> None:
    if not may_mount():
        pytest.skip("unshare -rm may not mount here")
    home = tmp_path / ".task-orchestrator"
    (home / "archive").mkdir(parents=True)
    project = bench.project()
    bench.item(project, description="x" * 5000)
    bench.queue.complete_project(project, force=True)
    bench.age_project(project)
    mounts = FULL.format(size="64k")

    words = ["unshare", "-rm", "sh", "-c", mounts, "sh", sys.executable]
    full = Shell(tmp_path, {}).run(
        *words, "-c", ARCHIVE, bench.url, bench.namespace
    )
    left = list(bench.queue.views.projects())
    files = list((home / "archive").glob("*.gz"))
    Archive(bench.queue, home, "root").add_old_projects(DAY_MS, lambda: False)

    assert "No space left on device. None of them is purged." in full.stdout
    assert [each.id for each in left] == [project]
    assert files == []
    assert bench.queue.views.projects() == ()
    assert len(list((home / "archive").glob("*.gz"))) == 1
