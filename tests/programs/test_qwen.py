"""Qwen Code, the real program, as `orchestrate setup` leaves it."""

from programs.checkout import Checkout, run_program
from programs.model_server import (
    Answer,
    ModelRequest,
    ModelServer,
    Script,
    ScriptedModel,
    call,
    say,
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

PROGRAM = "qwen"
#: How Qwen Code names the tools of our server.
TOOLS = "mcp__task-orchestrator__"
INSTRUCTIONS = "Run that command at the start, and again after"
SETTINGS = """\
{"security": {"auth": {"selectedType": "openai"}},
 "privacy": {"usageStatisticsEnabled": false},
 "general": {"enableAutoUpdate": false}}
"""


def qwen(checkout: Checkout, model: ModelServer) -> Checkout:
    """Return a shell in which Qwen Code uses the scripted model alone."""
    folder = checkout.home / ".qwen"
    folder.mkdir()
    (folder / "settings.json").write_text(SETTINGS, encoding="utf-8")
    return checkout.having(
        AGENT_ID="ada",
        OPENAI_BASE_URL=f"{model.url}/v1",
        OPENAI_API_KEY="of-no-value",
        OPENAI_MODEL="scripted",
    )


def steps(*answers: Answer) -> Script:
    """Return a script that gives an answer after each result of a tool.

    Qwen Code begins a conversation with an answer that it has made up.
    """

    def answer(request: ModelRequest) -> Answer:
        if not request.tools:
            return say("Fine.")
        return answers[min(len(request.results), len(answers) - 1)]

    return answer


def test_setup_is_accepted_and_removed(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = qwen(checkout, model(steps(say("Fine."))))
    set_up(shell, "qwen")

    listed = run_program(shell, "qwen", "mcp", "list")
    shell.orchestrate("setup", "qwen", "--remove")
    left = run_program(shell, "qwen", "mcp", "list")

    assert "task-orchestrator: " in listed.stdout
    assert listed.stdout.strip().endswith("(stdio) - Connected")
    assert "task-orchestrator" not in left.stdout
    # Qwen Code has rewritten the file: it adds its version of the format.
    settings = checkout.folder / ".qwen" / "settings.json"
    assert "orchestrate" not in settings.read_text(encoding="utf-8")
    assert not (checkout.folder / "QWEN.md").exists()


def test_first_request_names_tools_and_has_instructions(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            call("tool_search", query=f"select:{TOOLS}get"),
            call(f"{TOOLS}get", item=item),
            call(f"{TOOLS}report", item=item, kind="progress", text="Half"),
            say("Fine."),
        )
    )
    shell = qwen(checkout, server)
    set_up(shell, "qwen")

    run = run_program(shell, "qwen", "Hello")

    assert run.returncode == 0, run.stderr
    first, loaded = server.requests[:2]
    assert f"{TOOLS}pop" in first.text
    assert f"{TOOLS}plan" not in first.text
    assert first.text.count(INSTRUCTIONS) == 1
    assert f"{TOOLS}get" in loaded.tools
    assert shown(checkout, item)["state"] == "in_progress"


def test_tools_need_no_person_unless_not_approved(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(call(f"{TOOLS}get", item=item), say("Fine.")))
    shell = qwen(checkout, server)

    set_up(shell, "qwen", "--no-approve")
    run_program(shell, "qwen", "Hello")

    assert "permission" in server.requests[-1].results[0]
    assert shown(checkout, item)["state"] == "queued"


def test_recipe_completes_item_that_comes_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Write prices")

    def script(request: ModelRequest) -> Answer:
        if not request.tools:
            return say("Fine.")
        report = {"kind": "progress", "text": "Half"}
        look = {"command": "worker check", "is_background": False}
        return steps(
            call(f"{TOOLS}report", item=item_of_run(request), **report),
            call("run_shell_command", description="Look", **look),
            say("Prices are written."),
        )(request)

    server = model(script)
    shell = qwen(checkout, server)
    set_up(shell, "qwen", "--user")

    run = shell.run(*once(recipe("Qwen Code")))

    assert run.code == 0, run.stderr
    check_completed_once(
        checkout, item, "Prices are written.", server.requests
    )


def test_failing_model_fails_attempt_with_reason(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: UNKNOWN_MODEL)
    shell = qwen(checkout, server)
    set_up(shell, "qwen", "--user")

    run = shell.run(*once(recipe("Qwen Code")))

    check_unknown_model(checkout, item, run.code, run.stdout)
