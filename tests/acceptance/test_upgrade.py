"""A root whose data an earlier version wrote: the first command upgrades it.

`support/schema_1/appendonlydir` is the append-only file of the bundled server of version
0.1.0, after a rewrite, with the same items as `export.jsonl` beside it.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
from support import services
from support.builders import Bench
from support.commands import Shell, eventually
from taskorch.queue import backup
from taskorch_orchestrator.backup.restore import restore

SCHEMA_1 = Path(__file__).parent.parent / "support" / "schema_1"
DATA, EXPORT = SCHEMA_1 / "appendonlydir", SCHEMA_1 / "export.jsonl"


@pytest.fixture
def old(local: Shell) -> Shell:
    """Return a shell whose bundled server has data of schema 1."""
    folder = local.folder / ".task-orchestrator" / "data" / ("0" * 32)
    folder.mkdir(parents=True)
    shutil.copytree(DATA, folder / DATA.name)
    started = local.orchestrate("server", "start", "--accept-data")
    assert started.code == 0, started.stderr
    return local


def titled(shell: Shell, title: str) -> dict[str, Any]:
    items = shell.orchestrate("list", "--json").data()
    found: dict[str, Any] = next(
        item for item in items if item["title"] == title
    )
    return found


def test_first_command_upgrades_live_data(old: Shell) -> None:
    done = titled(old, "Design the tables")

    shown = old.orchestrate("show", done["id"])

    assert (done["state"], done["summary"]) == ("completed", "Two tables")
    assert done["deliverables"] == {"file": "schema.sql"}
    assert "Two tables" in shown.stdout


def test_holder_continues_after_the_upgrade(old: Shell) -> None:
    held = titled(old, "Write tests")

    claimed = old.worker("get", held["id"])
    completed = old.worker("complete", held["id"], "Ten tests")

    assert (claimed.code, completed.code) == (0, 0), completed.stderr
    assert titled(old, "Write tests")["state"] == "completed"


def test_doctor_names_the_upgrade(old: Shell) -> None:
    # Its agents were last seen on the day of the data, so it has other findings, too.
    first, second = (
        old.orchestrate("doctor", "--json").json()["data"]["checks"]
        for _ in range(2)
    )

    schemas = [
        next(check for check in found if check["name"] == "schema")["found"]
        for found in (first, second)
    ]
    assert schemas == [
        "was version 1; doctor has upgraded it",
        "version 2",
    ]


def test_service_upgrades_by_itself(shell: Shell, bench: Bench) -> None:
    restore(EXPORT, bench.queue.backup)
    assert bench.schema() == "1"

    with services.running(shell, "--no-rq"):
        eventually(lambda: bench.schema() == backup.SCHEMA)
