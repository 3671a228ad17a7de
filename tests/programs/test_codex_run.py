"""`worker run` with Codex, the real program, by the recipes of docs/agents.md."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from programs.checkout import Checkout
from programs.codex import TOOLS, codex, set_up
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

PROGRAM = "codex"
#: How long Codex lets a command run before it asks the model what to do.
LONGEST_COMMAND_MS = 30_000
TOOLS_RECIPE, SHELL_RECIPE = recipe("Codex"), recipe("Codex", 1)


def of_item(tool: str, **arguments: object) -> Script:
    """Return a step that calls a tool of ours for the item of the run."""

    def step(request: ModelRequest) -> Answer:
        return call(f"{TOOLS}.{tool}", item=item_of_run(request), **arguments)

    return step


def in_shell(command: str) -> Script:
    """Return a step that runs a command, with the item of the run as `{item}`."""

    def step(request: ModelRequest) -> Answer:
        return call(
            "exec_command",
            cmd=command.format(item=item_of_run(request)),
            yield_time_ms=LONGEST_COMMAND_MS,
        )

    return step


def ada(checkout: Checkout, server: ModelServer) -> Checkout:
    """Return a shell of ada's, with Codex set up for the user."""
    shell = codex(checkout, server, trusts=False)
    set_up(shell, "--user")
    return shell.having(AGENT_ID="ada")


def test_text_completes_item_that_comes_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Write prices")
    server = model(steps(say("Prices are written.")))

    run = ada(checkout, server).run(*once(TOOLS_RECIPE))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert done["state"] == "completed"
    assert done["summary"] == "Prices are written."
    (request,) = server.requests
    assert request.text.count("Title: Write prices") == 1
    assert request.text.count(f"# Work on {item}") == 1


def test_tools_complete_item_without_sandbox_traces(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            in_shell("ls -a"),
            of_item("report", kind="progress", text="Half", percent=50),
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
    assert done["deliverables"] == {"total": "7"}
    # Codex puts empty folders into the worktree for the time of a command.
    assert ".agents" in server.requests[1].results[0]
    assert worktrees(checkout) == []


def test_shell_commands_complete_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            in_shell("worker check && worker progress {item} Half"),
            in_shell("worker notes {item} Memo && worker discoveries {item}"),
            in_shell("echo 7 > total && worker complete {item} 'By commands'"),
            say("Fine."),
        )
    )

    run = ada(checkout, server).run(*once(SHELL_RECIPE))

    assert run.code == 0, run.stderr
    results = server.requests[-1].results
    assert ["exited with code 0" in each for each in results] == [True] * 3
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", "By commands")
    assert worktrees(checkout) == [item]
    assert Path(done["deliverables"]["worktree"], "total").exists()


def test_question_is_answered_in_next_run(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")

    def script(request: ModelRequest) -> Answer:
        if "In euros" in request.text:
            return say("Written in euros.")
        if request.turns:
            return say("I wait for the answer.")
        return of_item("report", kind="blocker", text="Which currency?")(
            request
        )

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


def test_failing_model_fails_attempt_with_reason(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: UNKNOWN_MODEL)

    run = ada(checkout, server).run(*once(TOOLS_RECIPE))

    check_unknown_model(checkout, item, run.code, run.stdout)


def test_committed_setup_serves_a_trusted_worktree(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(of_item("complete", summary="By tools"), say("Fine."))
    )
    shell = codex(checkout, server)
    set_up(shell)
    checkout.git("add", ".codex", "AGENTS.md")
    checkout.git("commit", "--quiet", "--message", "Set Codex up")

    run = shell.having(AGENT_ID="ada").run(*once(TOOLS_RECIPE))

    assert run.code == 0, run.stderr
    assert shown(checkout, item)["summary"] == "By tools"


@needs_processes
def test_timeout_ends_codex_and_its_sandbox(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.run(*once(TOOLS_RECIPE, "--timeout", "5s"))

    assert run.code == 5
    assert "timed out after 5 s" in run.stdout
    assert shown(checkout, item)["state"] == "failed"
    eventually(lambda: not processes(f"RUN_MARK={item}"))


@needs_processes
def test_signal_lets_codex_finish(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    flag = checkout.folder / "go"
    waits = f"while ! test -e {flag}; do sleep 0.05; done"
    server = model(steps(in_shell(waits), say("Finished.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.start(*one_slot(TOOLS_RECIPE))
    eventually(lambda: is_running(item, "sleep"))
    stop(run)
    flag.touch()

    check_finished(run, checkout, item)


@needs_processes
def test_second_signal_ends_codex_and_its_sandbox(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.start(*one_slot(TOOLS_RECIPE))
    eventually(lambda: is_running(item, "sleep 300"))
    stop(run)

    check_released(run, checkout, item)


def test_pool_works_in_a_worktree_per_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    items = new_items(checkout, "One", "Two", "Three")
    server = model(steps(in_shell("echo {item} > own"), say("Written.")))

    run = ada(checkout, server).run(*once(TOOLS_RECIPE, "--pool", "3"))

    assert run.code == 0, run.stderr
    check_own_worktrees(checkout, items)


@pytest.mark.parametrize(
    "options", [(), ("--json", "--output-last-message", "last.txt")]
)
def test_result_is_read_in_each_output_format(
    checkout: Checkout, model: ScriptedModel, options: Sequence[str]
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("echo 7"), say("Two\n\nparagraphs.")))

    run = ada(checkout, server).run(
        *once([word for word in TOOLS_RECIPE if word != "--json"] + [*options])
    )

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert done["summary"].endswith("paragraphs.")
    is_json = "--json" in options
    assert done["summary"].startswith("Two") == is_json


#: The person wants to be asked before a call of our tools.
ASKS = (
    "-c",
    'mcp_servers.task-orchestrator.default_tools_approval_mode="prompt"',
)


@pytest.mark.parametrize(
    ("options", "step", "name"),
    [
        (
            ASKS,
            of_item("report", kind="progress", text="Half"),
            "task-orchestrator.report",
        ),
        ((), in_shell("worker progress {item} Half"), "worker progress"),
    ],
    ids=["tool", "command"],
)
def test_run_with_refused_calls_alone_fails(
    checkout: Checkout,
    model: ScriptedModel,
    options: Sequence[str],
    step: Script,
    name: str,
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(step, say("I could not report.")))

    run = ada(checkout, server).run(*once([*TOOLS_RECIPE, *options]))

    assert run.code == 5, run.stderr
    assert "the program refused its calls of the queue" in run.stdout
    assert name in run.stdout
    assert shown(checkout, item)["state"] == "failed"
