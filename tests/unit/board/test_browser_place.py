"""Whether a browser can be opened here, and how another machine reaches the board."""

import sys

import pytest
from taskorch_orchestrator.board import browser

URL = "http://127.0.0.1:8650"
OVER_SSH = {"SSH_CONNECTION": "198.51.100.7 50000 192.0.2.10 22"}


@pytest.mark.parametrize(
    ("environment", "is_here"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", **OVER_SSH}, False),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, False),
        ({"BROWSER": "firefox", **OVER_SSH}, True),
        ({"DISPLAY": ""}, sys.platform == "darwin"),
        ({}, sys.platform == "darwin"),
    ],
)
def test_browser_is_in_front_of_the_person(
    environment: dict[str, str],
    is_here: bool,  # noqa: FBT001
) -> None:
    assert browser.is_here(environment) is is_here


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        (
            {**OVER_SSH, "USER": "ada"},
            "ssh -N -L 8650:127.0.0.1:8650 ada@192.0.2.10",
        ),
        (
            {"SSH_CONNECTION": "198.51.100.7 50000 192.0.2.10 2222"},
            "ssh -N -L 8650:127.0.0.1:8650 -p 2222 192.0.2.10",
        ),
    ],
)
def test_forwarding_names_this_machine_as_ssh_does(
    environment: dict[str, str], command: str
) -> None:
    assert browser.forwarding(URL, environment) == command
