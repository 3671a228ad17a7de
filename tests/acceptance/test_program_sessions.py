"""Each session of an agent program is a session of its agent, whatever starts it."""

import json
from pathlib import Path

import pytest
from support.agent_program import AgentProgram, agent_program
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.domain.item import State

PRIME = ("worker", "prime", "--hook-json")
ORCHESTRATOR_PRIME = ("orchestrate", "prime", "--hook-json")
STOP = ("worker", "hook", "stop")
CLAUDE = "CLAUDE_CODE_SESSION_ID"

#: The variable with the id of a session that a program gives to its shells, or "".
GIVES_ID = pytest.mark.parametrize(
    "variable",
    [CLAUDE, "CODEX_THREAD_ID", ""],
    ids=["claude", "codex", "none"],
)


def payload(session: str, source: str = "startup") -> dict[str, object]:
    """Return the JSON that a program writes to its hook."""
    return {"session_id": session, "source": source}


def id_of(variable: str, session: str) -> dict[str, str]:
    return {variable: session} if variable else {}


def begin(program: AgentProgram, session: str, source: str = "startup") -> str:
    """Call the hook at the start of a session, and return the briefing."""
    ran = program.run(*PRIME, payload=payload(session, source))
    assert ran.code == 0, ran.stderr
    return briefing(ran.stdout)


def briefing(stdout: str) -> str:
    if not stdout:
        return ""
    output = json.loads(stdout)["hookSpecificOutput"]
    assert output["hookEventName"] == "SessionStart"
    return str(output["additionalContext"])


def reminder(program: AgentProgram, session: str) -> str:
    """Call the hook at the end of a turn."""
    event = {"session_id": session, "stop_hook_active": False}
    return program.run(*STOP, payload=event).stdout


@pytest.fixture
def root(shell: Shell) -> Shell:
    (shell.folder / ".task-orchestrator").mkdir()
    return shell


@GIVES_ID
def test_each_session_is_reminded_of_its_own_item(
    root: Shell, bench: Bench, variable: str
) -> None:
    first, second = bench.item(priority=1), bench.item(priority=2)
    with (
        agent_program(root, **id_of(variable, "one")) as one,
        agent_program(root, **id_of(variable, "two")) as two,
    ):
        begin(one, "one")
        begin(two, "two")
        claimed = [one.run("worker", "pop"), two.run("worker", "pop")]

        reminders = reminder(one, "one"), reminder(two, "two")
        refused = two.run("worker", "complete", first, "not mine")
        done = one.run("worker", "complete", first, "mine")

    assert [ran.code for ran in claimed] == [0, 0]
    assert first in reminders[0]
    assert second not in reminders[0]
    assert second in reminders[1]
    assert first not in reminders[1]
    assert (refused.code, done.code) == (6, 0)


def test_program_without_any_id_is_not_reminded(
    root: Shell, bench: Bench
) -> None:
    bench.item()
    with agent_program(root) as program:
        program.run("worker", "pop")

        reminded = reminder(program, "one")

    assert reminded == ""


def test_terminal_is_no_session_of_a_program(
    root: Shell, bench: Bench
) -> None:
    item = bench.item()
    with agent_program(root) as program:
        begin(program, "one")
        taken = root.worker("get", item)
        who = root.worker("whoami", "--json").data()

        reminded = reminder(program, "one")

    assert (taken.code, who["session"]) == (0, "")
    assert reminded == ""
    assert root.worker("complete", item, "by hand").code == 0


def test_explicit_session_is_that_of_hooks_too(
    root: Shell, bench: Bench
) -> None:
    item = bench.item()
    variables = {"AGENT_SESSION": "mine", CLAUDE: "one"}
    root.having(AGENT_SESSION="mine").worker("get", item)
    with agent_program(root, **variables) as program:
        told = begin(program, "one")

        reminded = reminder(program, "one")

    assert f"worker get {item}" in told
    assert item in reminded


@GIVES_ID
def test_tools_and_commands_of_a_session_agree(
    root: Shell, bench: Bench, variable: str
) -> None:
    item = bench.item()
    with agent_program(root, **id_of(variable, "one")) as program:
        begin(program, "one")
        ran = call_tool(program, "pop")

        reminded = reminder(program, "one")
        done = program.run("worker", "complete", item, "by command")

    assert item in ran
    assert item in reminded
    assert done.code == 0, done.stderr


def test_tool_call_can_name_its_session(root: Shell, bench: Bench) -> None:
    item = bench.item()
    with agent_program(root) as program:
        call_tool(program, "pop", threadId="one")

        theirs = program.run("worker", "complete", item, "by another")
        done = program.run_in(
            {"CODEX_THREAD_ID": "one"}, "worker", "complete", item, "by both"
        )

    assert (theirs.code, done.code) == (6, 0)


def call_tool(program: AgentProgram, tool: str, **meta: str) -> str:
    """Call one tool of our MCP server, and return everything that it answered."""
    initialize = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    messages: list[dict[str, object]] = [
        {"id": 1, "method": "initialize", "params": initialize},
        {"method": "notifications/initialized"},
        {
            "id": 2,
            "method": "tools/call",
            "params": {"name": tool, "_meta": meta},
        },
    ]
    lines = [json.dumps({"jsonrpc": "2.0", **each}) for each in messages]
    return program.run_with(
        "orchestrate", "mcp", stdin="\n".join(lines)
    ).stdout


@GIVES_ID
def test_cleared_session_keeps_its_items(
    root: Shell, bench: Bench, variable: str
) -> None:
    item = bench.item()
    with agent_program(root) as program:
        begin(program, "one")
        program.run_in(id_of(variable, "one"), "worker", "get", item)

        told = begin(program, "two", "clear")
        reminded = reminder(program, "two")
        done = program.run_in(
            id_of(variable, "two"), "worker", "complete", item, "done"
        )

    assert f"worker get {item}" in told
    assert item in reminded
    assert done.code == 0, done.stderr


@GIVES_ID
def test_resumed_session_keeps_its_items(
    root: Shell, bench: Bench, variable: str
) -> None:
    item = bench.item()
    with agent_program(root, **id_of(variable, "one")) as program:
        begin(program, "one")
        program.run("worker", "get", item)
    with agent_program(root, **id_of(variable, "one")) as program:
        told = begin(program, "one", "resume")
        reminded = reminder(program, "one")

        done = program.run("worker", "complete", item, "done")

    assert f"worker get {item}" in told
    assert item in reminded
    assert done.code == 0, done.stderr


@GIVES_ID
def test_next_session_continues_for_an_ended_program(
    root: Shell, bench: Bench, variable: str
) -> None:
    item = bench.item()
    with (
        agent_program(root, **id_of(variable, "two")) as second,
        agent_program(root, **id_of(variable, "one")) as first,
    ):
        begin(first, "one")
        first.run("worker", "get", item)
        beside = begin(second, "two")
    with agent_program(root, **id_of(variable, "three")) as third:
        after = begin(third, "three")

        done = third.run("worker", "complete", item, "done")

    assert "held by another session" in beside
    assert "held by another session" not in after
    assert f"worker get {item}" in after
    assert done.code == 0, done.stderr
    assert bench.state(item) is State.COMPLETED


@pytest.mark.parametrize(
    ("hook", "is_worker"), [(PRIME, True), (ORCHESTRATOR_PRIME, False)]
)
def test_two_hooks_of_one_start_brief_once(
    root: Shell, bench: Bench, hook: tuple[str, ...], *, is_worker: bool
) -> None:
    bench.item()
    session = root if is_worker else root.lacking("AGENT_ID")
    starts = [
        payload("one", source) for source in ("startup", "compact", "resume")
    ]
    with agent_program(session) as program:
        told = [
            [
                bool(ran.stdout)
                for ran in program.run_together(hook, hook, payload=start)
            ]
            for start in starts
        ]

    assert [sorted(each) for each in told] == [[False, True]] * 3


def test_resumed_program_is_briefed_immediately(root: Shell) -> None:
    told = []
    for _ in range(2):
        with agent_program(root) as program:
            told.append(bool(begin(program, "one", "resume")))

    assert told == [True, True]


def test_hook_briefs_in_a_folder_below(root: Shell) -> None:
    below = root.within(root.folder / "src" / "deep")
    below.folder.mkdir(parents=True)

    with agent_program(below) as program:
        told = begin(program, "one")

    assert told.startswith("# You are the agent `ada`")
    assert list(below.folder.iterdir()) == []


def test_hook_briefs_if_session_cannot_be_recorded(root: Shell) -> None:
    (root.folder / ".task-orchestrator" / "run").write_bytes(b"in the way")

    with agent_program(root) as program:
        told = begin(program, "one")

    assert told.startswith("# You are the agent `ada`")


@pytest.mark.parametrize("is_on_path", [True, False])
def test_shell_of_claude_finds_our_commands(
    root: Shell, tmp_path: Path, *, is_on_path: bool
) -> None:
    path = "/usr/bin:/bin"
    file = tmp_path / "environment.sh"
    with agent_program(
        root,
        PATH=f"{BIN}:{path}" if is_on_path else path,
        CLAUDE_ENV_FILE=str(file),
    ) as program:
        begin(program, "one")

    script = f". {file}; worker whoami"
    assert file.exists() != is_on_path
    if not is_on_path:
        ran = root.having(PATH=path).run("sh", "-c", script)
        assert "agent:          ada" in ran.stdout


@pytest.mark.parametrize("id_", ["../../evil", "é" * 200, "a b", "x" * 65])
def test_any_id_of_a_program_makes_a_session(
    root: Shell, bench: Bench, id_: str
) -> None:
    item = bench.item()
    with agent_program(root, **{CLAUDE: id_}) as program:
        told = begin(program, id_)
        program.run("worker", "get", item)

        reminded = reminder(program, id_)

    assert told
    assert item in reminded
    records = root.folder / ".task-orchestrator" / "run" / "sessions"
    assert {path.parent for path in root.folder.rglob("*program-*")} <= {
        records
    }


def test_committed_config_file_makes_no_root_of_worktree(
    root: Shell, bench: Bench
) -> None:
    item = bench.item()
    config = root.folder / ".task-orchestrator" / "config.toml"
    config.write_text("service = false\n", encoding="utf-8")
    git = ("git", "-c", "user.name=x", "-c", "user.email=x@example.org")
    root.run(*git, "init", "--quiet")
    root.run(*git, "add", "--force", str(config))
    root.run(*git, "commit", "--quiet", "-m", "first")
    assert root.run(*git, "worktree", "add", "--quiet", "../tree").code == 0
    tree = root.within(root.folder.parent / "tree")
    assert (tree.folder / ".task-orchestrator" / "config.toml").exists()

    with agent_program(tree) as program:
        begin(program, "one")
        who = program.run("worker", "whoami", "--json").data()
        tools = call_tool(program, "pop")
        reminded = reminder(program, "one")

    assert who["root"] == str(root.folder)
    assert item in tools
    assert item in reminded
    assert (root.folder / ".task-orchestrator" / "workspace" / "ada").exists()
    assert names(tree.folder) == {".git", ".task-orchestrator"}
    assert names(tree.folder / ".task-orchestrator") == {"config.toml"}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
