"""The reaper of acceptance checks: it leaves no process, and needs no disk space."""

import signal
import subprocess
import tempfile

import pytest
from taskorch_worker.run.reaper import reaping


def test_reaper_of_checks_needs_no_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")

    with reaping(0.1) as reaper:
        process = subprocess.Popen(["sleep", "600"], start_new_session=True)
        reaper.watch(process.pid)

    assert process.wait() == -signal.SIGTERM
