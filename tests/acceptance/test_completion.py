"""Shell completion of ids, agents and projects from the queue."""

import socket
from time import monotonic

import pytest
from support.builders import Bench
from support.commands import BIN, CommandResult, Shell, eventually
from taskorch.domain.item import NewItem, State

#: Far below the time limits of a connection alone, which are half a minute. The queue
#: gets at most 0.1 s of it.
LIMIT_S = 20.0


def completed(shell: Shell, line: str) -> CommandResult:
    """Press Tab at the end of a line in bash."""
    words = line.split(" ")
    variables = {
        f"_{words[0].upper()}_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    return shell.having(**variables).run(BIN / words[0])


def values(shell: Shell, line: str) -> set[str]:
    ran = completed(shell, line)
    assert (ran.code, ran.stderr) == (0, "")
    return {row.partition(",")[2] for row in ran.stdout.splitlines() if row}


def completes(shell: Shell, line: str, expected: set[str]) -> None:
    """Press Tab until a read of the queue ends in time: the machine may be busy."""
    seen: list[set[str]] = []

    def has_values() -> bool:
        seen.append(values(shell, line))
        return bool(seen[-1])

    eventually(has_values)
    assert seen[-1] == expected


def test_orchestrator_completes_ids(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("P", id="proj_7fed0001")
    items = {
        bench.queue.create(project, NewItem(title="x", id=f"item_{digits}"))
        for digits in ("7fed0001", "7fee0002", "abcd0003")
    }

    completes(shell, "orchestrate show ", items)
    completes(shell, "orchestrate show ite", items)
    completes(
        shell,
        "orchestrate show item_7f",
        {
            "item_7fed0001",
            "item_7fee0002",
        },
    )
    completes(shell, "orchestrate show 7fed", {"item_7fed0001"})
    assert values(shell, "orchestrate show proj") == set()
    completes(shell, "orchestrate create ", {project})
    completes(shell, "orchestrate stuck --project proj_7", {project})
    completes(
        shell,
        "orchestrate progress 7fed",
        {
            project,
            "item_7fed0001",
        },
    )
    assert values(shell, "orchestrate show x") == set()


def test_worker_completes_its_own_items(shell: Shell, bench: Bench) -> None:
    held, queued = bench.claimed().item, bench.item()
    bench.item(agent="bob")
    bench.lease_in(State.COMPLETED)

    completes(shell, "worker progress ", {held, queued})
    completes(shell, f"worker get {held[:12]}", {held})


def test_agents_are_completed(shell: Shell, bench: Bench) -> None:
    item = bench.item(agent="database_specialist")
    bench.agent("data_engineer").check()

    completes(
        shell,
        f"orchestrate assign {item} data",
        {
            "database_specialist",
            "data_engineer",
        },
    )
    completes(
        shell,
        "orchestrate list --agent data_",
        {"data_engineer"},
    )


def test_titles_are_shown_by_zsh(shell: Shell, bench: Bench) -> None:
    item = bench.item(title="One\x1b[31m title")
    variables = {
        "_ORCHESTRATE_COMPLETE": "zsh_complete",
        "COMP_WORDS": "orchestrate show item_",
        "COMP_CWORD": "2",
    }

    zsh = shell.having(**variables)
    runs: list[CommandResult] = []

    def has_values() -> bool:
        runs.append(zsh.run(BIN / "orchestrate"))
        return bool(runs[-1].stdout.strip())

    eventually(has_values)
    assert runs[-1].stdout.splitlines() == [
        "plain",
        item,
        "One\\x1b[31m title",
    ]


@pytest.mark.parametrize(
    "line",
    ["orchestrate show ", "worker get ", "orchestrate assign item_1a2b3c4d "],
)
def test_completion_without_redis_is_silent(shell: Shell, line: str) -> None:
    away = shell.having(TASKORCH_REDIS_URL="redis://localhost:1")

    ran = completed(away, line)

    assert (ran.code, ran.stdout.strip(), ran.stderr) == (0, "", "")


def test_completion_waits_for_no_silent_server(shell: Shell) -> None:
    with socket.create_server(("localhost", 0)) as silent:
        port = silent.getsockname()[1]
        away = shell.having(TASKORCH_REDIS_URL=f"redis://localhost:{port}")
        began = monotonic()

        ran = completed(away, "orchestrate show ")

    assert monotonic() - began < LIMIT_S
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "")


def test_completion_starts_no_server(local: Shell) -> None:
    local.orchestrate("project", "x")
    eventually(lambda: values(local, "orchestrate progress "))
    local.orchestrate("server", "stop")

    assert values(local, "orchestrate progress ") == set()

    status = local.orchestrate("server", "status", "--json").data()
    assert status["running"] is False


def test_completion_creates_no_queue(local: Shell) -> None:
    assert values(local, "orchestrate show ") == set()
    assert values(local, "worker get ") == set()

    assert list(local.folder.iterdir()) == []


def test_completion_changes_nothing(shell: Shell, bench: Bench) -> None:
    bench.item()
    before = bench.queue.views.events()

    values(shell, "worker get ")
    values(shell, "orchestrate show ")

    assert bench.queue.views.events() == before
    assert bench.queue.views.agents()[0].last_seen_at == 0
