"""`orchestrate export` and `import`: backups, moves to another root, and crashes."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.backups import fill_namespace
from support.builders import Bench
from support.commands import BIN, Shell
from taskorch.cli.quoting import NOTICE
from taskorch.domain.item import HOUR_MS, NewItem, State

#: Imports a file, and is killed at the n-th call of a script.
KILLED = """
import os, signal, sys
from pathlib import Path
from taskorch.connections import connect
from taskorch.transport.socket import SocketConnection
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch_orchestrator.backup import restore

call, left = SocketConnection.run_script, int(sys.argv[4])

def counted(self, *arguments):
    global left
    left -= 1
    reply = call(self, *arguments)
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return reply

SocketConnection.run_script = counted
restore.BATCH_LINES = 5
restore.restore(Path(sys.argv[3]), Queue(connect(sys.argv[1]), sys.argv[2], Caller(agent="planner")).backup)
"""


@pytest.fixture
def elsewhere() -> Iterator[Shell]:
    """Another folder with a bundled server of its own."""
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    shell = Shell(folder, {"AGENT_ID": "ada", "TASKORCH_SERVICE": "off"})
    yield shell
    shell.orchestrate("server", "stop")
    shutil.rmtree(folder)


def test_backup_moves_to_another_root_with_leases(
    local: Shell, elsewhere: Shell
) -> None:
    project = local.orchestrate("project", "Move \U0001f69a").stdout.strip()
    item = local.orchestrate(
        "create", project, "Half done", "--assign", "ada"
    ).stdout.strip()
    assert local.worker("get", item).code == 0

    exported = local.orchestrate(
        "export", str(elsewhere.folder / "backup.jsonl")
    )
    imported = elsewhere.orchestrate("import", "backup.jsonl")
    shutil.copytree(
        local.folder / ".task-orchestrator/workspace",
        elsewhere.folder / ".task-orchestrator/workspace",
    )
    done = elsewhere.worker("complete", item, "all of it")

    assert (
        exported.stdout
        == "Exported: projects: 1, items: 1, reports: 0, notes: 0, discoveries: 0\n"
    )
    assert (
        imported.stdout
        == "Imported: projects: 1, items: 1, reports: 0, notes: 0, discoveries: 0\n"
    )
    assert (done.code, done.stdout) == (0, f"{item} is completed.\n")


def test_mirror_follows_an_import(local: Shell, elsewhere: Shell) -> None:
    project = local.orchestrate("project", "Move").stdout.strip()
    item = local.orchestrate(
        "create", project, "By hand", "--assign", "file_worker"
    ).stdout.strip()
    local.orchestrate("export", str(elsewhere.folder / "backup.jsonl"))
    elsewhere.orchestrate("sync")

    elsewhere.orchestrate("import", "backup.jsonl")
    elsewhere.orchestrate("sync")

    assert (
        elsewhere.folder / f".task-orchestrator/handoffs/{item}_handoff.json"
    ).exists()


def test_killed_import_completes_when_rerun(
    shell: Shell, bench: Bench
) -> None:
    standing = fill_namespace(bench)
    assert shell.orchestrate("export", "backup.jsonl").code == 0
    copy = shell.having(TASKORCH_NAMESPACE=f"{bench.namespace}-copy")

    killed = shell.python(
        KILLED, bench.url, f"{bench.namespace}-copy", "backup.jsonl", "5"
    )
    refused = copy.worker("pop")
    again = copy.orchestrate("import", "backup.jsonl")

    assert killed.code == -9
    assert refused.code == 5
    assert (
        "An import into this namespace is running, or was interrupted."
        in refused.stderr
    )
    assert again.code == 0, again.stderr
    assert (
        copy.orchestrate("list", "--json").data()
        == shell.orchestrate("list", "--json").data()
    )
    assert (
        copy.orchestrate(
            "show", standing[State.BLOCKED].item, "--json"
        ).data()["questions"][0]["text"]
        == "Which one?"
    )


def test_outage_during_import_prints_how_to_continue(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    fill_namespace(bench)
    assert shell.orchestrate("export", "backup.jsonl").code == 0

    ran = shell.orchestrate(
        "--redis-url",
        f"unix://{tmp_path}/nobody.sock",
        "import",
        "backup.jsonl",
    )

    assert ran.code == 4
    assert (
        "the namespace is closed until you run it again with the same file.\n"
        in ran.stderr
    )


@pytest.mark.parametrize(
    ("from_", "reason"),
    [("<&-", "no standard input"), ("< /proc/self/mem", "cannot be read")],
)
def test_unreadable_standard_input_is_an_error(
    shell: Shell, from_: str, reason: str
) -> None:
    words = [
        f"{BIN}/orchestrate {command} - {from_}"
        for command in ("import", "apply")
    ]

    imported, applied = (shell.run("sh", "-c", word) for word in words)

    assert imported.code in (2, 5)
    assert applied.code == 2
    assert reason in imported.stderr
    assert "unexpected" not in imported.stderr + applied.stderr


def test_pipe_moves_a_namespace(shell: Shell, bench: Bench) -> None:
    fill_namespace(bench)
    line = f"orchestrate export | orchestrate --namespace {bench.namespace}-copy import - --json"

    ran = shell.having(PATH=f"{BIN}:{os.environ['PATH']}").run(
        "sh", "-c", line
    )

    assert ran.data()["item"] == len(bench.queue.views.list(limit=5000).items)
    assert ran.stderr == ""


def test_terminal_gets_export_only_for_a_dash(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    refused, screen = shell.on_terminal(BIN / "orchestrate", "export")
    wanted, shown = shell.on_terminal(BIN / "orchestrate", "export", "-")

    assert refused == 2
    assert "To print the export here: orchestrate export -" in screen
    assert wanted == 0
    assert item in shown


def test_closed_pipe_ends_the_export(shell: Shell, bench: Bench) -> None:
    fill_namespace(bench)

    ran = shell.having(PATH=f"{BIN}:{os.environ['PATH']}").run(
        "sh", "-c", "orchestrate export | head -n 1"
    )

    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.startswith('{"kind": "header"')


def test_full_disk_keeps_the_last_backup(shell: Shell, bench: Bench) -> None:
    bench.item()

    ran = shell.run("sh", "-c", f"{BIN}/orchestrate export > /dev/full")

    assert ran.code == 5
    assert (
        ran.stderr
        == "Error: The export cannot be written: No space left on device\n"
    )


def test_stuck_on_terminal_keeps_ids_whole(shell: Shell, bench: Bench) -> None:
    item = bench.lease_in(State.BLOCKED).item

    _, screen = shell.on_terminal(BIN / "orchestrate", "stuck", width=40)
    piped = shell.orchestrate("stuck")

    assert f"{item}  blocked" in screen
    assert f"orchestrate answer {item} TEXT" in screen
    assert piped.stdout.splitlines()[1].split()[:2] == [item, "blocked"]
    assert piped.stdout.rstrip().endswith(f"orchestrate answer {item} TEXT")


def test_dead_letter_shows_start_of_its_reason(
    shell: Shell, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "no rights\n" * 1000, retry=False)

    _, screen = shell.on_terminal(BIN / "orchestrate", "stuck", width=40)
    piped = shell.orchestrate("stuck").stdout.splitlines()

    assert f"{lease.item}  failed:" in screen
    assert f"orchestrate requeue {lease.item}" in screen
    assert "  failed: no rights" in piped[1]
    assert len(piped[1]) < 400
    assert piped[2:] == [NOTICE]


def test_empty_page_of_stuck_names_the_rest(
    shell: Shell, bench: Bench
) -> None:
    later = NewItem(title="Later", agent="ada", delay_ms=HOUR_MS)
    for _ in range(6):
        bench.create_many(bench.project(), [later] * 4500)

    ran = shell.orchestrate("stuck")

    assert (
        ran.stderr
        == "None of these is stuck.\nThere are more: only 16695 items were checked.\n"
    )


def test_stuck_reports_that_nothing_is_stuck(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    ran = shell.orchestrate("stuck")

    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "Nothing is stuck.\n")
