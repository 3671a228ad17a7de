"""Commands where the kernel refuses sockets, as in the sandbox of an agent program."""

import sys
from time import monotonic

import pytest
from support import sandbox
from support.commands import BIN, CommandResult, Shell

pytestmark = pytest.mark.skipif(
    not sandbox.is_available(),
    reason="the filter is for Linux on x86-64 and arm64",
)
#: Far less than the 60 s that a server may take to load its data.
AT_ONCE_S = 20


def sandboxed(shell: Shell, error: str, *words: str) -> CommandResult:
    command, *arguments = words
    began = monotonic()
    ran = shell.run(
        sys.executable, sandbox.__file__, error, BIN / command, *arguments
    )
    assert monotonic() - began < AT_ONCE_S
    return ran


def is_explained(ran: CommandResult) -> bool:
    """Return whether a command reported that it may not connect, with the advice."""
    words = (
        "This process is not allowed to connect to",
        "sandbox",
        "sandbox_workspace_write.network_access = true",
    )
    return ran.code == 4 and all(word in ran.stderr for word in words)


@pytest.mark.parametrize("error", ["EPERM", "EACCES"])
def test_sandbox_without_sockets_is_named(local: Shell, error: str) -> None:
    local.orchestrate("project", "One")

    ran = sandboxed(local, error, "orchestrate", "projects")
    told = sandboxed(local, error, "worker", "check", "--json").error()

    assert is_explained(ran), ran.stderr
    assert "server.sock" in ran.stderr
    assert (told["code"], told["retryable"]) == ("NOT_PERMITTED", False)


def test_server_cannot_be_asked_from_a_sandbox(local: Shell) -> None:
    pid = local.orchestrate("server", "start", "--json").data()["pid"]

    runs = [
        sandboxed(local, "EPERM", "orchestrate", "server", word)
        for word in ("status", "stop", "start")
    ]

    assert [is_explained(ran) for ran in runs] == [True] * 3, runs
    assert local.orchestrate("server", "status", "--json").data()["pid"] == pid


@pytest.mark.parametrize(
    "words",
    [["orchestrate", "project", "One"], ["orchestrate", "server", "start"]],
)
def test_server_that_a_sandbox_cannot_start_is_explained(
    local: Shell, words: list[str]
) -> None:
    ran = sandboxed(local, "EPERM", *words)

    assert is_explained(ran), ran.stderr


def test_waiting_command_gives_up_in_a_sandbox(local: Shell) -> None:
    local.orchestrate("project", "One")
    waiting = (
        ["run", "--once", "--", "true"],
        ["pop", "--wait", "60"],
        ["wait", "item_1"],
    )

    runs = [sandboxed(local, "EPERM", "worker", *words) for words in waiting]

    assert [is_explained(ran) for ran in runs] == [True] * len(waiting), runs


def test_sandbox_without_tcp_is_named(local: Shell) -> None:
    remote = local.having(TASKORCH_REDIS_URL="redis://127.0.0.1:6379/0")

    ran = sandboxed(remote, "EPERM", "orchestrate", "projects")

    assert is_explained(ran), ran.stderr
    assert "redis://127.0.0.1:6379/0" in ran.stderr


@pytest.mark.parametrize(
    "kind",
    [
        "redis+cluster://127.0.0.1:6379",
        "redis+sentinel://127.0.0.1:26379/main",
    ],
)
def test_sandbox_is_named_for_a_deployment(local: Shell, kind: str) -> None:
    ran = sandboxed(
        local.having(TASKORCH_REDIS_URL=kind),
        "EPERM",
        "orchestrate",
        "projects",
    )

    assert is_explained(ran), ran.stderr
