"""What a test leaves behind is reported for that test."""

import os
import socket
import subprocess
import threading
from contextlib import closing

import pytest
from support import leaks


class Circle:
    """What only the garbage collector frees."""

    def __init__(self, content: object) -> None:
        self.content = content
        self.itself = self


def test_socket_in_garbage_is_reported() -> None:
    before = leaks.Open.now()
    Circle(socket.socket())

    (left,) = leaks.unclosed(before)

    assert "unclosed <socket" in left


def test_socket_that_is_referred_to_is_not() -> None:
    before = leaks.Open.now()

    with closing(socket.socket()):
        assert leaks.unclosed(before) == []


def test_thread_that_still_runs_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leaks, "ENDED_WITHIN_S", 0)
    before, end = leaks.Open.now(), threading.Event()
    thread = threading.Thread(target=end.wait, name="forgotten")
    thread.start()

    (left,) = leaks.unclosed(before)
    end.set()
    thread.join()

    assert "forgotten" in left


def test_orphan_is_reported_with_its_test(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leaks, "ENDED_WITHIN_S", 0)
    script = "sleep 99 >/dev/null 2>&1 & echo $!"
    orphan = int(
        subprocess.run(
            ["sh", "-c", script], capture_output=True, check=True
        ).stdout
    )

    reported = leaks.running()
    os.kill(orphan, 9)

    assert any(
        "test_orphan_is_reported_with_its_test" in line and "sleep 99" in line
        for line in reported
    )
