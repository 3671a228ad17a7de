"""The folder `handoffs/` replaces files, and never edits one in place."""

import os
from pathlib import Path

from taskorch_orchestrator.mirror import handoff_folder

NAME = "item_11aa22bb_progress.json"


def test_leftover_link_is_not_written_through(tmp_path: Path) -> None:
    home = tmp_path / ".task-orchestrator"
    with handoff_folder.opened(home) as folder:
        folder.write(NAME, b"what a worker is reading")
    file = home / "handoffs" / NAME
    os.link(file, file.with_name(f".item_{NAME}.{os.getpid()}.tmp"))

    with file.open("rb") as reader, handoff_folder.opened(home) as folder:
        folder.write(NAME, b"new")
        read = reader.read()

    assert read == b"what a worker is reading"
    assert file.read_bytes() == b"new"
    assert [each.name for each in file.parent.iterdir()] == [NAME]
