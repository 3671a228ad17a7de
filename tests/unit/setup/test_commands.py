"""The commands are found for a user whom the machine knows little about."""

import os

import pytest
from taskorch_orchestrator.render import setup as render
from taskorch_orchestrator.setup import commands, installed, programs


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user without an entry in the password database, as in a container."""
    monkeypatch.setattr(os, "getuid", lambda: 2_000_000_123)
    for name in ("HOME", "SHELL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.usefixtures("unknown_user")
def test_commands_are_found_for_unknown_user() -> None:
    found = commands.find(os.environ)

    assert found.login_path


@pytest.mark.usefixtures("unknown_user")
def test_setup_of_unknown_user_has_a_folder() -> None:
    root = programs.of_user("claude", os.environ)
    found = commands.Commands(folder=root, shell="/bin/sh")
    target = programs.Target(
        root=root, is_user=True, environment=os.environ, commands=found
    )

    hints = " ".join(
        render.hints("claude", target, root, installed.find("claude", {}))
    )

    assert str(root) == "/"
    assert "/.local/bin" in hints
