"""`worker run` with Gemini CLI, the real program, by the recipes of docs/agents.md."""

from pathlib import Path
from threading import Event

import pytest
from programs.checkout import Checkout
from programs.gemini import OF_WORKER, TOOLS, gemini, set_up
from programs.model_server import (
    Answer,
    ModelRequest,
    ModelServer,
    Script,
    ScriptedModel,
    call,
    say,
    steps,
)
from programs.recipes import once, one_slot, recipe
from programs.work import (
    TIME_LIMIT_S,
    UNKNOWN_MODEL,
    check_finished,
    check_own_worktrees,
    check_released,
    check_unknown_model,
    is_running,
    item_of_run,
    needs_processes,
    new_items,
    shown,
    stop,
    worktrees,
)
from support.commands import eventually, processes

PROGRAM = "gemini"
#: One permits our tools and changes of files, the other one every command.
TOOLS_RECIPE, SHELL_RECIPE = recipe("Gemini CLI"), recipe("Gemini CLI", 1)
BOTH = pytest.mark.parametrize(
    "words", [TOOLS_RECIPE, SHELL_RECIPE], ids=["tools", "shell"]
)


def of_item(tool: str, **arguments: object) -> Script:
    """Return a step that calls a tool of ours for the item of the run."""

    def step(request: ModelRequest) -> Answer:
        return call(f"{TOOLS}{tool}", item=item_of_run(request), **arguments)

    return step


def in_shell(command: str) -> Script:
    """Return a step that runs a command, with the item of the run as `{item}`."""

    def step(request: ModelRequest) -> Answer:
        words = command.format(item=item_of_run(request))
        return call("run_shell_command", command=words)

    return step


def ada(checkout: Checkout, server: ModelServer) -> Checkout:
    """Return a shell of ada's, with Gemini set up for the user."""
    shell = gemini(checkout, server, trusts=False)
    set_up(shell, "--user")
    return shell.having(AGENT_ID="ada")


@BOTH
def test_text_completes_item_that_comes_once(
    checkout: Checkout, model: ScriptedModel, words: list[str]
) -> None:
    (item,) = new_items(checkout, "Write prices")
    server = model(steps(say("Prices are written.")))

    run = ada(checkout, server).run(*once(words))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert done["state"] == "completed"
    assert done["summary"] == "Prices are written."
    (request,) = server.requests
    assert request.text.count(f"# Work on {item}") == 1
    assert request.text.count("Title: Write prices") == 1
    assert OF_WORKER not in request.text


def test_tools_complete_item(checkout: Checkout, model: ScriptedModel) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            of_item("report", kind="progress", text="Half", percent=50),
            call("write_file", file_path="total", content="7"),
            of_item(
                "complete", summary="By tools", deliverables={"total": "7"}
            ),
            say("Fine."),
        )
    )

    run = ada(checkout, server).run(*once(TOOLS_RECIPE))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", "By tools")
    assert done["deliverables"]["total"] == "7"
    assert Path(done["deliverables"]["worktree"], "total").exists()


def test_shell_commands_complete_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            in_shell("worker check && worker progress {item} Half"),
            in_shell("worker notes {item} Memo && worker discoveries {item}"),
            in_shell("worker complete {item} 'By commands'"),
            say("Fine."),
        )
    )

    run = ada(checkout, server).run(*once(SHELL_RECIPE))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", "By commands")
    assert worktrees(checkout) == []


def test_refused_calls_do_not_complete_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(in_shell("worker complete {item} Written"), say("Written."))
    )

    run = ada(checkout, server).run(*once(TOOLS_RECIPE))

    assert run.code == 5
    reason = f"refused its calls of the queue (worker complete {item} Written)"
    assert reason in run.stdout
    assert shown(checkout, item)["state"] == "failed"


def test_question_is_answered_in_next_run(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")

    def script(request: ModelRequest) -> Answer:
        if "In euros" in request.text:
            return say("Written in euros.")
        if request.turns:
            return say("I wait for the answer.")
        ask = of_item("report", kind="blocker", text="Which currency?")
        assert callable(ask)
        return ask(request)

    shell = ada(checkout, model(script))

    asked = shell.run(*once(TOOLS_RECIPE))
    blocked = shown(checkout, item)
    checkout.orchestrate("answer", item, "In euros")
    run = shell.run(*once(TOOLS_RECIPE))

    assert asked.code == 8, asked.stderr
    assert blocked["state"] == "blocked"
    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == (
        "completed",
        "Written in euros.",
    )
    assert done["attempts"] == 1


@BOTH
def test_failing_model_fails_attempt_with_reason(
    checkout: Checkout, model: ScriptedModel, words: list[str]
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: UNKNOWN_MODEL)

    run = ada(checkout, server).run(*once(words))

    check_unknown_model(checkout, item, run.code, run.stdout)


@needs_processes
def test_timeout_ends_gemini_and_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.run(*once(SHELL_RECIPE, "--timeout", "8s"))

    assert run.code == 5
    assert "timed out after 8 s" in run.stdout
    assert shown(checkout, item)["state"] == "failed"
    eventually(lambda: not processes(f"RUN_MARK={item}"))


@needs_processes
def test_signal_lets_gemini_finish(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    answers = Event()

    def script(_: ModelRequest) -> Answer:
        assert answers.wait(TIME_LIMIT_S)
        return say("Finished.")

    server = model(script)
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.start(*one_slot(TOOLS_RECIPE))
    server.wait_for(1)
    stop(run)
    answers.set()

    check_finished(run, checkout, item)


@needs_processes
def test_second_signal_ends_gemini_and_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.start(*one_slot(SHELL_RECIPE))
    eventually(lambda: is_running(item, "sleep 300"))
    stop(run)

    check_released(run, checkout, item)


def test_pool_works_in_a_worktree_per_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    items = new_items(checkout, "One", "Two", "Three")
    server = model(steps(in_shell("echo {item} > own"), say("Written.")))

    run = ada(checkout, server).run(
        *one_slot(SHELL_RECIPE, "--once", "--pool", "3")
    )

    assert run.code == 0, run.stderr
    check_own_worktrees(checkout, items)


@pytest.mark.parametrize("form", ["text", "json", "stream-json"])
def test_result_is_read_in_each_output_format(
    checkout: Checkout, model: ScriptedModel, form: str
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("echo 7"), say("Two\n\nparagraphs.")))
    words = [form if each == "stream-json" else each for each in SHELL_RECIPE]

    run = ada(checkout, server).run(*once(words))

    assert run.code == 0, run.stderr
    summary = shown(checkout, item)["summary"]
    assert summary.endswith("paragraphs.")
    assert summary.startswith("Two") == (form != "text")
