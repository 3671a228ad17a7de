"""`wait` of both roles: a process blocks until another process reaches its goal."""

import os
import signal
import subprocess
from time import monotonic
from typing import Any, cast

import pytest
from support.builders import Bench, stream_readers
from support.commands import BIN, Shell, eventually, result_of
from support.screens import Screen
from support.topologies import Node
from taskorch.cli.quoting import NOTICE
from taskorch.domain.item import State

WORKER, ORCHESTRATE = BIN / "worker", BIN / "orchestrate"


def held(shell: Shell, bench: Bench, **fields: object) -> str:
    """Return an item that the shell's agent holds, with an open question."""
    item = bench.item(**fields)  # type: ignore[arg-type]
    assert shell.worker("blocker", item, "Which one?").code == 0
    return item


def waiting(
    shell: Shell, bench: Bench, *words: str
) -> "subprocess.Popen[str]":
    """Start a command that waits, and return the process once it blocks."""
    process = shell.start(BIN / words[0], *words[1:])
    eventually(lambda: stream_readers(bench.raw))
    return process


# worker wait
# -------------------------------------------------------------------------------------------------------


def test_answer_of_other_process_ends_wait(shell: Shell, bench: Bench) -> None:
    item = held(shell, bench)
    process = waiting(shell, bench, "worker", "wait", item)

    shell.orchestrate("answer", item, "The second\x1b[2J\none")
    ran = result_of(process)

    assert ran.code == 0
    assert ran.stdout.startswith(f"{item} is in progress, yours until ")
    assert ran.stdout.splitlines()[1:] == [
        "Answer to question 1 by orchestrator: The second\\x1b[2J",
        "    | one",
        NOTICE,
    ]


def test_decision_of_other_process_ends_wait(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(reviewer="lead")
    shell.worker("complete", item, "4 tables")
    process = waiting(shell, bench, "worker", "wait", item)

    shell.having(AGENT_ID="lead").worker("send-back", item, "Once more")
    ran = result_of(process)

    assert ran.code == 0
    assert ran.stdout.splitlines()[:2] == [
        f"{item} is queued.",
        "Returned by lead: Once more",
    ]


def test_budget_keeps_no_answer_from_holder(
    shell: Shell, bench: Bench
) -> None:
    item = held(shell, bench)
    shell.orchestrate("budget", "namespace", "--limit", "0", "--per", "total")
    process = waiting(shell, bench, "worker", "wait", item)

    shell.orchestrate("answer", item, "The second one")
    ran = result_of(process)

    assert ran.code == 0
    assert "The second one" in ran.stdout


def test_wait_json_has_answer(shell: Shell, bench: Bench) -> None:
    item = held(shell, bench)
    bench.queue.answer(item, "Go")

    data = shell.worker("wait", item, "--json").data()

    (answer,) = data["answers"]
    assert (data["id"], data["state"], answer["text"]) == (
        item,
        "in_progress",
        "Go",
    )


@pytest.mark.parametrize(
    ("how", "code", "message"),
    [
        ("cancel", 6, "was cancelled: not needed"),
        ("assign", 7, "is assigned to bob, not to ada"),
        ("takeover", 6, "Your lease on"),
    ],
)
def test_wait_ends_when_item_is_lost(
    shell: Shell, bench: Bench, how: str, code: int, message: str
) -> None:
    item = held(shell, bench)
    process = waiting(shell, bench, "worker", "wait", item)

    match how:
        case "cancel":
            shell.orchestrate("cancel", item, "--reason", "not needed")
        case "assign":
            shell.orchestrate("assign", item, "bob", "--force")
        case _:
            shell.having(AGENT_SESSION="other").worker(
                "get", item, "--takeover"
            )
    ran = result_of(process)

    assert (ran.code, ran.stdout) == (code, "")
    assert message in ran.stderr


def test_item_without_question_ends_wait(shell: Shell, bench: Bench) -> None:
    item = bench.item()

    ran = shell.worker("wait", item)

    assert (ran.code, ran.stdout) == (
        0,
        f"{item} is queued. You have no open question on it.\n",
    )


def test_wait_without_answer_times_out(shell: Shell, bench: Bench) -> None:
    item = held(shell, bench)

    ran, as_json = (
        shell.worker("wait", item, "--timeout", "0.1"),
        shell.worker("wait", item, "--timeout", "0", "--json"),
    )

    assert ran.code == as_json.code == 8
    assert (
        f"The wait for {item} timed out after 0.1 s: it is blocked, without an answer to question 1."
        in ran.stderr
    )
    assert (as_json.error()["code"], as_json.error()["retryable"]) == (
        "WAIT_OVER",
        True,
    )


# orchestrate wait
# --------------------------------------------------------------------------------------------------


def test_delivery_of_other_process_ends_item_wait(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = waiting(shell, bench, "orchestrate", "wait", item)

    shell.worker("complete", item, "All is well", "--deliverable", "a=b.txt")
    ran = result_of(process)

    assert ran.code == 0
    assert ran.stdout.splitlines() == [
        *(
            f"{item} is completed, 100%.",
            "Summary: All is well",
            "  - a: b.txt",
        ),
        NOTICE,
    ]


def test_last_delivery_ends_project_wait(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(2)]
    process = waiting(shell, bench, "orchestrate", "wait", project)

    shell.worker("complete", items[0], "one")
    assert process.poll() is None
    shell.worker("complete", items[1], "two")
    ran = result_of(process)

    assert (ran.code, ran.stdout) == (
        0,
        f"{project} is active, 2 of 2 items completed.\n",
    )


@pytest.mark.parametrize("kind", ["item", "project"])
def test_wait_goes_on_while_item_is_in_review(
    shell: Shell, bench: Bench, kind: str
) -> None:
    project = bench.project()
    item = bench.item(project, reviewer="lead")
    awaited = item if kind == "item" else project
    process = waiting(shell, bench, "orchestrate", "wait", awaited)

    shell.worker("complete", item, "4 tables")
    going_on = process.poll() is None
    shell.having(AGENT_ID="lead").worker("accept", item)
    ran = result_of(process)

    assert going_on
    assert ran.code == 0
    assert "completed" in ran.stdout.splitlines()[0]


def test_delivery_ends_wait_for_review(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project, reviewer="lead")
    process = waiting(
        shell, bench, "orchestrate", "wait", item, "--until", "review"
    )

    shell.worker("complete", item, "4 tables")
    ran = result_of(process)

    assert ran.code == 0
    assert "Summary: 4 tables" in ran.stdout


def test_question_ends_wait_for_blocked(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    process = waiting(
        shell,
        bench,
        "orchestrate",
        "wait",
        project,
        "--until",
        "completed",
        "--until",
        "blocked",
    )

    shell.worker("blocker", item, "Which one?", "--needs", "a choice")
    ran = result_of(process)

    assert ran.code == 0
    assert ran.stdout.splitlines()[1:] == [
        f"{item} ada asks (question 1): Which one?",
        "    needs: a choice",
        NOTICE,
    ]


def test_any_event_ends_wait_and_moves_cursor(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    process = waiting(
        shell,
        bench,
        "orchestrate",
        "wait",
        project,
        "--until",
        "any",
        "--json",
    )
    item = bench.item(project)
    first = result_of(process).data()
    bench.claimed(item)

    second = shell.orchestrate(
        "wait", project, "--until", "any", "--since", first["cursor"], "--json"
    ).data()

    assert [event["verb"] for event in first["events"]] == ["create"]
    assert [event["verb"] for event in second["events"]] == ["claim"]
    assert (second["reached"], second["project"]["id"], second["gap"]) == (
        "any",
        project,
        False,
    )


def test_wait_json_has_state(shell: Shell, bench: Bench) -> None:
    item = bench.lease_in(State.BLOCKED).item

    data = shell.orchestrate(
        "wait", item, "--until", "blocked", "--json"
    ).data()

    assert list(data) == [
        "reached",
        "item",
        "project",
        "blocked",
        "events",
        "gap",
        "cursor",
    ]
    assert (data["reached"], data["item"]["id"], data["item"]["state"]) == (
        "blocked",
        item,
        "blocked",
    )
    assert [each["id"] for each in data["blocked"]] == [item]


def test_unreachable_goal_ends_wait_with_error(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = waiting(shell, bench, "orchestrate", "wait", item, "--json")

    bench.agent().fail(bench.claimed(item), "hopeless", retry=False)
    error = result_of(process).error()

    assert (error["code"], error["details"]["state"]) == ("DEAD_END", "failed")


def test_dead_item_ends_project_wait_with_hint(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    dead = bench.item(project)
    bench.item(project, depends_on=(dead,))
    process = waiting(shell, bench, "orchestrate", "wait", project)

    bench.queue.cancel(dead)
    ran = result_of(process)

    assert ran.code == 5
    assert ran.stderr.splitlines() == [
        f"Error: {project} is held up by {dead}, and will not be completed unless someone intervenes.",
        (
            "  orchestrate stuck lists stalled items, with the reason. "
            f"To retry the item that blocks this one: orchestrate requeue {dead}"
        ),
    ]
    assert dead in shell.orchestrate("stuck").stdout


def test_timed_out_wait_reports_progress(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    bench.item(project)

    ran = shell.orchestrate("wait", project, "--timeout", "0.1")

    assert ran.code == 8
    assert "it is active, 0 of 1 item completed (1 queued)." in ran.stderr
    assert "To keep waiting, rerun this command." in ran.stderr


def test_timed_out_wait_continues_from_its_cursor(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    command = (
        "wait",
        project,
        "--until",
        "any",
        "--until",
        "completed",
        "--timeout",
        "0.1",
    )
    ran_out = shell.orchestrate(*command)
    bench.item(project)

    hint = ran_out.stderr.splitlines()[-1]
    again = shell.orchestrate(
        *command,
        *hint.removeprefix(
            "  To keep waiting, rerun this command with "
        ).split(),
    )

    assert (ran_out.code, again.code) == (8, 0)
    assert " create " in again.stdout


# Ctrl-C and outages
# ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "worker wait {item}",
        "orchestrate wait {item}",
        "orchestrate wait {project}",
        "orchestrate watch {project}",
        "orchestrate discoveries {project} --follow",
    ],
)
def test_interrupt_ends_waits(shell: Shell, bench: Bench, line: str) -> None:
    project = bench.project()
    item = held(shell, bench, project=project)
    process = waiting(
        shell, bench, *line.format(project=project, item=item).split()
    )

    began = monotonic()
    process.send_signal(signal.SIGINT)
    ran = result_of(process)

    # a blocking call would last 45 seconds or more
    assert monotonic() - began < 30
    assert (ran.code, ran.stderr.splitlines()[-1]) == (130, "Interrupted.")


@pytest.mark.parametrize("role", ["worker", "orchestrate"])
def test_wait_survives_restart_of_redis(
    shell: Shell, node: Node, role: str
) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    item = there.orchestrate(
        "create", project, "An item", "--assign", "ada"
    ).stdout.strip()
    there.worker("blocker", item, "Which one?")
    process = there.start(BIN / role, "wait", item)
    eventually(lambda: stream_readers(node.raw))
    node.kill()

    node.start()
    there.orchestrate("answer", item, "Go")
    there.worker("complete", item, "done") if role == "orchestrate" else None
    ran = result_of(process)

    assert ran.code == 0, ran.stderr
    assert (
        "Answer to question 1 by orchestrator: Go"
        if role == "worker"
        else "Summary: done"
    ) in ran.stdout


def test_pop_survives_restart_of_redis(shell: Shell, node: Node) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    process = there.start(WORKER, "pop", "--wait", "60")
    eventually(lambda: blocked_clients(node))
    node.kill()

    node.start()
    item = there.orchestrate(
        "create", project, "An item", "--assign", "ada"
    ).stdout.strip()
    ran = result_of(process)

    assert (ran.code, ran.stderr.splitlines()[1:]) == (
        0,
        ["Redis answers again."],
    )
    assert ran.stdout.startswith(f"=== Work Item: {item} ===")


def test_wait_on_a_terminal_says_that_it_waits(
    shell: Shell, bench: Bench
) -> None:
    item = held(shell, bench)

    with Screen(shell, WORKER, "wait", item, "--timeout", "60") as screen:
        eventually(
            lambda: screen.shows("Waiting for an answer, at most 60 s.")
        )
        bench.queue.answer(item, "The second one")
        eventually(lambda: screen.shows("The second one"))
        code = screen.exit_code()
    over = shell.on_terminal(WORKER, "wait", item)
    quiet = shell.worker("wait", held(shell, bench), "--timeout", "0.1")

    assert (code, over[0]) == (0, 0)
    assert "Waiting" not in over[1]
    assert "Waiting" not in quiet.stderr


def test_pop_on_a_terminal_says_that_it_waits(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()

    with Screen(shell, WORKER, "pop", "--wait", "60") as screen:
        eventually(lambda: screen.shows("Waiting for an item, at most 60 s."))
        item = bench.item(project)
        eventually(lambda: screen.shows(f"=== Work Item: {item} ==="))
        code = screen.exit_code()
    quiet = shell.worker("pop", "--wait", "0.1")

    assert code == 0
    assert "Waiting" not in quiet.stderr


def blocked_clients(node: Node) -> int:
    """Return the number of clients that block on a list or a stream."""
    return int(cast("Any", node.raw).info("clients")["blocked_clients"])


def test_raised_budget_ends_waiting_pop(shell: Shell, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    per = ("--per", "total")
    shell.orchestrate("budget", project, "--limit", "0", *per)
    process = shell.start(WORKER, "pop", "--wait", "60")
    eventually(lambda: bench.members("budget_waiters") == ["ada"])

    shell.orchestrate("budget", project, "--limit", "5", *per)
    ran = result_of(process)

    assert ran.code == 0
    assert item in ran.stdout


def test_pop_over_budget_times_out_with_its_name(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    bench.item(project)
    shell.orchestrate("budget", project, "--limit", "0", "--per", "total")

    ran = shell.worker("pop", "--wait", "0.1")

    assert ran.code == 8
    assert ran.stderr.startswith(f"over budget: project {project} has")


def test_wait_restarts_bundled_server(local: Shell) -> None:
    project = local.orchestrate("project", "A project").stdout.strip()
    item = local.orchestrate(
        "create", project, "An item", "--assign", "ada"
    ).stdout.strip()
    process = local.start(ORCHESTRATE, "wait", item)
    pid = local.orchestrate("server", "status", "--json").data()["pid"]
    os.kill(pid, signal.SIGKILL)

    local.worker("complete", item, "done")

    assert result_of(process).code == 0


def test_wait_fails_when_redis_stays_unreachable(
    shell: Shell, node: Node
) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    # time to see that it waits, and to kill Redis
    process = there.start(ORCHESTRATE, "wait", project, "--timeout", "15")
    eventually(lambda: stream_readers(node.raw))
    node.kill()

    ran = result_of(process)

    assert ran.code == 4
    assert "Redis is unreachable" in ran.stderr
