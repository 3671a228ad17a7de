"""Fixtures of the tests of the file mirror."""

import pytest
from taskorch_orchestrator.mirror import item_sync, report_import


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a pass wait for the rest of a file, however slow the machine is.

    `mirrors.skip_wait` ends this wait.
    """
    for module in (item_sync, report_import):
        monkeypatch.setattr(module, "WAIT_S", 3600.0)
