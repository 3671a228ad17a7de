"""What each command may do in a folder without a queue: create it, use it or read it."""

import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import pytest
from support.commands import BIN, Shell, alive, eventually, result_of
from taskorch.cli.app import RoleGroup
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch_orchestrator import group as orchestrators
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker import group as workers
from taskorch_worker.cli import worker

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
TABLES: Mapping[str, tuple[RoleGroup, Mapping[str, Access]]] = {
    "orchestrate": (orchestrate, orchestrators.ACCESS),
    "worker": (worker, workers.ACCESS),
}
ITEM, PROJECT = "item_1a2b3c4d", "proj_1a2b3c4d"
#: The arguments that a command needs.
ARGUMENTS = {
    "orchestrate": {
        **dict.fromkeys(("depend",), (ITEM, "item_5e6f7a8b")),
        **dict.fromkeys(
            ("show", "logs", "cancel", "requeue", "accept"), (ITEM,)
        ),
        **dict.fromkeys(
            ("progress", "discoveries", "complete", "wait", "reopen"),
            (PROJECT,),
        ),
        "create": (PROJECT, "x"),
        "assign": (ITEM, "ada"),
        "answer": (ITEM, "x"),
        "edit": (ITEM, "--title", "x"),
        "comment": (ITEM, "x"),
        "purge": ("--yes",),
        "acl": ("viewer",),
        "token create": ("ada", "--role", "worker"),
        **dict.fromkeys(("token rotate", "token revoke"), ("tok_1a2b3c4d",)),
        "token edit": ("tok_1a2b3c4d", "--max-agents", "5"),
        **dict.fromkeys(("schedule run", "schedule remove"), ("nightly",)),
        "send-back": (ITEM, "x"),
        "schedule add": ("nightly", "-", "--cron", "0 6 * * *"),
    },
    "worker": {
        **dict.fromkeys(
            (
                "progress",
                "discover",
                "blocker",
                "comment",
                "complete",
                "fail",
                "send-back",
            ),
            (ITEM, "x"),
        ),
        **dict.fromkeys(
            (
                "get",
                "notes",
                "get-notes",
                "renew",
                "ack",
                "release",
                "wait",
                "logs",
                "accept",
            ),
            (ITEM,),
        ),
        "run": ("true",),
    },
}


def leaves(group: RoleGroup, prefix: str = "") -> Iterator[str]:
    """Return all commands of a group and its groups, and groups that run without a subcommand."""
    for name in list(group.commands):
        group.load(name)
        command = group.commands[name]
        if isinstance(command, RoleGroup):
            yield from leaves(command, f"{prefix}{name} ")
        if (
            not isinstance(command, click.Group)
            or command.invoke_without_command
        ):
            yield f"{prefix}{name}"


def having(*access: Access) -> list[tuple[str, str]]:
    return [
        (role, name)
        for role, (_, table) in TABLES.items()
        for name in table
        if table[name] in access
    ]


def run(role: str, name: str, *more: str) -> None:
    """Run a command in this process."""
    group, _ = TABLES[role]
    group.main(
        [*name.split(), *ARGUMENTS[role].get(name, ()), *more],
        prog_name=role,
        standalone_mode=False,
        obj={},
    )


@pytest.fixture
def empty(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a queue, the current one of an agent."""
    monkeypatch.setenv("AGENT_ID", "ada")
    return folder


@pytest.mark.parametrize("role", TABLES)
def test_access_table_has_every_command(role: str) -> None:
    group, table = TABLES[role]

    assert sorted(leaves(group)) == sorted(table)


def test_access_table_matches_the_docs() -> None:
    rows = re.findall(
        r"^\| (create|use|read|none) \|[^|]*\|([^|]*)\|([^|]*)\|$",
        OPERATIONS.read_text("utf-8"),
        re.MULTILINE,
    )

    stated = {
        (role, name): Access(access)
        for access, *cells in rows
        for role, cell in zip(TABLES, cells, strict=True)
        for name in re.findall("`([^`]+)`", cell)
    }

    assert stated == {
        (role, name): table[name]
        for role, (_, table) in TABLES.items()
        for name in table
    }


@pytest.mark.parametrize(
    ("role", "name"),
    [pair for pair in having(Access.USE, Access.READ) if pair[1] != "mcp"],
)
def test_command_without_create_access_reports_missing_queue(
    empty: Path, role: str, name: str
) -> None:
    with pytest.raises(
        errors.NoQueue, match=f"There is no queue in {empty}."
    ) as refusal:
        run(role, name)

    assert (refusal.value.exit_code, refusal.value.hint()) == (
        3,
        "Create one: orchestrate project TITLE",
    )
    assert list(empty.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        *(
            "worker prime",
            "worker prime --hook-json",
            "worker hook stop",
            "worker mcp",
            "worker whoami",
        ),
        *(
            "orchestrate prime",
            "orchestrate mcp",
            "orchestrate server status",
            "orchestrate server list",
            "orchestrate server stop",
        ),
        *(
            "orchestrate trust",
            "orchestrate setup codex --check",
            "worker check",
        ),
    ],
)
def test_refused_command_creates_nothing(local: Shell, words: str) -> None:
    ran = result_of(local.start(*_command(words)))

    assert ran.code in (0, 3, 5)
    assert list(local.folder.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        "project x",
        "apply -",
        "import export.jsonl",
        "server start",
        "token create ada --role worker",
    ],
)
def test_command_with_create_access_starts_server(
    local: Shell, shell: Shell, words: str
) -> None:
    if "import" in words:
        shell.orchestrate("export", str(local.folder / "export.jsonl"))

    ran = local.orchestrate(
        *words.split(), stdin=b"project: x\nitems: [{name: a, title: A}]\n"
    )

    assert ran.code == 0, ran.stderr
    assert local.orchestrate("server", "status", "--json").data()["running"]


def test_dry_run_creates_no_queue(local: Shell) -> None:
    ran = local.orchestrate(
        "apply",
        "-",
        "--dry-run",
        stdin=b"project: x\nitems: [{name: a, title: A}]\n",
    )
    wrong = local.orchestrate(
        "apply", "-", "--dry-run", stdin=b"project: x\nitems: [{title: A}]\n"
    )

    assert (ran.code, wrong.code) == (3, 5)
    assert list(local.folder.iterdir()) == []


def test_folder_without_data_has_no_queue(local: Shell) -> None:
    local.orchestrate("init")

    runs = [
        local.orchestrate("list"),
        local.worker("pop"),
        local.orchestrate("create", PROJECT, "x"),
    ]

    assert [run.code for run in runs] == [3, 3, 3]
    assert not (local.folder / ".task-orchestrator" / "data").exists()


def test_only_a_step_starts_a_stopped_server(local: Shell) -> None:
    project = local.orchestrate("project", "x").stdout.strip()
    local.orchestrate("server", "stop")

    looked, followed = local.orchestrate("list"), local.orchestrate("watch")
    still = local.orchestrate("server", "status", "--json").data()["running"]
    created = local.orchestrate("create", project, "y")

    assert [ran.code for ran in (looked, followed, created)] == [4, 4, 0]
    assert (
        f"The bundled server of {local.folder} was stopped.\n  Start it: orchestrate server start"
        in looked.stderr
    )
    assert not still


def test_reading_command_restarts_a_killed_server(local: Shell) -> None:
    project = local.orchestrate("project", "x").stdout.strip()
    pid = local.orchestrate("server", "status", "--json").data()["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))

    looked = local.orchestrate("projects")

    assert looked.code == 0, looked.stderr
    assert project in looked.stdout


@pytest.mark.parametrize(
    "words",
    [
        *(
            "worker check",
            "worker whoami",
            "worker get-notes item_1a2b3c4d",
            "worker prime",
        ),
        *(
            "orchestrate list",
            "orchestrate project x",
            "orchestrate doctor",
            "orchestrate watch",
        ),
    ],
)
def test_named_redis_needs_no_root(shell: Shell, words: str) -> None:
    process = shell.start(*_command(words))
    if "watch" in words:
        process.stdout.readline()  # type: ignore[union-attr]
        process.send_signal(signal.SIGINT)

    result_of(process)

    assert list(shell.folder.iterdir()) == []


def _command(words: str) -> list[str]:
    name, *rest = words.split()
    return [str(BIN / name), *rest]
