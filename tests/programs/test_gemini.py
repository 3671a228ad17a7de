"""Gemini CLI, the real program, as `orchestrate setup` leaves it."""

import json
from dataclasses import replace

import pytest
from programs.checkout import Checkout, run_program
from programs.gemini import (
    INSTRUCTIONS,
    OF_ORCHESTRATOR,
    OF_WORKER,
    TOOLS,
    gemini,
    our_tools,
    set_up,
)
from programs.model_server import (
    Answer,
    ModelRequest,
    ScriptedModel,
    call,
    say,
    steps,
)
from programs.work import new_items, shown

PROGRAM = "gemini"
#: The exit status of a program that does not trust its folder.
UNTRUSTED = 55
#: What Gemini prints of a server that has no tools, or does not start.
ISSUES = "MCP issues"
WORKERS_TOOLS = {
    "check",
    "pop",
    "get",
    "report",
    "discoveries",
    "wait",
    "complete",
    "fail",
    "release",
}


def in_shell(command: str) -> Answer:
    """Return an answer that runs a command in Gemini's shell."""
    return call("run_shell_command", command=command)


def test_setup_is_accepted_without_warning(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server)
    set_up(shell)

    listed = run_program(shell, "gemini", "mcp", "list")
    run = run_program(shell, "gemini", "-p", "Hello")

    assert "task-orchestrator: " in listed.stderr
    assert listed.stderr.strip().endswith("(stdio) - Connected")
    assert "rror" not in listed.stderr + run.stderr
    assert (run.returncode, run.stdout.strip()) == (0, "Fine.")
    assert ISSUES not in run.stderr


def test_untrusted_folder_ends_before_a_request(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server, trusts=False)

    told = set_up(shell)
    run = run_program(shell, "gemini", "-p", "Hello")

    assert run.returncode == UNTRUSTED
    assert "--skip-trust" in run.stderr
    assert server.all_requests == []
    assert "Start `gemini` here once, and trust the folder" in told
    assert "--skip-trust" in told


def test_first_request_briefs_a_worker_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell)
    set_up(shell, "--user")

    run = run_program(shell, "gemini", "-p", "Hello")

    assert run.returncode == 0, run.stderr
    (request,) = server.requests
    assert request.text.count(OF_WORKER) == 1
    assert OF_ORCHESTRATOR not in request.text
    assert our_tools(request) == WORKERS_TOOLS


def test_first_request_briefs_an_orchestrator_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server)
    set_up(shell)
    set_up(shell, "--user")

    run = run_program(shell, "gemini", "-p", "Hello")

    assert run.returncode == 0, run.stderr
    (request,) = server.requests
    assert request.text.count(OF_ORCHESTRATOR) == 1
    assert OF_WORKER not in request.text
    assert {"plan", "assign", "status", "answer"} <= our_tools(request)
    assert "pop" not in our_tools(request)


def test_resumed_session_is_briefed_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell)
    run_program(shell, "gemini", "-p", "My first words")

    run = run_program(shell, "gemini", "--resume", "latest", "-p", "Go on")

    assert run.returncode == 0, run.stderr
    resumed = server.requests[-1]
    assert resumed.turns == 1
    assert resumed.text.count(OF_WORKER) == 1


def test_instructions_survive_compaction(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    # Gemini compacts before a new message, which is here the reminder of our hook.
    numbers = " ".join(map(str, range(8000)))
    full = replace(say(f"I stop. {numbers}"), tokens=900_000)
    answers = steps(in_shell("worker pop"), full)

    def script(request: ModelRequest) -> Answer:
        if not request.tools:
            return say("<state_snapshot>All of it.</state_snapshot>")
        if "All of it." in request.text:
            return say("I do stop.")
        return answers(request)

    server = model(script)
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell)

    run = run_program(shell, "gemini", "--yolo", "-p", "Hello")

    assert run.returncode == 0, run.stderr
    compacted = server.requests[-1]
    assert "All of it." in compacted.text
    assert "You still hold" in compacted.text
    assert INSTRUCTIONS in compacted.text


def test_subfolder_has_instructions_alone(
    checkout: Checkout, model: ScriptedModel
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    folder = checkout.folder / "src" / "shop"
    folder.mkdir(parents=True)

    told = set_up(shell)
    below = replace(shell, folder=folder)
    run_program(below, "gemini", "-p", "Hello")
    set_up(shell, "--user")
    run_program(below, "gemini", "-p", "Hello")

    of_project, of_user = server.requests
    assert INSTRUCTIONS in of_project.text
    assert OF_WORKER not in of_project.text
    assert our_tools(of_project) == set()
    assert "not in a subfolder" in told
    assert of_user.text.count(OF_WORKER) == 1
    assert our_tools(of_user) == WORKERS_TOOLS


def test_tools_need_no_person_unless_not_approved(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(call(f"{TOOLS}get", item=item), say("Fine.")))
    shell = gemini(checkout, server).having(AGENT_ID="ada")

    set_up(shell, "--no-approve")
    run_program(shell, "gemini", "-p", "Hello")
    refused, before = server.requests[-1], shown(checkout, item)["state"]
    set_up(shell)
    run_program(shell, "gemini", "-p", "Hello")

    assert our_tools(refused) == set()
    assert "not found" in refused.results[0]
    assert before == "queued"
    assert shown(checkout, item)["state"] == "in_progress"


def test_worker_commands_work_in_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            in_shell("worker check"),
            in_shell("worker pop"),
            in_shell(f"worker progress {item} Half --percent 50"),
            in_shell(f"worker complete {item} 'By commands'"),
            say("Fine."),
        )
    )
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell)

    run = run_program(shell, "gemini", "--yolo", "-p", "Do your work.")

    assert run.returncode == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", "By commands")
    checked, popped, reported, _ = server.requests[-1].results
    assert item in checked
    assert "Title: Prices" in popped
    assert "50%" in reported


def test_stop_hook_reminds_once_of_held_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(in_shell("worker pop"), say("I stop."), say("I do stop."))
    )
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell)

    run = run_program(
        shell, "gemini", "--yolo", "-p", "Hello", "--output-format", "json"
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["response"].endswith("I do stop.")
    assert len(server.requests) == 3
    before, after = server.requests[1:]
    reminder = f"You still hold {item}"
    assert reminder not in before.text
    assert after.text.count(reminder) == 1


def test_broken_settings_are_reported_and_kept(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = gemini(checkout, model(steps(say("Fine."))))
    file = checkout.folder / ".gemini" / "settings.json"
    file.parent.mkdir()
    file.write_text('{"mcpServers": {', encoding="utf-8")

    done = shell.orchestrate("setup", "gemini")

    assert done.code == 5
    assert str(file) in done.stderr
    assert file.read_text(encoding="utf-8") == '{"mcpServers": {'
    assert not (checkout.folder / "GEMINI.md").exists()


@pytest.mark.parametrize("options", [(), ("--user",)])
def test_removal_leaves_program_without_our_part(
    checkout: Checkout, model: ScriptedModel, options: tuple[str, ...]
) -> None:
    new_items(checkout, "Prices")
    server = model(steps(say("Fine.")))
    shell = gemini(checkout, server).having(AGENT_ID="ada")
    set_up(shell, *options)

    shell.orchestrate("setup", "gemini", "--remove", *options)
    run = run_program(shell, "gemini", "-p", "Hello")

    assert run.returncode == 0, run.stderr
    (request,) = server.requests
    assert our_tools(request) == set()
    assert OF_WORKER not in request.text
    assert INSTRUCTIONS not in request.text
