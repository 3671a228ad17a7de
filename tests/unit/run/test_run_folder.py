"""The temporary folder of `worker run`."""

import tempfile
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch_worker.run import pool


def test_missing_temporary_folder_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    with pytest.raises(errors.Invalid, match="Set TMPDIR"):
        pool.temporary_folder()
