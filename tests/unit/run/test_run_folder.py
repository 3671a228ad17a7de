"""The folder for temporary files of `worker run`."""

import tempfile
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch_worker.run import pool


def test_run_without_a_temporary_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    with pytest.raises(errors.Invalid, match="Set TMPDIR"):
        pool.temporary_folder()
