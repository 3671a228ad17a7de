"""`purge` deletes a completed project with everything in it, and nothing else."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from support.backups import export_lines, exported_work, fill_namespace
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import NewItem, State
from taskorch.queue import queue
from taskorch.queue.backup import Line
from taskorch.queue.plan import Plan
from taskorch.queue.requests import Requests
from taskorch_orchestrator.backup import export
from taskorch_orchestrator.backup.restore import restore
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.purge import delete, find_completed

NEW = tuple(
    NewItem(title=f"Item {number}", key=f"{number}", agent="ada")
    for number in range(5)
)
PLAN = Plan(title="Planned", key="plan", items=NEW)


def over(bench: Bench) -> str:
    """Return a completed project with data in every kind of key."""
    applied, ada = bench.queue.apply(PLAN), bench.agent()
    project, (one, second, third, *_) = (
        applied.project,
        [item.id for item in applied.items],
    )
    first = bench.claimed(one)
    ada.note(first.item, "mine")
    lease = ada.discover(ada.progress(first, "half").lease, "It rains").lease
    bench.queue.answer(ada.blocker(lease, "Which?").lease.item, "Both")
    ada.complete(lease, "done")
    bench.queue.depend(third, [second])
    ada.fail(bench.claimed(second), "hopeless", retry=False)
    bench.queue.complete_project(project, force=True)
    return project


def purged(bench: Bench, project: str) -> tuple[int, int]:
    """Purge a project, and return the number of deleted items and keys."""
    done = delete(bench.queue, find_completed(bench.queue, [project]))
    return done.items, done.keys


def awaited(bench: Bench) -> tuple[str, str, str]:
    """Return a completed project, its cancelled item, and a waiting dependent."""
    project = bench.project()
    item = bench.item(project)
    dependent = bench.item(depends_on=(item,))
    bench.queue.complete_project(project, force=True)
    return project, item, dependent


@pytest.mark.parametrize("batch", [2, 5, 250])
def test_purge_leaves_nothing_of_project(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", batch)
    purged(bench, over(bench))
    bench.queue.apply(replace(PLAN, key="another"))
    before, kinds = exported_work(bench), bench.everything().keys()
    project = over(bench)
    there = len(bench.everything())

    items, keys = purged(bench, project)

    assert exported_work(bench) == before
    assert bench.everything().keys() == kinds
    assert (items, keys) == (5, there - len(kinds))
    assert bench.inconsistencies() == []
    assert (found := audit(bench.queue, fix=False)).findings == ()
    assert found.counted


def test_partly_purged_project_is_consistent(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 2)
    project = over(bench)

    part = bench.queue.purge(project)[:2]

    assert part == (3, 2)
    assert len(bench.queue.views.list(project=project).items) == 3
    assert bench.inconsistencies() == []
    assert audit(bench.queue, fix=False).findings == ()
    assert purged(bench, project)[0] == 3


def test_partly_purged_project_has_no_dangling_key(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 2)
    project = over(bench)
    last = bench.queue.views.list(project=project).items[-1].id
    bench.queue.purge(project)

    with pytest.raises(errors.ProjectClosed):
        bench.queue.create(project, NEW[0])
    bench.queue.requeue(last, reopen=True)

    assert bench.state(bench.queue.create(project, NEW[0])) is State.QUEUED
    assert bench.inconsistencies() == []


def test_project_reopened_during_purge_keeps_its_rest(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 2)
    project = over(bench)
    bench.queue.purge(project)
    last = bench.queue.views.list(project=project).items[-1].id
    bench.queue.requeue(last, reopen=True)

    with pytest.raises(errors.WrongState):
        bench.queue.purge(project)

    assert len(bench.queue.views.list(project=project).items) == 3
    assert bench.inconsistencies() == []


def test_purge_refuses_open_project(bench: Bench) -> None:
    project = bench.project()
    bench.bring_to(bench.item(project), State.COMPLETED)
    before = bench.everything()

    for refused in (
        lambda: bench.queue.purge(project),
        lambda: find_completed(bench.queue, [project]),
    ):
        with pytest.raises(
            errors.WrongState, match=f"{project} is active"
        ) as refusal:
            refused()
        assert (
            refusal.value.hint()
            == f"Complete the project first: orchestrate complete {project}"
        )

    assert bench.everything() == before


def test_purge_refuses_unknown_project(bench: Bench) -> None:
    project = over(bench)
    purged(bench, project)

    with pytest.raises(errors.NoProject):
        bench.queue.purge(project)
    with pytest.raises(errors.NoProject):
        find_completed(bench.queue, ["proj_00000000"])


def test_purged_completed_dependency_stays_satisfied(bench: Bench) -> None:
    project, home = bench.project(), bench.project()
    first = bench.item(project)
    open_one = bench.item(agent="bob")
    ready, waiting = (
        bench.item(home, depends_on=(first,)),
        bench.item(home, depends_on=(first, open_one)),
    )
    bench.bring_to(first, State.COMPLETED)
    bench.queue.complete_project(project)

    purged(bench, project)

    assert (bench.state(ready), bench.state(waiting)) == (
        State.QUEUED,
        State.WAITING,
    )
    bench.agent("bob").complete(bench.claimed(open_one, agent="bob"))
    assert bench.state(waiting) is State.QUEUED
    assert bench.agent().claim() is not None
    assert bench.inconsistencies() == []


def test_purge_refuses_project_with_waiting_dependents(
    bench: Bench,
) -> None:
    project, item, dependent = awaited(bench)
    before = bench.everything()

    with pytest.raises(errors.Awaited) as refusal:
        bench.queue.purge(project)

    assert refusal.value.details == {
        "project": project,
        "item": item,
        "dependent": dependent,
    }
    assert bench.everything() == before


def test_refused_purge_deletes_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 1)
    project = bench.project()
    bench.bring_to(bench.item(project), State.COMPLETED)
    bench.item(depends_on=(bench.item(project),))
    bench.queue.complete_project(project, force=True)

    done = delete(bench.queue, find_completed(bench.queue, [project]))

    assert list(done.kept) == [project]
    assert len(bench.queue.views.list(project=project).items) == 2


def test_purge_is_checked_beyond_one_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "CHECK_BATCH", 2)
    project = bench.project()
    items = [bench.item(project) for _ in range(5)]
    dependent = bench.item(depends_on=(items[-1],))
    bench.queue.complete_project(project, force=True)

    with pytest.raises(errors.Awaited) as refusal:
        bench.queue.check_purge(project)
    bench.queue.cancel(dependent)
    bench.queue.check_purge(project)

    assert refusal.value.details["item"] == items[-1]


def test_part_of_purge_checks_its_items_again(bench: Bench) -> None:
    project, item, dependent = awaited(bench)
    bench.queue.cancel(dependent)
    bench.queue.check_purge(project)
    bench.queue.requeue(dependent)

    with pytest.raises(errors.Awaited):
        bench.queue.purge(project)

    assert bench.state(item) is State.CANCELLED


def test_cancelled_dependent_does_not_block_purge(bench: Bench) -> None:
    project, _, dependent = awaited(bench)
    bench.queue.cancel(dependent)

    purged(bench, project)
    state = bench.queue.requeue(dependent).state

    assert state is State.QUEUED
    assert audit(bench.queue, fix=False).findings == ()
    assert bench.inconsistencies() == []


def test_purged_item_leaves_no_dependent_entry(
    bench: Bench,
) -> None:
    other, before = bench.item(), exported_work(bench)
    project = bench.project()
    bench.item(project, depends_on=(other,))
    bench.queue.complete_project(project, force=True)

    purged(bench, project)

    assert exported_work(bench) == before
    assert bench.bring_to(other, State.COMPLETED).item == other


def many_dependents(bench: Bench, number: int) -> tuple[str, str, list[str]]:
    """Return a completed project, its cancelled item, and cancelled dependents."""
    project, other = bench.project(), bench.project()
    item = bench.item(project)
    new = [NewItem(title="Waits", depends_on=(item,))] * 50
    made: list[str] = []
    while len(made) < number:
        made += [each.id for each in bench.queue.create_many(other, new)]
    bench.queue.complete_project(project, force=True)
    bench.queue.complete_project(other, force=True)
    return project, item, made


def test_purge_takes_many_dependents_in_parts(bench: Bench) -> None:
    project, item, dependents = many_dependents(bench, 1100)

    bench.queue.check_purge(project)
    first = bench.queue.purge(project)
    between = {each.word for each in audit(bench.queue, fix=False).findings}
    items, _ = purged(bench, project)

    assert first[:2] == (1, 0)
    assert between == {"dependency"}
    assert items == 1
    assert [key for key in bench.everything() if item in key] == []
    assert bench.members(f"deps:{dependents[0]}") == []
    assert audit(bench.queue, fix=False).findings == ()


def test_one_of_many_dependents_blocks_the_purge(bench: Bench) -> None:
    project, item, dependents = many_dependents(bench, 1100)
    bench.queue.requeue(dependents[-1], reopen=True)
    before = bench.members(f"dependents:{item}")

    with pytest.raises(errors.Awaited):
        bench.queue.check_purge(project)
    refusals = 0
    for _ in range(10):  # each takes 120 of the dependents
        with suppress(errors.Awaited):
            bench.queue.purge(project)
            continue
        refusals += 1

    assert refusals > 0
    assert dependents[-1] in bench.members(f"dependents:{item}")
    assert set(bench.members(f"dependents:{item}")) <= set(before)
    assert bench.state(item) is State.CANCELLED


def test_missing_item_does_not_block_purge(bench: Bench) -> None:
    project, other = over(bench), bench.item()
    bench.delete_item(bench.queue.views.list(project=project).items[0].id)
    bench.add_entry(f"project:{project}:items", other)

    purged(bench, project)

    assert bench.state(other) is State.QUEUED
    assert [name for name in bench.everything() if project in name] == []


def test_key_of_purged_plan_creates_new_project(bench: Bench) -> None:
    project = over(bench)
    purged(bench, project)

    again = bench.queue.apply(PLAN)

    assert again.created
    assert again.project != project


def test_each_part_of_purge_is_an_event(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", 3)
    project = over(bench)
    before = len(bench.events())

    purged(bench, project)

    told = [
        (event["verb"], event["project"], event["item"], event["state"])
        for event in bench.events()[before:]
    ]
    assert told == [
        ("purge", project, "", "completed"),
        ("purge", project, "", ""),
    ]


def test_finished_projects_are_selected_by_age(
    bench: Bench,
) -> None:
    active, first, second = bench.project(), over(bench), bench.project()
    bench.queue.complete_project(second)
    bench.wait_for_next_ms()
    bench.wait_for_next_ms()

    views = bench.queue.views

    assert [project.id for project in views.finished(older_than_ms=1)] == [
        first,
        second,
    ]
    assert views.finished(older_than_ms=3_600_000) == ()
    assert active in {project.id for project in views.projects()}


def test_finished_projects_are_found_beyond_one_page(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.queue.views.LIMIT", 2)
    projects = [bench.project() for _ in range(5)]
    for project in projects[::2]:
        bench.queue.complete_project(project)
    bench.wait_for_next_ms()
    bench.wait_for_next_ms()

    found = bench.queue.views.finished(older_than_ms=1)
    first = bench.queue.views.finished(older_than_ms=1, limit=2)

    assert {project.id for project in found} == set(projects[::2])
    assert first == found[:2]


def test_purge_of_all_skips_refused_projects(bench: Bench) -> None:
    needed, item, dependent = awaited(bench)
    other = over(bench)
    found = find_completed(bench.queue, [needed, other])
    purged(bench, other)
    third = over(bench)

    done = delete(bench.queue, [*found, *find_completed(bench.queue, [third])])

    assert [project.id for project in done.projects] == [third]
    assert list(done.kept) == [needed, other]
    assert f"{dependent} waits for {item}" in done.kept[needed]


def test_repeated_completion_after_purge_finds_no_project(
    bench: Bench,
) -> None:
    project = bench.project()
    request = "00112233445566aa"
    scripts = bench.queue._scripts
    closing = type(bench.queue)(
        scripts.connection,
        bench.namespace,
        scripts.caller,
        requests=Requests(same=request),
    )
    closing.complete_project(project)
    purged(bench, project)

    with pytest.raises(errors.NoProject):
        closing.complete_project(project)


def test_namespace_is_exported_and_imported_after_purge(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    fill_namespace(bench)
    project = over(bench)
    bench.item(
        depends_on=(
            bench.queue.views.list(project=project, state=State.COMPLETED)
            .items[0]
            .id,
        )
    )
    purged(bench, project)

    export_lines(bench, tmp_path / "export.jsonl")
    restore(tmp_path / "export.jsonl", copy.queue.backup)

    assert [item.title for item in copy.queue.views.list().items] == [
        i.title for i in bench.queue.views.list().items
    ]
    assert copy.inconsistencies() == []
    assert audit(copy.queue, fix=False).findings == ()


@pytest.mark.parametrize("batch", [2, 250])
@pytest.mark.parametrize("lines", [1, 2, 8, 13])
def test_export_during_purge_is_refused(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: int, lines: int
) -> None:
    monkeypatch.setattr(queue, "PURGE_BATCH", batch)
    project = over(bench)
    export = bench.queue.backup.lines()
    for _ in range(lines):
        next(export)
    bench.queue.purge(project)

    with pytest.raises(errors.ExportOutdated):
        list(export)


@pytest.mark.one_lane
def test_export_to_file_begins_again_after_purge(
    bench: Bench, tmp_path: Path
) -> None:
    project, kept = over(bench), bench.item()
    tries: list[int] = []

    def lines() -> Iterator[Line]:
        tries.append(1)
        for number, line in enumerate(bench.queue.backup.lines()):
            yield line
            if number == 1 and len(tries) == 1:
                bench.queue.purge(project)

    export.whole_to_file(lines, tmp_path / "export.jsonl")

    written = (tmp_path / "export.jsonl").read_text()
    assert len(tries) == 2
    assert kept in written
    assert project not in written


def test_export_continues_under_id_of_lost_project(bench: Bench) -> None:
    project = over(bench)
    bench.delete_project(project)

    lines = list(
        export.without_damage(bench.queue.backup.lines(), bench.queue.damage)
    )

    titles = [
        cast("dict[str, str]", line["fields"])["title"]
        for line in lines
        if line["kind"] == "project"
    ]
    assert titles == [project]
