"""`worker run` with Claude Code, the real program, by the recipes of docs/agents.md."""

from collections.abc import Sequence
from threading import Event

import pytest
from programs.checkout import Checkout
from programs.claude import OURS, ada
from programs.model_server import (
    Answer,
    ModelRequest,
    Refusal,
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

PROGRAM = "claude"
TOOLS_RECIPE, SHELL_RECIPE = recipe("Claude Code"), recipe("Claude Code", 1)
#: A recipe without its permissions.
UNPERMITTED = TOOLS_RECIPE[: TOOLS_RECIPE.index("--permission-mode")]


def of_item(tool: str, **arguments: object) -> Script:
    """Return a step that calls a tool of ours for the item of the run."""

    def step(request: ModelRequest) -> Answer:
        return call(f"{OURS}{tool}", item=item_of_run(request), **arguments)

    return step


def in_shell(command: str) -> Script:
    """Return a step that runs a command, with the item of the run as `{item}`."""

    def step(request: ModelRequest) -> Answer:
        return call("Bash", command=command.format(item=item_of_run(request)))

    return step


def words_of(
    words: Sequence[str], old: Sequence[str], *new: str
) -> Sequence[str]:
    """Return words with a part replaced by others."""
    start = words.index(old[0])
    assert [*words[start : start + len(old)]] == [*old]
    return [*words[:start], *new, *words[start + len(old) :]]


@pytest.mark.parametrize("place", ["worktree", "checkout"])
def test_text_completes_item_that_comes_once(
    checkout: Checkout, model: ScriptedModel, place: str
) -> None:
    (item,) = new_items(checkout, "Write prices")
    server = model(steps(say("Prices are written.")))
    words = TOOLS_RECIPE
    if place == "checkout":
        words = words_of(words, ["--worktree"])

    run = ada(checkout, server).run(*once(words))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == (
        "completed",
        "Prices are written.",
    )
    (request,) = server.requests
    assert request.text.count("Title: Write prices") == 1
    assert request.text.count(f"# Work on {item}") == 1


def test_tools_complete_item(checkout: Checkout, model: ScriptedModel) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
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
    assert worktrees(checkout) == []


def test_shell_commands_complete_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            in_shell("worker progress {item} Half"),
            in_shell("worker discoveries {item}"),
            call("Write", file_path="total", content="7\n"),
            in_shell("git add total"),
            in_shell("git commit --quiet --message Total"),
            in_shell("worker complete {item} 'By commands'"),
            say("Fine."),
        )
    )

    run = ada(checkout, server).run(*once(SHELL_RECIPE))

    assert run.code == 0, run.stderr
    done = shown(checkout, item)
    assert (done["state"], done["summary"]) == ("completed", "By commands")
    assert worktrees(checkout) == [item]
    assert checkout.git("show", f"{item}:total") == "7\n"


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


def test_question_is_answered_in_same_session(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")

    def answer_and_wait(request: ModelRequest) -> Answer:
        checkout.orchestrate("answer", item, "In euros")
        return of_item("wait", timeout=60)(request)

    def finish(request: ModelRequest) -> Answer:
        return say(f"Told: {'In euros' in request.results[-1]}")

    server = model(
        steps(
            of_item("report", kind="blocker", text="Which currency?"),
            answer_and_wait,
            finish,
        )
    )

    run = ada(checkout, server).run(*once(TOOLS_RECIPE))

    assert run.code == 0, run.stderr
    assert shown(checkout, item)["summary"] == "Told: True"


@pytest.mark.parametrize("output", ["json", "text"])
def test_failing_model_fails_attempt_with_reason(
    checkout: Checkout, model: ScriptedModel, output: str
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: UNKNOWN_MODEL)
    words = words_of(TOOLS_RECIPE, ["--output-format", "json"])

    run = ada(checkout, server).run(*once(words), "--output-format", output)

    check_unknown_model(checkout, item, run.code, run.stdout)
    reason = shown(checkout, item)["timeline"][-1]["text"]
    assert UNKNOWN_MODEL.message in reason


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("", "The model is overloaded."),
        ("http://127.0.0.1:9", "Unable to connect to API"),
    ],
    ids=["failing", "unreachable"],
)
def test_model_that_stays_away_fails_attempt(
    checkout: Checkout, model: ScriptedModel, base_url: str, reason: str
) -> None:
    """Without the variable, Claude Code tries ten times more, for three minutes."""
    (item,) = new_items(checkout, "Prices")
    server = model(lambda _: Refusal(529, "The model is overloaded."))
    shell = ada(checkout, server).having(
        CLAUDE_CODE_MAX_RETRIES="0", ANTHROPIC_BASE_URL=base_url or server.url
    )

    run = shell.run(*once(TOOLS_RECIPE))

    assert run.code == 5, run.stdout
    assert reason in shown(checkout, item)["timeline"][-1]["text"]


@needs_processes
def test_timeout_ends_claude_and_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.run(*once(TOOLS_RECIPE, "--timeout", "6s"), "Bash(sleep *)")

    assert run.code == 5
    assert "timed out after 6 s" in run.stdout
    assert shown(checkout, item)["state"] == "failed"
    eventually(lambda: not processes(f"RUN_MARK={item}"))


@needs_processes
def test_signal_lets_claude_finish(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    may_end = Event()

    def finish(_: ModelRequest) -> Answer:
        assert may_end.wait(TIME_LIMIT_S)
        return say("Finished.")

    server = model(finish)
    shell = ada(checkout, server).having(RUN_MARK=item)

    run = shell.start(*one_slot(TOOLS_RECIPE))
    server.wait_for(1)
    stop(run)
    may_end.set()

    check_finished(run, checkout, item)


@needs_processes
def test_second_signal_ends_claude_and_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(steps(in_shell("sleep 300"), say("Fine.")))
    shell = ada(checkout, server).having(RUN_MARK=item)
    words = [*one_slot(TOOLS_RECIPE), "Bash(sleep *)"]

    run = shell.start(*words)
    eventually(lambda: is_running(item, "sleep 300"))
    stop(run)

    check_released(run, checkout, item)


def test_pool_works_in_a_worktree_per_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    items = new_items(checkout, "One", "Two", "Three")

    def write(request: ModelRequest) -> Answer:
        item = item_of_run(request)
        return call("Write", file_path="own", content=f"{item}\n")

    server = model(steps(write, say("Written.")))

    run = ada(checkout, server).run(*once(TOOLS_RECIPE, "--pool", "3"))

    assert run.code == 0, run.stderr
    check_own_worktrees(checkout, items)


@pytest.mark.parametrize(
    "options",
    [
        ["--output-format", "json"],
        ["--output-format", "json", "--verbose"],
        ["--output-format", "stream-json", "--verbose"],
        [],
    ],
    ids=["json", "verbose json", "stream-json", "text"],
)
def test_result_is_read_in_each_output_format(
    checkout: Checkout, model: ScriptedModel, options: Sequence[str]
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            of_item("report", kind="progress", text="Half"),
            say("Two\n\nparagraphs."),
        )
    )
    words = words_of(TOOLS_RECIPE, ["--output-format", "json"], *options)

    run = ada(checkout, server).run(*once(words))

    assert run.code == 0, run.stderr
    summary = shown(checkout, item)["summary"]
    assert summary.endswith("paragraphs.")
    assert summary.startswith("Two") == bool(options)


@pytest.mark.parametrize(
    "options",
    [
        ["--output-format", "json"],
        ["--output-format", "stream-json", "--verbose"],
    ],
    ids=["json", "stream-json"],
)
def test_refused_calls_do_not_complete_item(
    checkout: Checkout, model: ScriptedModel, options: Sequence[str]
) -> None:
    (item,) = new_items(checkout, "Prices")
    server = model(
        steps(
            of_item("complete", summary="By tools"),
            in_shell("worker complete {item} 'By commands'"),
            say("All done."),
        )
    )
    words = words_of(UNPERMITTED, ["--output-format", "json"], *options)

    run = ada(checkout, server).run(*once(words))

    assert run.code == 5, run.stderr
    failed = shown(checkout, item)
    assert failed["state"] == "failed"
    reason = failed["timeline"][-1]["text"]
    assert f"refused its calls of the queue ({OURS}complete, worker" in reason
    assert "orchestrate docs agents" in reason
    assert "All done." in reason
