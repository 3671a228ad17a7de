"""`orchestrate status`: one screen about a namespace, and about a missing server."""

import os
import signal

import pytest
from rich.cells import cell_len
from support.builders import Bench
from support.commands import BIN, Shell, alive, eventually
from taskorch.domain.item import State

TITLES = ["Needs you", "Agents", "Projects", "Health"]


def section(text: str, title: str) -> list[str]:
    """Return the lines below a title."""
    lines = text.splitlines()
    following = TITLES[TITLES.index(title) + 1 :]
    rest = lines[lines.index(title) + 1 :]
    ends = [rest.index(each) for each in following if each in rest]
    return [line for line in rest[: min(ends, default=len(rest))] if line]


def test_empty_namespace_needs_nothing(shell: Shell) -> None:
    project = shell.orchestrate("project", "x").stdout.strip()
    shell.orchestrate("complete", project)

    ran = shell.orchestrate("status")

    assert ran.code == 0
    assert section(ran.stdout, "Projects") == ["No open project."]
    assert [
        line for line in ran.stdout.splitlines() if line in TITLES
    ] == TITLES
    assert section(ran.stdout, "Needs you") == ["Nothing."]
    assert section(ran.stdout, "Agents") == ["None."]


def test_screen_shows_what_needs_the_user(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("Build it")
    asking = bench.bring_to(bench.item(project), State.BLOCKED).item
    failed = bench.bring_to(bench.item(project), State.FAILED).item
    bench.item(project, agent="")

    ran = shell.orchestrate("status")

    needs = section(ran.stdout, "Needs you")
    assert needs[0] == f"{asking} ada asks (question 1): Which one?"
    assert any(
        row.startswith(failed) and row.endswith(f"requeue {failed}")
        for row in needs
    )
    assert "1 item has no agent: orchestrate unassigned" in needs
    assert sum(row.startswith(asking) for row in needs) == 1
    assert section(ran.stdout, "Agents")[1].startswith("ada ")
    assert section(ran.stdout, "Projects")[1].startswith(project)
    assert section(ran.stdout, "Health")[0].startswith("Redis answers at ")


def test_sections_are_bounded(shell: Shell, bench: Bench) -> None:
    for number in range(7):
        lease = bench.claimed(
            bench.item(agent=f"agent_{number}"), agent=f"agent_{number}"
        )
        bench.agent(f"agent_{number}").blocker(lease, "Which one?")

    few, all_ = (
        shell.orchestrate("status", *words) for words in ((), ("--limit", "7"))
    )

    needs = section(few.stdout, "Needs you")
    assert sum(" asks (" in row for row in needs) == 5
    assert "… and more questions: orchestrate inbox" in needs
    assert "… and more agents: orchestrate agents" in few.stdout
    assert "… and more projects: orchestrate projects" in few.stdout
    assert (
        sum(" asks (" in row for row in section(all_.stdout, "Needs you")) == 7
    )
    assert "and more" not in all_.stdout


def test_document_has_every_section(shell: Shell, bench: Bench) -> None:
    asking = bench.lease_in(State.BLOCKED).item

    data = shell.orchestrate("status", "--json").data()

    assert set(data) == {
        "namespace",
        "questions",
        "stuck",
        "unassigned",
        "agents",
        "pools",
        "projects",
        "health",
        "reviews",
        "budgets",
    }
    assert [each["id"] for each in data["questions"]] == [asking]
    assert data["health"]["reachable"] is True
    assert data["health"]["server"] is None


@pytest.mark.parametrize("width", [80, 60])
def test_screen_fits_the_terminal(
    shell: Shell, bench: Bench, width: int
) -> None:
    project = bench.queue.project("長い題名" * 20)
    for state in (State.BLOCKED, State.FAILED, State.IN_PROGRESS):
        bench.bring_to(bench.item(project, title="🙂 " * 60), state)

    _, screen = shell.having(NO_COLOR="1").on_terminal(
        BIN / "orchestrate", "status", width=width
    )

    assert max(map(cell_len, screen.splitlines())) <= width


def test_hostile_texts_are_escaped(shell: Shell, bench: Bench) -> None:
    project = bench.queue.project("\x1b[31mred\nNeeds you")
    lease = bench.claimed(bench.item(project, title="\x1b[31mred\nAgents"))
    bench.agent().blocker(lease, "\x1b[31mred\nHealth\nNothing.")

    ran = shell.orchestrate("status")

    assert "\x1b" not in ran.stdout
    lines = ran.stdout.splitlines()
    assert [lines.count(title) for title in TITLES] == [1, 1, 1, 1]


def test_unreachable_redis_is_reported_with_exit_code_four(
    shell: Shell,
) -> None:
    away = shell.having(TASKORCH_REDIS_URL="redis://:secret@localhost:1")

    ran = away.orchestrate("status")
    document = away.orchestrate("status", "--json")

    assert (ran.code, document.code) == (4, 4)
    assert ran.stdout.splitlines() == [
        "Health",
        "Redis is unreachable at redis://***@localhost:1",
    ]
    assert ran.stderr.startswith("Error: Redis is unreachable at ")
    assert document.error()["code"] == "UNREACHABLE"
    assert "secret" not in ran.stdout + ran.stderr + document.stdout


def test_stopped_bundled_server_is_reported(local: Shell) -> None:
    local.orchestrate("project", "x")
    running = local.orchestrate("status")
    local.orchestrate("server", "stop")

    stopped = local.orchestrate("status")

    assert running.code == 0
    assert section(running.stdout, "Health")[0].startswith(
        "Bundled server: running, pid "
    )
    assert stopped.code == 4
    assert "Bundled server: not running" in stopped.stdout
    assert "orchestrate server start" in stopped.stderr


def test_killed_server_is_started_by_status(local: Shell) -> None:
    local.orchestrate("project", "x")
    pid = local.orchestrate("server", "status", "--json").data()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))

    assert local.orchestrate("status").code == 0


def test_status_of_no_queue_is_not_found(local: Shell) -> None:
    ran = local.orchestrate("status")

    assert ran.code == 3
    assert "There is no queue in" in ran.stderr
