"""Sessions of Claude Code, the real program, with a scripted model."""

import json

import pytest
from programs.checkout import Checkout, run_program
from programs.claude import (
    BRIEFING,
    OURS,
    ask,
    claude,
    doctor,
    result,
    trust,
)
from programs.model_server import (
    ModelServer,
    ScriptedModel,
    call,
    say,
    steps,
)

PROGRAM = "claude"
WORKER_TOOLS = {"check", "pop", "get", "report", "fail", "release"}
ORCHESTRATOR_TOOLS = {"plan", "assign", "status", "edit", "answer", "mend"}


def ready(checkout: Checkout, *setups: str) -> str:
    """Set up Claude Code, once per option, and return an item in the queue of ada."""
    for option in setups or ("--approve",):
        done = checkout.orchestrate("setup", "claude", option)
        assert done.code == 0, done.stderr
    project = checkout.orchestrate("project", "Shop").stdout.strip()
    created = checkout.orchestrate(
        "create", project, "Write a poem", "--assign", "ada"
    )
    return created.stdout.strip()


def agent(checkout: Checkout, server: ModelServer) -> Checkout:
    """Return a shell in which Claude Code is the agent ada."""
    return claude(checkout, server).having(AGENT_ID="ada")


def our_tools(server: ModelServer, request: int = 0) -> set[str]:
    """Return our tools in a request, without their prefix."""
    tools = server.requests[request].tools
    return {tool.removeprefix(OURS) for tool in tools if OURS in tool}


def test_setup_is_accepted_without_a_warning(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(steps(say("Fine.")))
    shell = agent(checkout, server)
    ready(shell)
    trust(shell)

    servers = run_program(shell, "claude", "mcp", "list")
    run = ask(shell, "Hello", "--output-format", "stream-json", "--verbose")

    assert servers.stdout.splitlines()[2:] == [
        next(
            line
            for line in servers.stdout.splitlines()
            if line.startswith("task-orchestrator: ")
            and line.endswith(" mcp - ✔ Connected")
        )
    ]
    assert servers.stderr == run.stderr == ""
    events = [json.loads(line) for line in run.stdout.splitlines()]
    start = next(each for each in events if each.get("subtype") == "init")
    hooks = [each for each in events if each.get("subtype") == "hook_response"]
    assert {each["outcome"] for each in hooks} == {"success"}
    assert {each["stderr"] for each in hooks} == {""}
    assert {"task-orchestrator", "task-orchestrator-worker"} <= {
        *start["slash_commands"]
    }


def test_doctor_finds_no_invalid_settings(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = agent(checkout, model(steps(say("Fine."))))
    ready(shell)

    of_setup = doctor(shell)
    settings = shell.folder / ".claude" / "settings.json"
    settings.write_text('{"hooks": 7}', encoding="utf-8")
    of_mistake = doctor(shell)

    assert "Diagnostics" in of_setup
    assert "Invalidsettings" not in of_setup
    assert "Invalidsettings" in of_mistake


@pytest.mark.parametrize("option", ["--approve", "--no-approve"])
def test_untrusted_folder_needs_an_approval(
    checkout: Checkout, model: ScriptedModel, option: str
) -> None:
    """The first start of `claude` asks whether the folder is trusted."""
    shell = agent(checkout, model(steps(say("Fine."))))

    done = shell.orchestrate("setup", "claude", option)
    servers = run_program(shell, "claude", "mcp", "list")

    assert "answer that you trust the folder" in done.stderr
    assert "Start it here, not in a subfolder" in done.stderr
    is_approved = option == "--approve"
    assert ("✔ Connected" in servers.stdout) == is_approved
    assert ("Pending approval" in servers.stdout) != is_approved


@pytest.mark.parametrize(
    "setups",
    [("--approve",), ("--user",), ("--approve", "--user")],
    ids=["project", "user", "both"],
)
def test_briefing_comes_once_in_each_session(
    checkout: Checkout, model: ScriptedModel, setups: tuple[str, ...]
) -> None:
    server = model(steps(say("Fine.")))
    shell = agent(checkout, server)
    ready(shell, *setups)

    session = result(shell, "Hello")["session_id"]
    first = len(server.requests) - 1
    result(shell, "More", "--resume", session)
    resumed = len(server.requests) - 1
    result(shell, "/compact", "--resume", session)
    result(shell, "Go on", "--resume", session)

    for request in (first, resumed, -1):
        assert server.requests[request].text.count(BRIEFING) == 1
        assert "Write a poem" in server.requests[request].text


def test_session_without_agent_is_an_orchestrator(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(steps(say("Fine.")))
    shell = claude(checkout, server)
    ready(shell)

    result(shell, "Hello")

    assert our_tools(server) >= ORCHESTRATOR_TOOLS
    assert not WORKER_TOOLS & our_tools(server)
    text = server.requests[0].text
    assert text.count("You are the orchestrating agent") == 1
    assert BRIEFING not in text


def test_session_of_agent_has_tools_of_a_worker(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(steps(say("Fine.")))
    shell = agent(checkout, server)
    ready(shell)

    result(shell, "Hello")

    assert our_tools(server) >= WORKER_TOOLS
    assert not ORCHESTRATOR_TOOLS & our_tools(server)


def test_subfolder_has_tools_and_instructions(
    checkout: Checkout, model: ScriptedModel
) -> None:
    """Claude Code reads the hooks of the folder in which it starts, and no others."""
    server = model(steps(say("Fine.")))
    shell = agent(checkout, server)
    ready(shell)
    below = shell.folder / "src"
    below.mkdir()

    result(shell.within(below), "Hello")
    shell.orchestrate("setup", "claude", "--user")
    result(shell.within(below), "Hello")

    by_project, by_user = server.requests
    assert our_tools(server) >= WORKER_TOOLS
    assert BRIEFING not in by_project.text
    assert "`worker prime` shows your items" in by_project.text
    assert by_user.text.count(BRIEFING) == 1


def test_approved_tools_need_no_person(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = checkout.having(AGENT_ID="ada")
    item = ready(shell)
    server = model(
        steps(
            call(f"{OURS}pop"),
            call(
                f"{OURS}report",
                item=item,
                kind="progress",
                text="Two lines",
                percent=50,
            ),
            call(f"{OURS}complete", item=item, summary="Four lines"),
            say("Done."),
        )
    )
    shell = agent(checkout, server)

    done = result(shell, "Work.")

    assert done["permission_denials"] == []
    shown = shell.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["summary"]) == ("completed", "Four lines")


def test_commands_of_worker_run_in_its_shell(
    checkout: Checkout, model: ScriptedModel
) -> None:
    shell = checkout.having(AGENT_ID="ada")
    item = ready(shell)
    server = model(
        steps(
            *(
                call("Bash", command=f"worker {words}")
                for words in (
                    "check",
                    "pop",
                    f"progress {item} 'Two lines' --percent 50",
                    f"complete {item} 'Four lines'",
                )
            ),
            say("Done."),
        )
    )
    shell = agent(checkout, server)

    done = result(shell, "Work.", "--allowedTools", "Bash(worker *)")

    assert done["permission_denials"] == []
    assert server.requests[1].results[-1].startswith("You have 1 assigned")
    shown = shell.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["summary"]) == ("completed", "Four lines")
