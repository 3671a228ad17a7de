"""The archive of a root: old projects become files that can be imported, then go."""

import gzip
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from support.backups import comparable, exported_work
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, State
from taskorch.queue import keys, queue, views
from taskorch.queue.plan import Plan
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_orchestrator.backup import export
from taskorch_orchestrator.backup.archive import Archive
from taskorch_orchestrator.backup.archive_index import INDEX
from taskorch_orchestrator.backup.restore import restore
from taskorch_orchestrator.doctor.audit import audit

DAY_MS = 86_400_000
NEW = tuple(
    NewItem(title=f"Item {number}", key=f"{number}", agent="ada")
    for number in range(5)
)


def old_project(bench: Bench, key: str = "plan") -> str:
    """Return a project with something of everything, completed 100 days ago."""
    applied = bench.queue.apply(Plan(title="Old", key=key, items=NEW))
    ada = bench.agent()
    one, two, three, *_ = [item.id for item in applied.items]
    lease = bench.claimed(one)
    ada.note(one, "mine")
    lease = ada.discover(ada.progress(lease, "half").lease, "It rains").lease
    ada.complete(lease, "done", deliverables={"file": "a.md"})
    bench.queue.depend(three, [two])
    bench.queue.new_discoveries(applied.project)
    bench.queue.complete_project(applied.project, force=True)
    bench.age_project(applied.project)
    return applied.project


def archive(bench: Bench, home: Path, root: str = "root") -> dict[str, str]:
    """Archive the projects that were completed 90 days ago."""
    kept = Archive(bench.queue, home, root).add_old_projects(
        90 * DAY_MS, lambda: False
    )
    return dict(kept)


def archived(home: Path) -> list[Path]:
    """Return all files in the archive of a root, without its index."""
    folder = home / "archive"
    files = folder.iterdir() if folder.exists() else ()
    return sorted(file for file in files if file.name != INDEX)


def exported(bench: Bench, project: str) -> list[dict[str, Any]]:
    """Return the lines that the archive of a project has."""
    lines = bench.queue.backup.project_lines(project)
    return comparable(export.without_damage(lines, {}))


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(file)]


def projects(bench: Bench) -> set[str]:
    return {project.id for project in bench.queue.views.projects()}


def test_imported_archive_is_the_project(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    before = exported(bench, project)
    work = exported_work(bench)

    kept = archive(bench, tmp_path)
    (file,) = archived(tmp_path)
    counts = restore(file, copy.queue.backup)

    assert kept == {}
    assert projects(bench) == set()
    assert counts["item"] == len(NEW)
    assert comparable(lines_of(file)) == before
    assert exported(copy, project) == before
    # nobody has called in the copy
    same = {name: work[name] for name in work if not name.startswith("agent")}
    assert {
        name: value
        for name, value in exported_work(copy).items()
        if not name.startswith("agent")
    } == same
    assert audit(copy.queue, fix=False).findings == ()


@pytest.mark.parametrize("size", [1_000_000, 3_000_000])
def test_item_over_1_mib_is_archived(
    bench: Bench, copy: Bench, tmp_path: Path, size: int
) -> None:
    # delivered to a full item, or left by an older version
    project = old_project(bench)
    item = bench.queue.views.list(project=project).items[0].id
    stored = json.dumps(["x" * 50_000] * (size // 50_000))
    tag = keys.tag(bench.namespace)
    bench.raw.hset(f"{tag}item:{item}", "requirements", stored)
    bench.raw.hset(f"{tag}item:{item}", "description", "y" * 60_000)

    kept = archive(bench, tmp_path)
    (file,) = archived(tmp_path)
    restore(file, copy.queue.backup)

    assert kept == {}
    restored = copy.queue.views.show(item).item.requirements
    assert len(restored) == size // 50_000


def test_archive_leaves_nothing_in_redis(bench: Bench, tmp_path: Path) -> None:
    project = old_project(bench)

    archive(bench, tmp_path)

    assert [name for name in bench.everything() if project in name] == []
    assert audit(bench.queue, fix=False).findings == ()


def test_archived_file_is_named_and_private(
    bench: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    key = f"{keys.tag(bench.namespace)}project:{project}"
    bench.raw.hset(key, "completed_at", 1_700_000_000_000)

    archive(bench, tmp_path)

    (file,) = archived(tmp_path)
    assert file.name == f"{project}-20231114T221320Z.jsonl.gz"
    assert file.stat().st_mode & 0o777 == 0o600


def test_young_and_open_projects_stay(bench: Bench, tmp_path: Path) -> None:
    young, active = bench.project(), bench.project()
    bench.queue.complete_project(young)

    archive(bench, tmp_path)

    assert projects(bench) == {young, active}
    assert archived(tmp_path) == []


def test_awaited_project_stays(bench: Bench, tmp_path: Path) -> None:
    project = old_project(bench)
    cancelled = bench.queue.views.list(
        project=project, state=State.CANCELLED
    ).items[0]
    dependent = bench.item(depends_on=(cancelled.id,))

    waiting = archive(bench, tmp_path)
    files = archived(tmp_path)
    bench.queue.cancel(dependent)
    archive(bench, tmp_path)

    assert f"{dependent} waits for {cancelled.id}" in waiting[project]
    assert files == []
    assert project not in projects(bench)
    assert len(archived(tmp_path)) == 1


def test_dependencies_on_other_projects_are_left_out(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    needed = bench.completed_item()
    project = bench.project()
    item = bench.item(project, depends_on=(needed,))
    last = bench.item(project, depends_on=(item,))
    bench.queue.complete_project(project, force=True)
    bench.age_project(project)

    archive(bench, tmp_path)
    restore(archived(tmp_path)[0], copy.queue.backup)

    shown = copy.queue.views.show
    assert shown(item).item.depends_on == ()
    assert shown(last).item.depends_on == (item,)
    assert audit(bench.queue, fix=False).findings == ()


def test_damaged_project_is_not_archived(bench: Bench, tmp_path: Path) -> None:
    project = old_project(bench)
    item = bench.queue.views.list(project=project).items[0].id
    bench.raw.hset(
        f"{keys.tag(bench.namespace)}item:{item}", "token", "damaged"
    )

    kept = archive(bench, tmp_path)

    assert "damaged in Redis" in kept[project]
    assert projects(bench) == {project}
    assert archived(tmp_path) == []


def test_unwritable_archive_purges_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    before = exported_work(bench)
    (tmp_path / "archive").write_text("in the way")

    with pytest.raises(
        errors.ArchiveNotWritable, match="cannot be archived in"
    ) as refusal:
        archive(bench, tmp_path)
    unchanged = exported_work(bench)
    (tmp_path / "archive").unlink()
    archive(bench, tmp_path)

    assert str(refusal.value).endswith(
        "is not a folder. None of them is purged."
    )
    assert unchanged == before
    assert (projects(bench), len(archived(tmp_path))) == (set(), 1)
    assert project in archived(tmp_path)[0].name


class Killed(BaseException):
    """The process is dead."""


class KilledConnection(ConnectionWrapper):
    """A connection of a process that is killed at one of its calls of a script."""

    def __init__(
        self, connection: Connection, calls: int, *, is_done: bool
    ) -> None:
        """Kill at the last of `calls`; `is_done` tells whether Redis runs it."""
        super().__init__(connection)
        self._left = calls
        self._is_done = is_done

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self._left -= 1
        if self._left:
            return super().run_script(script, key, arguments)
        if self._is_done:
            super().run_script(script, key, arguments)
        raise Killed


def killed_at(bench: Bench, calls: int, *, is_done: bool) -> Bench:
    """Return the bench as a process that is killed at one of its calls sees it."""
    return bench.with_connection(
        lambda inner: KilledConnection(inner, calls, is_done=is_done)
    )


@pytest.mark.parametrize("is_done", [False, True])
def test_kill_between_calls_loses_and_repeats_nothing(
    bench: Bench,
    copy: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_done: bool,
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 2)
    calls, is_killed = 0, True
    while is_killed:
        calls += 1
        home = tmp_path / str(calls)
        project = old_project(bench)
        before = exported(bench, project)
        dying = killed_at(bench, calls, is_done=is_done)
        try:
            archive(dying, home)
            is_killed = False
        except Killed:
            archive(bench, home)

        (file,) = archived(home)
        assert comparable(lines_of(file)) == before
        assert projects(bench) == set()
    assert calls > 8
    restore(file, copy.queue.backup)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_kill_while_writing_leaves_the_project(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    project = old_project(bench)

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, step, kill)
        patch.setattr(os, "unlink", kill)
        with pytest.raises(Killed):
            archive(bench, tmp_path)
    left, remaining = archived(tmp_path), projects(bench)
    archive(bench, tmp_path)

    assert [file.suffix for file in left] == [".tmp"]
    assert remaining == {project}
    assert [file.suffix for file in archived(tmp_path)] == [".gz"]
    assert projects(bench) == set()


def test_one_of_two_roots_archives_a_project(
    bench: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    here, there = tmp_path / "here", tmp_path / "there"
    run, _ = bench.queue.archive_take(project, "here", DAY_MS)

    archive(bench, there, "there")
    files_of_other = archived(there)
    archive(bench, here, "here")

    assert run
    assert files_of_other == []
    assert len(archived(here)) == 1
    assert projects(bench) == set()


def test_gone_root_is_replaced_after_a_day(
    bench: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    bench.queue.archive_take(project, "gone", DAY_MS)
    end_right(bench, project)

    archive(bench, tmp_path)

    assert len(archived(tmp_path)) == 1
    assert projects(bench) == set()


def end_right(bench: Bench, project: str) -> None:
    """Let the day of the root that archives a project be over."""
    bench.raw.hset(f"{keys.tag(bench.namespace)}archive:{project}", "until", 1)


def test_purge_of_archived_project_is_finished_by_others(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 2)
    project = old_project(bench)
    run, _ = bench.queue.archive_take(project, "gone", DAY_MS)
    bench.queue.archive_done(project, run, "gone:/file")
    bench.queue.purge(project)
    end_right(bench, project)

    archive(bench, tmp_path)

    assert archived(tmp_path) == []
    assert projects(bench) == set()


def test_only_the_newest_run_ends_an_archive(bench: Bench) -> None:
    project = old_project(bench)
    old, _ = bench.queue.archive_take(project, "root", DAY_MS)
    new, _ = bench.queue.archive_take(project, "root", DAY_MS)

    assert not bench.queue.archive_done(project, old, "file")
    assert bench.queue.archive_done(project, new, "file")
    assert bench.queue.archive_take(project, "root", DAY_MS)[1] == "file"


def test_repeated_take_does_not_prolong_the_right(bench: Bench) -> None:
    project = old_project(bench)
    bench.queue.archive_take(project, "root", DAY_MS)
    key = f"{keys.tag(bench.namespace)}archive:{project}"
    soon = str(bench.now_ms() + 60_000)
    bench.raw.hset(key, "until", soon)

    bench.queue.archive_take(project, "root", DAY_MS)

    assert bench.raw.hget(key, "until") == soon


@pytest.mark.parametrize("reopen", ["project", "item"])
def test_project_reopened_while_archived_is_not_purged(
    bench: Bench, reopen: str
) -> None:
    project = old_project(bench)
    item = bench.queue.views.list(project=project).items[0].id
    reopenings: dict[str, Callable[[], object]] = {
        "project": lambda: bench.queue.reopen_project(project),
        "item": lambda: bench.queue.requeue(item, reopen=True),
    }
    run, _ = bench.queue.archive_take(project, "root", DAY_MS)

    reopenings[reopen]()

    assert not bench.queue.archive_done(project, run, "file")
    with pytest.raises(errors.WrongState):
        bench.queue.archive_take(project, "root", DAY_MS)


def test_project_reopened_after_archive_is_archived_again(
    bench: Bench, tmp_path: Path
) -> None:
    project = old_project(bench)
    run, _ = bench.queue.archive_take(project, "root", DAY_MS)
    bench.queue.archive_done(project, run, "file")
    bench.queue.reopen_project(project)
    item = bench.item(project)
    bench.agent().complete(Lease(item=item), "more")
    bench.queue.complete_project(project)
    bench.age_project(project)

    archive(bench, tmp_path)

    (file,) = archived(tmp_path)
    assert item in {line["id"] for line in lines_of(file) if "id" in line}


def test_project_completed_again_is_too_young(bench: Bench) -> None:
    project = bench.project()
    bench.queue.complete_project(project)

    assert bench.queue.archive_take(project, "root", DAY_MS) == ("", "")


@pytest.mark.parametrize("left", [1, 20, 200])
def test_truncated_archive_is_refused(
    bench: Bench, copy: Bench, tmp_path: Path, left: int
) -> None:
    old_project(bench)
    archive(bench, tmp_path)
    (file,) = archived(tmp_path)
    file.write_bytes(file.read_bytes()[:-left])

    with pytest.raises(errors.Invalid):
        restore(file, copy.queue.backup)

    assert projects(copy) == set()


def test_kept_projects_do_not_hide_later_ones(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(views, "FINISHED_PAGE", 2)
    old = [old_project(bench, f"plan {number}") for number in range(7)]
    awaited = [old[0], old[1], old[4]]
    for project in awaited:
        (dead, *_) = bench.queue.views.list(
            project=project, state=State.CANCELLED
        ).items
        bench.item(depends_on=(dead.id,))

    kept = archive(bench, tmp_path)

    assert sorted(kept) == sorted(awaited)
    assert projects(bench) & set(old) == set(awaited)
