"""No call does more than a bounded part of the work; the calls together do all of it."""

import json
from typing import cast

import pytest
from support.builders import Bench
from support.named_calls import Noted
from support.waiters import SOON_S
from taskorch.domain import errors
from taskorch.domain.item import NewItem, State
from taskorch.queue.agents import PAGE
from taskorch.queue.backup import SCHEMA
from taskorch.queue.wait_results import Goal

#: What one call handles.
EVENTS, COUNTED, FOLLOWED, LOOKED_AT = 100, 300, 3_000, 200
AGENTS, NAMES, ENTRIES = 200, 500, 32
DEPENDENCIES, EXPORTED, VISITED, STANDING = 150, 200, 150, 60


def some_items(
    bench: Bench, number: int, *, depends_on: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Create items of one project, and return their ids."""
    items = [NewItem(title="T", depends_on=depends_on)] * number
    created = bench.create_many(bench.project(), items)
    return tuple(item.id for item in created)


def test_events_are_read_once_in_parts(bench: Bench) -> None:
    some_items(bench, EVENTS + 1)

    first = bench.queue.views.events()
    rest = bench.queue.views.events(since=first.cursor)

    cursors = [event.cursor for event in (*first.entries, *rest.entries)]
    assert len(first.entries) == EVENTS
    assert len(cursors) == len(set(cursors)) == EVENTS + 2


def test_mirrors_far_behind_are_read_one_by_one(bench: Bench) -> None:
    some_items(bench, COUNTED)
    for root in ("a", "b", "c"):
        bench.queue.mirror_take(root, "here:1", 1000)
        bench.queue.mirror_give(root, "here:1", {"cursor": "0-1"}, {})
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    found = noted.queue.views.mirrors()

    assert sorted(mirror.root for mirror in found) == ["a", "b", "c"]
    assert [mirror.behind for mirror in found] == [COUNTED] * 3
    assert seen == ["mirrors"] * 4


def test_too_many_dependencies_are_not_followed(bench: Bench) -> None:
    first = some_items(bench, DEPENDENCIES)
    number = FOLLOWED // DEPENDENCIES
    second = some_items(bench, number, depends_on=first)
    item = bench.item()
    bench.item(depends_on=(item,))
    before = bench.everything()

    with pytest.raises(errors.TooDeep):
        bench.queue.depend(item, second)

    assert bench.everything() == before


def test_item_without_dependents_may_depend_on_many(bench: Bench) -> None:
    first = some_items(bench, DEPENDENCIES)
    number = FOLLOWED // DEPENDENCIES
    second = some_items(bench, number, depends_on=first)
    item = bench.item()

    depends = bench.queue.depend(item, second)

    assert depends is State.WAITING


def test_cancel_looks_at_few_dependents(bench: Bench) -> None:
    needed = bench.item()
    waiting = some_items(bench, LOOKED_AT + 1, depends_on=(needed,))
    bench.queue.cancel(waiting[0])

    cancelled = bench.queue.cancel(needed)

    # those that no longer wait are counted, too
    assert cancelled.waiting == LOOKED_AT + 1


def test_standing_of_many_dependencies_stays_open(bench: Bench) -> None:
    dead = bench.item()
    first = some_items(bench, VISITED + 1, depends_on=(dead,))
    last = bench.item(depends_on=first[:DEPENDENCIES])
    bench.queue.depend(last, first[DEPENDENCIES:])
    bench.queue.cancel(dead)

    standing = bench.queue.waits().standing(last)

    # not all was looked at: something may still be worked on
    assert standing.moves


def test_import_wakes_every_agent_in_parts(bench: Bench) -> None:
    names = [f"agent-{number}" for number in range(2 * AGENTS + 1)]
    items = [NewItem(title="T", agent=name) for name in names]
    bench.create_many(bench.project(), items)
    lines = [json.dumps(line) for line in bench.queue.backup.lines()]
    bench.delete_everything()
    seen: list[str] = []
    backup = bench.with_connection(
        lambda connection: Noted(connection, seen)
    ).queue.backup

    run = backup.begin("digest")
    backup.write("digest", run, lines[1:-1])
    backup.end("digest", run, sequence=len(names), created_at=1, schema=SCHEMA)

    assert len(seen) > 3
    assert [name for name in names if not _is_woken(bench, name)] == []


def test_lines_are_refused_while_agents_are_woken(bench: Bench) -> None:
    names = [f"agent-{number}" for number in range(2 * AGENTS + 1)]
    backup = bench.queue.backup
    run = backup.begin("digest")
    lines = [
        json.dumps({"kind": "agent", "name": name, "seen": 0, "fields": {}})
        for name in names
    ]
    backup.write("digest", run, lines)
    bench.queue._run_script("restore", "end", "digest", run, 1, 1, SCHEMA)

    with pytest.raises(errors.NotEmpty):
        backup.write("digest", run, lines)


def test_export_lists_many_agents_and_projects_once(bench: Bench) -> None:
    projects = [bench.queue.project(f"P {n}") for n in range(NAMES + 1)]
    names = [f"agent-{number}" for number in range(NAMES + 1)]
    items = [NewItem(title="T", agent=name) for name in names]
    bench.create_many(projects[0], items)

    lines = list(bench.queue.backup.lines())

    exported = [line["id"] for line in lines if line["kind"] == "project"]
    agents = [line["name"] for line in lines if line["kind"] == "agent"]
    assert sorted(map(str, exported)) == sorted(projects)
    assert agents == sorted(names)


def test_many_small_reports_are_read_in_parts(bench: Bench) -> None:
    lease = bench.claimed(bench.item())
    for number in range(ENTRIES + 1):
        bench.agent().progress(lease, f"report {number}")
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    (record,) = noted.queue.views.records([lease.item])

    assert [report.text for report in record.reports] == [
        f"report {number}" for number in range(ENTRIES + 1)
    ]
    assert seen == ["records"] * 2


def test_export_reads_many_small_reports_in_parts(bench: Bench) -> None:
    lease = bench.claimed(bench.item())
    for number in range(EXPORTED + 1):
        bench.agent().progress(lease, f"report {number}")
    project = bench.queue.views.show(lease.item).item.project
    other = bench.item(project)
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    lines = list(noted.queue.backup.project_lines(project))

    texts = [
        cast("dict[str, str]", line["fields"])["text"]
        for line in lines
        if line["kind"] == "report"
    ]
    items = [line["id"] for line in lines if line["kind"] == "item"]
    assert texts == [f"report {number}" for number in range(EXPORTED + 1)]
    assert items == [lease.item, other]
    # the counters, the project, each item, the last report, discoveries and readers
    assert len(seen) == 7


def test_export_of_many_dependencies_continues(bench: Bench) -> None:
    needed = some_items(bench, DEPENDENCIES)
    waiting = some_items(bench, 5, depends_on=needed)
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    lines = list(
        noted.queue.backup.project_lines(
            bench.queue.views.show(waiting[0]).item.project
        )
    )

    items = [line["id"] for line in lines if line["kind"] == "item"]
    assert items == list(waiting)
    # the counters, the project, two items at a time, discoveries and readers
    assert len(seen) == 7


def test_depend_takes_at_most_150_dependencies(bench: Bench) -> None:
    needed = some_items(bench, DEPENDENCIES + 1)
    item = bench.item()

    with pytest.raises(errors.Invalid, match="must be 1 to 150"):
        bench.queue.depend(item, needed)
    bench.queue.depend(item, needed[:-1])
    bench.queue.depend(item, needed[-1:])

    assert len(bench.queue.views.show(item).item.depends_on) == 151


def test_agents_are_read_once_in_short_pages(bench: Bench) -> None:
    names = [f"agent-{number}" for number in range(PAGE + 1)]
    for name in names:
        bench.item(agent=name)
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    found = noted.queue.views.agents()

    assert sorted(agent.name for agent in found) == sorted(names)
    assert seen == ["agents"] * 2


def _is_woken(bench: Bench, name: str) -> bool:
    return bench.agent(name)._scripts.wait_for_wake(SOON_S)


def test_wait_finds_dead_item_of_large_project(bench: Bench) -> None:
    alive, dead = bench.item(), bench.item()
    project = bench.project()
    waiting = NewItem(title="T", agent="bob", depends_on=(alive,))
    bench.create_many(project, [waiting] * (2 * STANDING + 1))
    bench.item(project, depends_on=(dead,))
    bench.queue.cancel(dead)
    waits = bench.queue.waits()

    with pytest.raises(errors.DeadEnd) as refusal:
        waits.until(project, [Goal.COMPLETED], timeout_s=0)
    blocked = waits.until(project, [Goal.BLOCKED], timeout_s=0)

    assert dead in str(refusal.value)
    assert blocked.reached is None
