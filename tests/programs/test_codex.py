"""Codex, the real program, as `orchestrate setup codex` leaves it."""

import json
import re
import shutil
from collections.abc import Sequence

import pytest
from programs.checkout import Checkout, run_program
from programs.codex import (
    SHELL,
    TOOLS,
    briefings,
    codex,
    on_terminal,
    our_tools,
    set_up,
    trust_hooks,
    user_config,
)
from programs.model_server import (
    Answer,
    ModelRequest,
    Reply,
    ScriptedModel,
    call,
    say,
    steps,
)
from taskorch_orchestrator import mcp_tools as of_the_orchestrator
from taskorch_worker import mcp_tools as of_the_worker

PROGRAM = "codex"
#: Far longer than a session takes.
TIME_LIMIT_S = 90
WORKER_TOOLS = {tool.name for tool in of_the_worker.TOOLS}
ORCHESTRATOR_TOOLS = {tool.name for tool in of_the_orchestrator.TOOLS}
#: More than the conversation may have before Codex compacts it.
MANY_TOKENS = 90_000
#: What the shell of Codex needs for `worker` in a login shell.
NETWORK = SHELL[:2]
#: The profile of a new user on Debian.
PROFILE = (
    'if [ -d "$HOME/.local/bin" ]; then PATH="$HOME/.local/bin:$PATH"; fi'
)
COMPACTS = ("-c", "model_auto_compact_token_limit=50000")


def queue_item(checkout: Checkout, title: str = "Prices") -> str:
    """Create a project with one item for ada, and return the item."""
    project = checkout.orchestrate("project", "Shop").stdout.strip()
    created = checkout.orchestrate("create", project, title, "--assign", "ada")
    assert created.code == 0, created.stderr
    return created.stdout.strip()


def codex_exec(shell: Checkout, *words: str) -> str:
    """Run `codex exec`, and return its last message."""
    run = run_program(shell, "codex", "exec", *words)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("scope", ["--user", ""])
def test_setup_is_accepted_without_warning(
    checkout: Checkout, model: ScriptedModel, scope: str
) -> None:
    shell = codex(checkout, model(steps(say("Fine."))))

    set_up(shell, *filter(None, [scope]))

    for session in (shell, shell.having(AGENT_ID="ada")):
        listed = run_program(session, "codex", "mcp", "list", "--json")
        checked = run_program(session, "codex", "doctor", "--json")
        assert listed.stderr == ""
        (server,) = json.loads(listed.stdout)
        assert (server["name"], server["enabled"]) == (
            "task-orchestrator",
            True,
        )
        checks = json.loads(checked.stdout)["checks"]
        assert checks["mcp.config"]["status"] == "ok", checks["mcp.config"]
        assert checks["config.load"]["status"] == "ok"
        run = run_program(session, "codex", "exec", "--strict-config", "Go.")
        assert run.returncode == 0, run.stderr


def test_person_trusts_folder_and_hooks_as_setup_says(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    server = model(steps(say("Fine.")))
    shell = codex(checkout, server, trusts=False).having(AGENT_ID="ada")

    told = set_up(shell)
    before = run_program(shell, "codex", "exec", "Go.")
    codex_exec(shell, "--trust", "Go.")
    codex_exec(shell, "Go.")
    hooks = trust_hooks(shell)
    codex_exec(shell, "Go.")

    assert "codex exec --trust" in told
    assert "/hooks" in told
    assert "codex --no-daemon" in told
    assert "In the sandbox of Codex, `worker` and" in told
    assert "Untrusted project-local configuration is disabled" in before.stderr
    seen = [
        (our_tools(request) == WORKER_TOOLS, briefings(request, "ada"))
        for request in server.requests
    ]
    assert seen == [(False, 0), (True, 0), (True, 0), (True, 1)]
    assert len(hooks) == 3


def test_first_request_has_briefing_and_tools_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    server = model(steps(say("Fine.")))
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)
    below = shell.folder / "src" / "deep"
    below.mkdir(parents=True)
    agent = shell.having(AGENT_ID="ada")

    codex_exec(agent, "Go.")
    codex_exec(agent, "resume", "--last", "Go on.")
    codex_exec(agent.within(below), "Go.")

    first, resumed, deep = server.requests
    assert [briefings(each, "ada") for each in (first, deep)] == [1, 1]
    # The history has the briefing of the start.
    assert briefings(resumed, "ada") == 2
    for request in server.requests:
        assert our_tools(request) == WORKER_TOOLS


def test_session_on_a_terminal_is_of_its_agent(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    server = model(steps(say("Fine.")))
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)
    agent = shell.having(AGENT_ID="ada")

    with on_terminal(agent, "--no-daemon", "Go."):
        server.wait_for(1)

    (request,) = server.requests
    assert briefings(request, "ada") == 1
    assert our_tools(request) == WORKER_TOOLS


def test_compaction_is_followed_by_one_briefing(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)

    def script(request: ModelRequest) -> Answer:
        if "CONTEXT CHECKPOINT COMPACTION" in request.text:
            return say("So far, so good.")
        if "produced a summary" in request.text:
            return say("All done.")
        first = call("exec_command", cmd="true")
        return Reply(calls=first.calls, tokens=MANY_TOKENS)

    server = model(script)
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)

    last = codex_exec(shell.having(AGENT_ID="ada"), *COMPACTS, "Go.")

    assert last == "All done."
    assert briefings(server.all_requests[-1], "ada") == 1
    assert our_tools(server.all_requests[-1]) == WORKER_TOOLS


def test_user_and_project_setup_brief_once(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    server = model(steps(say("Fine.")))
    shell = codex(checkout, server)
    set_up(shell)
    set_up(shell, "--user")
    hooks = trust_hooks(shell)

    codex_exec(shell.having(AGENT_ID="ada"), "Go.")

    assert len(hooks) == 6
    (request,) = server.requests
    assert briefings(request, "ada") == 1
    assert our_tools(request) == WORKER_TOOLS


def test_session_without_agent_has_orchestrator_role(
    checkout: Checkout, model: ScriptedModel
) -> None:
    item = queue_item(checkout)
    server = model(steps(call(f"{TOOLS}.status", of=item), say("Fine.")))
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)

    codex_exec(shell, "Go.")

    first, last = server.requests
    assert our_tools(first) == ORCHESTRATOR_TOOLS
    assert "You are the orchestrating agent" in first.text
    assert briefings(first, "ada") == 0
    assert "Prices" in last.results[-1]


@pytest.mark.parametrize("option", ["--approve", "--no-approve"])
def test_worker_tools_need_no_person_headless(
    checkout: Checkout, model: ScriptedModel, option: str
) -> None:
    item = queue_item(checkout)
    server = model(
        steps(
            call(f"{TOOLS}.check"),
            call(f"{TOOLS}.pop"),
            call(f"{TOOLS}.report", item=item, kind="progress", text="Half"),
            call(f"{TOOLS}.complete", item=item, summary="By tools"),
            say("Fine."),
        )
    )
    shell = codex(checkout, server)
    set_up(shell, option)

    codex_exec(shell.having(AGENT_ID="ada"), "Go.")

    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["state"] == "completed"
    assert shown["summary"] == "By tools"


@pytest.mark.parametrize(
    ("option", "state"),
    [("--approve", "cancelled"), ("--no-approve", "queued")],
)
def test_tool_that_discards_work_needs_approval(
    checkout: Checkout, model: ScriptedModel, option: str, state: str
) -> None:
    item = queue_item(checkout)
    cancel = call(f"{TOOLS}.mend", item=item, verb="cancel", reason="No need")
    shell = codex(checkout, model(steps(cancel, say("Fine."))))
    set_up(shell, option)

    codex_exec(shell, "Go.")

    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["state"] == state


def shell_results(
    shell: Checkout,
    model: ScriptedModel,
    options: Sequence[str],
    *commands: str,
) -> Sequence[str]:
    """Let the model run commands in the shell of Codex, and return their output."""
    calls = [call("exec_command", cmd=command) for command in commands]
    server = model(steps(*calls, say("Fine.")))
    codex_exec(codex(shell, server), *options, "Go.")
    return server.requests[-1].results


def test_sandboxed_shell_names_the_missing_setting(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    shell = checkout.having(AGENT_ID="ada")
    options = ("-c", "allow_login_shell=false")

    (result,) = shell_results(
        shell, model, options, "worker check; echo exit $?"
    )

    assert "is not allowed to connect" in result
    assert "sandbox_workspace_write.network_access = true" in result
    assert "use the MCP tools of task-orchestrator" in result
    assert "exit 4" in result


def test_sandboxed_shell_works_on_an_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    item = queue_item(checkout)
    shell = checkout.having(AGENT_ID="ada")

    results = shell_results(
        shell,
        model,
        SHELL,
        "worker check",
        "worker pop",
        f"worker progress {item} Half --percent 50",
        f"worker complete {item} 'By commands' --deliverable a=b",
    )

    assert ["exited with code 0" in each for each in results] == [True] * 4, (
        results
    )
    shown = checkout.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["summary"]) == ("completed", "By commands")


def test_login_shell_finds_commands_as_setup_says(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    (checkout.home / ".profile").write_text(PROFILE, encoding="utf-8")
    shell = checkout.having(AGENT_ID="ada", SHELL="/bin/bash")
    told = set_up(shell)
    links = re.search(r"(?m)^  (mkdir .*)$", told)
    assert links, told

    (missing,) = shell_results(shell, model, NETWORK, "worker check")
    linked = shell.run("sh", "-c", links[1])
    set_up(shell, "--remove")
    set_up(shell)
    (found,) = shell_results(shell, model, NETWORK, "worker check")

    assert "not found" in missing
    assert linked.code == 0, linked.stderr
    assert "1 assigned work item" in found
    file = checkout.folder / ".codex" / "config.toml"
    assert 'command = "orchestrate"' in file.read_text(encoding="utf-8")


def test_sandbox_outside_of_git_finds_the_queue(
    checkout: Checkout, model: ScriptedModel
) -> None:
    queue_item(checkout)
    shutil.rmtree(checkout.folder / ".git")
    shell = checkout.having(AGENT_ID="ada")
    options = (*SHELL, "--skip-git-repo-check")

    made, checked = shell_results(
        shell, model, options, "ls -a", "worker check"
    )

    # Codex puts an empty one there for the time of a command.
    assert ".git" in made
    assert "1 assigned work item" in checked


def test_tools_and_commands_are_one_session(
    checkout: Checkout, model: ScriptedModel
) -> None:
    item = queue_item(checkout)
    server = model(
        steps(
            call(f"{TOOLS}.pop"),
            call("exec_command", cmd=f"worker complete {item} 'By both'"),
            say("Fine."),
        )
    )
    shell = codex(checkout, server)
    set_up(shell)

    codex_exec(shell.having(AGENT_ID="ada"), *SHELL, "Go.")

    assert "exited with code 0" in server.requests[-1].results[-1]
    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["summary"] == "By both"


def test_stop_hook_reminds_of_held_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    item = queue_item(checkout)
    server = model(
        steps(
            call(f"{TOOLS}.pop"),
            say("I stop here."),
            call(f"{TOOLS}.complete", item=item, summary="Reminded"),
            say("Now it is done."),
        )
    )
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)

    last = codex_exec(shell.having(AGENT_ID="ada"), "Go.")

    assert last == "Now it is done."
    assert f"You still hold {item}" in server.requests[2].text
    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["summary"] == "Reminded"


def test_session_is_not_reminded_of_another_sessions_item(
    checkout: Checkout, model: ScriptedModel
) -> None:
    first, second = queue_item(checkout, "One"), queue_item(checkout, "Two")
    flag = checkout.folder / "go"
    waits = f"while ! test -e {flag}; do sleep 0.05; done"
    long = steps(
        call(f"{TOOLS}.pop"),
        call("exec_command", cmd=waits, yield_time_ms=30_000),
        call(f"{TOOLS}.complete", item=first, summary="First"),
        say("The first is done."),
    )
    short = steps(
        call(f"{TOOLS}.pop"),
        call(f"{TOOLS}.complete", item=second, summary="Second"),
        say("The second is done."),
    )
    server = model(
        lambda request: (
            long(request) if "Go first." in request.text else short(request)
        )
    )
    shell = codex(checkout, server)
    set_up(shell)
    trust_hooks(shell)
    agent = shell.having(AGENT_ID="ada")

    running = agent.start("codex", "exec", "Go first.")
    assert running.stdin
    running.stdin.close()
    server.wait_for(2)
    last = codex_exec(agent, "Go second.")
    flag.touch()
    running.stdin = None
    stdout, stderr = running.communicate(timeout=TIME_LIMIT_S)

    assert last == "The second is done."
    assert stdout.strip() == "The first is done.", stderr
    assert not any("You still hold" in each.text for each in server.requests)


def test_rewritten_config_is_checked_and_removed(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = codex(checkout, model(steps(say("Fine."))))
    before = user_config(shell)
    set_up(shell, "--user")

    rewrites = [
        ("mcp", "add", "theirs", "--", "echo", "hello"),
        ("features", "enable", "prevent_idle_sleep"),
        ("mcp", "add", "more", "--", "echo", "hello"),
        ("mcp", "remove", "theirs"),
    ]
    for words in rewrites:
        assert run_program(shell, "codex", *words).returncode == 0
    checked = shell.orchestrate("setup", "codex", "--user", "--check")
    removed = shell.orchestrate("setup", "codex", "--user", "--remove")

    assert (checked.code, removed.code) == (0, 0), removed.stderr
    after = user_config(shell)
    assert after.pop("features") == {"prevent_idle_sleep": True}
    assert [*after.pop("mcp_servers")] == ["more"]
    assert after == before
    left = sorted(file.name for file in (shell.home / ".codex").glob("*.*"))
    assert "hooks.json" not in left
    assert "AGENTS.md" not in left
