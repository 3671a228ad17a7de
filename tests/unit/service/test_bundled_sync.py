"""The service syncs the bundled server's appended data to the disk."""

import os
from pathlib import Path

import pytest
from taskorch.bundled import server
from taskorch.config.settings import resolve


def test_appended_files_are_synced_to_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    appended = (
        folder / ".task-orchestrator" / "data" / "1a2b" / "appendonlydir"
    )
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


def test_missing_data_folder_is_not_an_error(folder: Path) -> None:
    server.ServerHandle(resolve({}, {}, folder), lock=0).sync()

    assert list(folder.iterdir()) == []
