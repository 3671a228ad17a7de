"""`orchestrate service` archives old projects, and the files of every root go."""

import gzip
import json
from pathlib import Path

import pytest
from support import services
from support.builders import Bench
from support.commands import Shell, eventually
from support.services import sync_status
from taskorch.domain.item import Lease

WAYS = pytest.mark.parametrize("way", [(), ("--no-rq",)], ids=["rq", "no-rq"])


def old_project(bench: Bench, items: int = 2) -> str:
    """Return a project that was completed 100 days ago, with one item delivered."""
    project = bench.project()
    first = bench.item(project)
    bench.agent().complete(Lease(item=first), "done")
    for _ in range(items - 1):
        bench.item(project)
    bench.queue.complete_project(project, force=True)
    bench.age_project(project)
    return project


def archived(*folders: Path) -> list[Path]:
    """Return all files in the archives of some roots."""
    found: list[Path] = []
    for folder in folders:
        found += folder.glob(".task-orchestrator/archive/*.gz")
    return found


def files_of(folder: Path) -> list[str]:
    """Return the names of the files in the handoffs of a root."""
    handoffs = folder / ".task-orchestrator" / "handoffs"
    return [path.name for path in handoffs.rglob("*") if path.is_file()]


def number_of_items(file: Path) -> int:
    with gzip.open(file) as opened:
        lines = [json.loads(line) for line in opened]
    return sum(line["kind"] == "item" for line in lines)


@WAYS
def test_service_archives_old_project_with_its_files(
    shell: Shell, bench: Bench, way: tuple[str, ...]
) -> None:
    project = old_project(bench)
    shell.orchestrate("sync")
    assert files_of(shell.folder)

    with services.running(shell, *way):
        eventually(lambda: not bench.queue.views.projects())
        eventually(lambda: not files_of(shell.folder))

    (file,) = archived(shell.folder)
    copy = ("--namespace", f"{bench.namespace}-copy")
    imported = shell.orchestrate(*copy, "import", str(file))
    shown = shell.orchestrate(*copy, "list", project)
    assert imported.stdout.startswith("Imported: projects: 1, items: 2")
    assert shown.stdout.count("item_") == 2
    assert "completed" in shown.stdout


@pytest.mark.parametrize("command", ["show", "progress", "list"])
def test_archived_id_names_its_file(
    shell: Shell, bench: Bench, command: str
) -> None:
    project = old_project(bench)
    (item, _) = (each.id for each in bench.queue.views.items_of(project))
    with services.running(shell, "--no-rq"):
        eventually(lambda: not bench.queue.views.projects())
    id_ = item if command == "show" else project

    refused = shell.orchestrate("--json", command, id_)

    (file,) = archived(shell.folder)
    error = refused.error()
    assert refused.code == 3
    assert error["code"] == ("NO_ITEM" if id_ == item else "NO_PROJECT")
    assert str(file) in error["message"]
    assert f"orchestrate --namespace NAME import {file}" in error["hint"]


def test_setting_off_archives_nothing(shell: Shell, bench: Bench) -> None:
    project = old_project(bench)
    bench.agent("idle").check()
    month_ago = bench.now_ms() - 31 * 86_400_000
    bench.raw.zadd(
        f"taskorch:{{{bench.namespace}}}:agents", {"idle": month_ago}
    )

    with services.running(shell.having(TASKORCH_RETENTION="off")):
        eventually(
            lambda: "idle" not in [a.name for a in bench.queue.views.agents()]
        )

    assert [each.id for each in bench.queue.views.projects()] == [project]
    assert archived(shell.folder) == []


def test_killed_service_leaves_one_archive(shell: Shell, bench: Bench) -> None:
    project = old_project(bench, items=600)

    with services.running(shell) as (service,):
        eventually(lambda: archived(shell.folder))
        service.kill()
    with services.running(shell):
        eventually(lambda: not bench.queue.views.projects())

    (file,) = archived(shell.folder)
    assert file.name.startswith(project)
    assert number_of_items(file) == 600


def test_services_of_two_roots_share_the_projects(
    shell: Shell, bench: Bench, tmp_path: Path
) -> None:
    projects = {old_project(bench) for _ in range(20)}
    other = shell.within(tmp_path / "other")
    other.folder.mkdir()
    folders = (shell.folder, other.folder)

    with services.running(shell), services.running(other):
        eventually(lambda: not bench.queue.views.projects())
        eventually(lambda: not files_of(shell.folder))
        eventually(lambda: not files_of(other.folder))

    names = [file.name.partition("-")[0] for file in archived(*folders)]
    assert sorted(names) == sorted(projects)


def test_unwritable_archive_is_reported_once(
    shell: Shell, bench: Bench
) -> None:
    project = old_project(bench)
    in_the_way = shell.folder / ".task-orchestrator" / "archive"
    in_the_way.parent.mkdir()
    in_the_way.write_text("")

    with services.running(shell) as (service,):
        eventually(lambda: service.has_logged("cannot be archived"))
        eventually(lambda: "cannot be archived" in str(sync_status(shell)))
        log = service.log()

    assert log.count("cannot be archived") == 1
    assert [each.id for each in bench.queue.views.projects()] == [project]
    in_the_way.unlink()
    with services.running(shell):
        eventually(lambda: not bench.queue.views.projects())
        eventually(lambda: "cannot be archived" not in str(sync_status(shell)))
