"""What the bundled server has appended is kept by the disk, too: its service sees to that."""

import os
from pathlib import Path

import pytest
from taskorch.bundled import server
from taskorch.config.settings import resolve


def test_the_files_that_the_server_appends_to_are_synced(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = folder / ".task-orchestrator" / "data" / "1a2b" / "appendonlydir"
    appended.mkdir(parents=True)
    files = [
        appended / name
        for name in ("appendonly.aof.1.incr.aof", "appendonly.aof.2.incr.aof")
    ]
    for file in files:
        file.touch()
    synced: set[int] = set()
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino)
    )

    server.ServerHandle(resolve({}, {}, folder), lock=0).sync()

    assert synced == {file.stat().st_ino for file in files}


def test_a_folder_that_is_gone_is_nothing_to_sync(folder: Path) -> None:
    server.ServerHandle(resolve({}, {}, folder), lock=0).sync()

    assert list(folder.iterdir()) == []
