"""Acceptance checks that take longer than a program waits for the tool `complete`."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.builders import Bench
from support.commands import Shell, eventually, result_of
from support.tool_client import (
    INITIALIZE,
    PING,
    call_message,
    cancel_message,
    document_of,
    receive,
    send,
    start_server,
)
from taskorch.domain.acceptance import RunCheck
from taskorch.domain.item import State

#: Notes its process, and ends when it may: well if the work is there.
SLOW = RunCheck(
    run=(
        "sh",
        "-c",
        "echo $$ >> begun; until test -e go; do sleep 0.05; done; test -e work",
    )
)
#: A server whose calls wait for checks for a moment only.
IMPATIENT = """
from taskorch_worker import cli, mcp_tools
mcp_tools.CHECKS_WAIT_S = 0.2
cli.main()
"""


class Server:
    """A server of ada, and what its slow check does."""

    def __init__(
        self, shell: Shell, process: subprocess.Popen[str], item: str
    ) -> None:
        self.process = process
        self.folder = shell.folder
        self._item = item

    def begin(self, id_: int, **meta: object) -> None:
        """Call `complete`."""
        call = call_message(id_, "complete", item=self._item, summary="Done")
        call["params"]["_meta"] = meta
        send(self.process, call)

    def cancel(self, id_: int) -> None:
        """Cancel a call, and wait until the server knows."""
        send(self.process, cancel_message(id_), PING)
        (message,) = receive(self.process)
        assert message["id"] == PING["id"], message

    def answer(self, id_: int) -> Any:
        """Return the document that answers a call."""
        (message,) = receive(self.process)
        assert message["id"] == id_, message
        return document_of(message["result"])

    def result_after(self, early: Any) -> Any:
        """Call `complete` until the error that told to call again is over."""
        documents: list[Any] = []

        def is_known() -> bool:
            id_ = 2 + len(documents)
            self.begin(id_)
            documents.append(self.answer(id_))
            return bool(documents[-1].get("error") != early)

        eventually(is_known)
        return documents[-1]

    @property
    def begun(self) -> list[str]:
        """The processes of the check."""
        file = self.folder / "begun"
        return file.read_text().splitlines() if file.exists() else []

    def end_check(self, *, passes: bool) -> None:
        """Let the check end."""
        if passes:
            (self.folder / "work").touch()
        (self.folder / "go").touch()


@pytest.fixture
def slow(shell: Shell, bench: Bench) -> Iterator[Server]:
    item = bench.item(checks=(SLOW,))
    process = start_server(shell)
    receive(process)
    server = Server(shell, process, item)
    yield server
    server.end_check(passes=False)
    process.kill()
    process.communicate()


def test_next_call_gets_result_of_cancelled_one(
    bench: Bench, slow: Server
) -> None:
    slow.begin(1)
    eventually(lambda: slow.begun)
    slow.cancel(1)

    slow.begin(2)
    slow.end_check(passes=True)
    completed = slow.answer(2)

    item = bench.queue.views.show(completed["data"]["id"]).item
    assert completed["data"]["state"] == "completed"
    assert len(slow.begun) == 1
    assert [each.source for each in item.evidence] == ["worker"]


def test_failed_check_is_reported_to_the_next_call(
    bench: Bench, slow: Server
) -> None:
    slow.begin(1)
    eventually(lambda: slow.begun)
    slow.cancel(1)
    slow.end_check(passes=False)

    slow.begin(2)
    failed = slow.answer(2)["error"]
    (slow.folder / "work").touch()
    slow.begin(3)
    completed = slow.answer(3)["data"]

    assert failed["code"] == "CHECKS_FAILED"
    assert failed["details"]["failed"][0]["problem"] == "exit status 1"
    assert len(slow.begun) == 2
    assert bench.state(completed["id"]) is State.COMPLETED


def test_long_check_is_answered_before_it_ends(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(checks=(SLOW,))
    process = shell.start(sys.executable, "-c", IMPATIENT, "mcp")
    send(process, INITIALIZE)
    receive(process)
    server = Server(shell, process, item)

    server.begin(1)
    early = server.answer(1)["error"]
    eventually(lambda: server.begun)
    server.end_check(passes=True)
    completed = server.result_after(early)["data"]
    process.communicate()

    assert (early["code"], early["exit_code"]) == ("CHECKS_RUNNING", 8)
    assert early["retryable"] is True
    assert early["hint"] == "To get their results, call this tool again."
    assert completed["state"] == "completed"
    assert len(server.begun) == 1


def test_slow_check_reports_progress(slow: Server) -> None:
    slow.begin(1, progressToken="p")
    (progress,) = receive(slow.process)
    slow.end_check(passes=True)

    assert progress["method"] == "notifications/progress"
    assert progress["params"]["progressToken"] == "p"
    assert slow.answer(1)["data"]["state"] == "completed"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_end_of_server_ends_its_checks(
    bench: Bench, slow: Server, number: signal.Signals
) -> None:
    slow.begin(1, progressToken="p")
    eventually(lambda: slow.begun)
    receive(slow.process)  # by now, the check is one that is cleaned up

    slow.process.send_signal(number)
    result_of(slow.process)

    eventually(lambda: not _is_running(slow.begun[0]))
    (held,) = bench.agent().check().items
    assert held.evidence == ()


def _is_running(pid: str) -> bool:
    return Path(f"/proc/{pid}").exists()
