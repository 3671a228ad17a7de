"""opencode, the real program, as `orchestrate setup` leaves it."""

import json
import re
from dataclasses import replace

from programs.checkout import Checkout, run_program
from programs.model_server import (
    Answer,
    ModelRequest,
    ModelServer,
    ScriptedModel,
    call,
    say,
    steps,
)
from programs.recipes import once, recipe
from programs.work import (
    UNKNOWN_MODEL,
    check_completed_once,
    check_unknown_model,
    item_of_run,
    new_items,
    set_up,
    shown,
)

PROGRAM = "opencode"
#: opencode takes its time to start, and the machine may be busy.
LIMIT_S = 240
#: How opencode names the tools of our server.
TOOLS = "task-orchestrator_"
INSTRUCTIONS = "Run that command at the start, and again after"


def opencode(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which opencode uses the scripted model alone."""
    folder = checkout.home / ".config" / "opencode"
    folder.mkdir(parents=True)
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Scripted",
        "options": {"baseURL": f"{model.url}/v1", "apiKey": "of-no-value"},
        "models": {"scripted": {"name": "Scripted"}},
    }
    config = {
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        "autoupdate": False,
        "share": "disabled",
        "provider": {"scripted": provider},
    }
    (folder / "opencode.json").write_text(json.dumps(config), encoding="utf-8")
    return checkout.having(
        AGENT_ID="ada", OPENCODE_DISABLE_MODELS_FETCH="1", NO_COLOR="1"
    )


def test_setup_is_accepted_and_removed(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = opencode(checkout, model(steps(say("Fine."))))
    set_up(shell, "opencode")

    listed = run_program(shell, "opencode", "mcp", "list")
    shell.orchestrate("setup", "opencode", "--remove")
    left = run_program(shell, "opencode", "mcp", "list")

    assert re.search(r"task-orchestrator \S*connected", listed.stdout)
    assert "1 server(s)" in listed.stdout
    assert "task-orchestrator" not in left.stdout
    # opencode has added the address of its schema.
    settings = checkout.folder / "opencode.json"
    assert json.loads(settings.read_text(encoding="utf-8")) == {
        "$schema": "https://opencode.ai/config.json"
    }
    assert not (checkout.folder / "AGENTS.md").exists()


def test_first_request_has_tools_and_instructions(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            call(f"{TOOLS}get", item=item),
            # At its end, opencode cancels all calls, which undoes a claim just made.
            call(f"{TOOLS}report", item=item, kind="progress", text="Half"),
            say("Fine."),
        )
    )
    shell = opencode(checkout, server)
    folder = checkout.folder / "src"
    folder.mkdir()
    set_up(shell, "opencode")

    run = run_program(
        replace(shell, folder=folder), "opencode", "run", "Hello"
    )

    assert run.returncode == 0, run.stderr
    first = server.requests[0]
    assert {"check", "pop", "report", "complete"} <= first.tools_of(TOOLS)
    assert "plan" not in first.tools_of(TOOLS)
    assert first.text.count(INSTRUCTIONS) == 1
    assert "Prices" in server.requests[-1].results[0]
    assert shown(checkout, item)["state"] == "in_progress"


def test_recipe_completes_item_that_comes_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Write prices")

    def script(request: ModelRequest) -> Answer:
        if not request.tools:
            return say("Prices")
        report = {"kind": "progress", "text": "Half"}
        answers = (
            call(f"{TOOLS}report", item=item_of_run(request), **report),
            call("bash", command="worker check", description="Look"),
            say("Prices are written."),
        )
        return answers[request.turns]

    server = model(script)
    shell = opencode(checkout, server)
    set_up(shell, "opencode", "--user")

    run = run_program(shell, *once(recipe("opencode")), timeout_s=LIMIT_S)

    assert run.returncode == 0, run.stderr
    check_completed_once(
        checkout, item, "Prices are written.", server.requests
    )


def test_failing_model_fails_attempt_with_reason(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: UNKNOWN_MODEL)
    shell = opencode(checkout, server)
    set_up(shell, "opencode", "--user")

    run = run_program(shell, *once(recipe("opencode")), timeout_s=LIMIT_S)

    check_unknown_model(checkout, item, run.returncode, run.stdout)
