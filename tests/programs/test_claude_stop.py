"""The stop hook in Claude Code, the real program, and the sessions of one agent."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from programs.checkout import Checkout
from programs.claude import OURS, ada, result
from programs.model_server import (
    Answer,
    ModelRequest,
    Reply,
    ScriptedModel,
    call,
    say,
    steps,
)
from programs.work import new_items, shown

PROGRAM = "claude"
REMINDER = "You still hold"
TIME_LIMIT_S = 90
COMMANDS = ("--allowedTools", "Bash(worker *)")


def reminders(request: ModelRequest) -> Sequence[str]:
    """Return the reminders in a request."""
    return [line for line in request.text.splitlines() if REMINDER in line]


def test_agent_is_reminded_once_and_may_stop(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(call(f"{OURS}pop"), say("I stop."), say("I really stop."))
    )

    done = result(ada(checkout, server), "Work.")

    assert done["result"] == "I really stop."
    assert [len(reminders(each)) for each in server.requests] == [0, 0, 1]
    assert item in reminders(server.requests[-1])[0]
    assert shown(checkout, item)["state"] == "in_progress"


def test_reminded_agent_completes_its_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            call("Bash", command="worker pop"),
            say("I stop."),
            call("Bash", command=f"worker complete {item} Reminded"),
            say("Done."),
        )
    )

    done = result(ada(checkout, server), "Work.", *COMMANDS)

    assert done["result"] == "Done."
    assert shown(checkout, item)["summary"] == "Reminded"


def test_agent_without_items_is_not_reminded(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            call(f"{OURS}pop"),
            call(f"{OURS}complete", item=item, summary="Done"),
            say("I stop."),
        )
    )

    result(ada(checkout, server), "Work.")

    assert len(server.requests) == 3
    assert reminders(server.requests[-1]) == []


def claims(way: str) -> Reply:
    """Return the call that claims the next item."""
    if way == "tools":
        return call(f"{OURS}pop")
    return call("Bash", command="worker pop --json")


@pytest.mark.parametrize("way", ["tools", "commands"])
def test_sessions_are_reminded_of_own_items(
    checkout: Checkout, model: ScriptedModel, way: str
) -> None:
    """Two sessions of one agent in one folder hold an item each when they stop."""
    items = new_items(checkout, "One", "Two")
    both_hold = Barrier(2, timeout=TIME_LIMIT_S)

    def script(request: ModelRequest) -> Answer:
        if request.turns == 0:
            return claims(way)
        if request.turns == 1:
            both_hold.wait()
        return say("I stop.")

    server = model(script)
    shell = ada(checkout, server)

    with ThreadPoolExecutor() as pool:
        sessions = [
            pool.submit(result, shell, "Work.", *COMMANDS) for _ in items
        ]
        for session in sessions:
            session.result()

    held = {}
    for request in server.requests:
        if request.turns == 2:
            (reminder,) = reminders(request)
            claimed = json.loads(request.results[0])["data"]
            claimed = claimed[0] if isinstance(claimed, list) else claimed
            held[claimed["id"]] = reminder
    assert set(held) == {*items}
    for item, reminder in held.items():
        assert [each in reminder for each in items] == [
            each == item for each in items
        ]


def test_worktree_beside_repository_shares_its_queue(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(call(f"{OURS}pop"), say("I stop."), say("I really stop."))
    )
    shell = ada(checkout, server)
    shell.git("add", ".")
    shell.git("commit", "--quiet", "--message", "Set up Claude Code")
    beside = shell.folder.parent / "beside"
    shell.git("worktree", "add", "--quiet", str(beside))

    result(shell.within(beside), "Work.", "--allowedTools", f"{OURS}pop")

    assert item in reminders(server.requests[-1])[0]
    assert shown(checkout, item)["state"] == "in_progress"
    assert not (beside / ".task-orchestrator").exists()
