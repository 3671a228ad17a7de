"""The roles do not mix, and short commands load little."""

import json

import pytest
from support.builders import Bench
from support.commands import Shell
from support.tool_client import INITIALIZE
from taskorch.domain.item import State
from taskorch_worker.cli import worker

OF_THE_ORCHESTRATOR = {
    "project",
    "create",
    "apply",
    "assign",
    "depend",
    "answer",
    "cancel",
    "requeue",
    "reap",
    "purge",
    "export",
    "import",
    "doctor",
}
HEAVY = {"redis", "rq", "pydantic", "rich", "fakeredis", "mcp"}
#: Modules of Python that take a millisecond or more to load. click may need some.
SLOW = {
    *(
        "asyncio",
        "dataclasses",
        "hashlib",
        "importlib.metadata",
        "importlib.resources",
        "ipaddress",
        "logging",
    ),
    *("pathlib", "ssl", "subprocess", "tomllib", "urllib.parse"),
}

#: Modules that make spans, or find places in a trace.
TRACING = {
    "taskorch.queue.spans",
    "taskorch.tracing.trace_context",
    "taskorch.tracing.tracer",
}

#: Runs a command in this process and prints the loaded modules on the last line of
#: stderr.
LOADED = """
import json, os, sys
from importlib import import_module
name, sys.argv = sys.argv[1], sys.argv[1:]
os._exit = sys.exit
try:
    import_module({"worker": "taskorch_worker.cli", "orchestrate": "taskorch_orchestrator.cli"}[name]).main()
except SystemExit as end:
    print("\\n" + json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(shell: Shell, *words: str, stdin: bytes = b"") -> set[str]:
    """Return the modules that a command loads."""
    ran = shell.python(LOADED, *words, stdin=stdin)
    code, modules = json.loads(ran.stderr.splitlines()[-1])
    assert not code, words
    return set(modules)


def test_worker_has_no_orchestrating_command() -> None:
    assert set(worker.commands) & OF_THE_ORCHESTRATOR == set()


def test_worker_cannot_complete_a_project(shell: Shell, bench: Bench) -> None:
    project = bench.project()

    ran = shell.worker("complete", project, "all of it")

    assert ran.code == 3
    assert bench.queue.views.projects()[0].status == "active"


def test_worker_modules_import_nothing_of_the_orchestrator(
    shell: Shell,
) -> None:
    parts = ("cli", "context", "render.items", "lease_store")
    code = "import sys\n" + "".join(
        f"import taskorch_worker.{part}\n" for part in parts
    )

    ran = shell.python(code + "print('\\n'.join(sys.modules))")

    modules = set(ran.stdout.split())
    assert {
        "taskorch_worker.lease_store",
        "taskorch.queue.agent_queue",
    } <= modules
    assert (
        modules
        & {
            "taskorch.queue.queue",
            "taskorch.queue.views",
            "taskorch_orchestrator",
            *HEAVY,
        }
        == set()
    )


@pytest.mark.parametrize(
    "words",
    [
        *(
            "check",
            "pop",
            "get {}",
            "progress {} x --percent 5",
            "wait {}",
            "complete {} x",
            "whoami",
        ),
        *("prime", "prime --hook-json"),
    ],
)
def test_worker_command_loads_neither_heavy_nor_orchestrator_modules(
    shell: Shell, bench: Bench, words: str
) -> None:
    item = bench.item()

    modules = loaded(shell, "worker", *words.format(item).split())

    assert "hiredis" in modules
    assert (
        modules
        & {
            "taskorch.queue.queue",
            "taskorch.queue.views",
            "taskorch_orchestrator",
            "taskorch.bundled.server",
            *HEAVY,
        }
        == set()
    )


@pytest.mark.parametrize(
    "words",
    [["project", "x"], ["create", "{}", "x"], ["assign", "{item}", "ada"]],
)
def test_planning_command_loads_neither_pydantic_nor_rq(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    project = bench.project()
    item = bench.item(project)

    modules = loaded(
        shell,
        "orchestrate",
        *(word.format(project, item=item) for word in words),
    )

    assert modules & {"redis", "rq", "pydantic", "taskorch_worker"} == set()


@pytest.mark.parametrize(
    "line",
    [
        "worker check",
        "worker get {item}",
        "worker progress {item} x",
        "worker complete {item} x",
        "orchestrate project x",
        "orchestrate create {project} x",
        "orchestrate create {project} x --assign bob",
        "orchestrate assign {other} bob",
    ],
)
def test_short_command_loads_little_more_than_click(
    local: Shell, line: str
) -> None:
    shell = local.having(AGENT_ID="ada")
    project = shell.orchestrate("project", "x").stdout.strip()
    item, other = (
        shell.orchestrate(
            "create", project, "x", "--assign", "ada"
        ).stdout.strip()
        for _ in range(2)
    )
    click = set(
        json.loads(
            shell.python(
                "import click, json, sys; print(json.dumps(list(sys.modules)))"
            ).stdout
        )
    )

    modules = loaded(
        shell, *line.format(item=item, project=project, other=other).split()
    )

    assert (modules - click) & (SLOW | HEAVY | TRACING) == set()


@pytest.mark.parametrize("role", ["worker", "orchestrate"])
def test_mcp_server_lists_tools_before_loading_queue(
    local: Shell, role: str
) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    first = "".join(f"{json.dumps(one)}\n" for one in (INITIALIZE, listing))
    click = set(
        json.loads(
            local.python(
                "import click, json, sys; print(json.dumps(list(sys.modules)))"
            ).stdout
        )
    )

    there = local if role == "worker" else local.lacking("AGENT_ID")
    modules = loaded(there, role, "mcp", stdin=first.encode())

    assert "taskorch.mcp.running_call" in modules
    assert (modules - click) & (SLOW | HEAVY) == set()
    assert (
        modules & {"taskorch.connections", "taskorch.queue.scripts", "hiredis"}
        == set()
    )


def test_wait_loads_nothing_heavy(shell: Shell, bench: Bench) -> None:
    item = bench.lease_in(State.COMPLETED).item

    modules = loaded(shell, "orchestrate", "wait", item)

    assert modules & HEAVY == set()


@pytest.mark.parametrize("command", ["worker", "orchestrate"])
@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["complete", "--help"]]
)
def test_help_loads_nothing_heavy(
    shell: Shell, command: str, words: list[str]
) -> None:
    modules = loaded(shell, command, *words)

    assert modules & HEAVY == set()


@pytest.mark.parametrize("command", ["worker", "orchestrate"])
def test_completion_loads_nothing_heavy(shell: Shell, command: str) -> None:
    variables = {
        f"_{command.upper()}_COMPLETE": "bash_complete",
        "COMP_WORDS": f"{command} compl",
        "COMP_CWORD": "1",
    }

    ran = shell.having(**variables).python(LOADED, command)

    code, modules = json.loads(ran.stderr.splitlines()[-1])
    assert (code, ran.stdout) == (0, "plain,complete\n")
    assert set(modules) & HEAVY == set()
