"""`orchestrate import` takes the files of other trackers, by their content."""

import json
import os
import re

import pytest
from support.builders import Bench
from support.commands import BIN, Shell

TASKS = {
    "tasks": [
        {"id": 1, "title": "Design", "status": "pending", "estimate": "1 day"},
        {"id": 2, "title": "Build", "status": "pending", "dependencies": [1]},
        {"id": 3, "title": "Decide", "status": "done"},
    ]
}


def test_import_prints_projects_and_remarks(
    shell: Shell, bench: Bench
) -> None:
    folder = shell.folder / "shop" / ".taskmaster" / "tasks"
    folder.mkdir(parents=True)
    (folder / "any-name.txt").write_text(json.dumps(TASKS), encoding="utf-8")

    ran = shell.orchestrate("import", str(folder / "any-name.txt"))

    assert ran.code == 0
    rows = ran.stdout.splitlines()
    assert re.fullmatch(
        r"proj_[0-9a-f]{8} shop: 2 new items, 0 existing", rows[0]
    )
    assert rows[1:] == ["Left out: 1 done, 0 cancelled"]
    assert ran.stderr == "No place for: estimate (1).\n"
    assert len(bench.queue.views.projects()) == 1


def test_import_reads_standard_input_into_project(
    shell: Shell, bench: Bench
) -> None:
    project = bench.project()
    issues = json.dumps([{"number": 1, "title": "One", "state": "OPEN"}])
    words = ("import", "-", "--project", project, "--json")

    first = shell.orchestrate(*words, stdin=issues.encode()).data()
    again = shell.orchestrate(*words, stdin=issues.encode()).data()

    assert first["format"] == "github"
    assert (first["projects"][0]["id"], first["projects"][0]["created"]) == (
        project,
        1,
    )
    assert again["projects"][0]["existing"] == 1
    assert len(bench.queue.views.progress(project).items) == 1


def test_dry_run_of_import_writes_nothing(shell: Shell, bench: Bench) -> None:
    (shell.folder / "x.json").write_text(json.dumps(TASKS), encoding="utf-8")

    ran = shell.orchestrate("import", "x.json", "--dry-run", "--title", "Shop")

    assert ran.code == 0
    assert ran.stdout.startswith("New project Shop: 2 new items")
    assert ran.stderr.endswith("Nothing was written.\n")
    assert bench.queue.views.projects() == ()


def test_options_of_trackers_do_not_fit_export(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    shell.orchestrate("export", "all.jsonl")

    ran = shell.orchestrate("import", "all.jsonl", "--dry-run")

    assert ran.code == 2
    assert "An export has projects of its own" in ran.stderr


def test_foreign_file_is_refused(shell: Shell, bench: Bench) -> None:
    (shell.folder / "package.json").write_text('{"name": "x"}')

    ran = shell.orchestrate("import", "package.json")

    assert ran.code == 5
    assert "it is neither an export" in ran.stderr
    assert bench.queue.views.projects() == ()


@pytest.mark.parametrize("options", [(), ("--format", "export")])
def test_endless_pipe_is_refused(
    shell: Shell, bench: Bench, options: tuple[str, ...]
) -> None:
    bench.project()

    ran = shell.orchestrate("import", "/dev/zero", *options)

    assert ran.code == 5
    assert "longer than 67108864 bytes" in ran.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("", "longer than 67108864 bytes"),
        ("--format export", "line 1: Invalid JSON"),
    ],
)
def test_endless_compressed_pipe_is_refused(
    shell: Shell, bench: Bench, options: str, reason: str
) -> None:
    bench.project()
    line = f"gzip -1 </dev/urandom | orchestrate import - {options}"

    ran = shell.having(PATH=f"{BIN}:{os.environ['PATH']}").run(
        "sh", "-c", line
    )

    assert ran.code == 5
    assert reason in ran.stderr
