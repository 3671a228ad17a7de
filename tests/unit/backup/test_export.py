"""`orchestrate export` and `import`: all of a namespace comes back in another one, and its work goes on there."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from support.backups import content, exported, furnished, work, written
from support.builders import Bench
from support.verbs import AGENT, ORCHESTRATOR, act
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.queue import archive
from taskorch_orchestrator.backup import export
from taskorch_orchestrator.backup.restore import restore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


def moved(bench: Bench, copy: Bench, file: Path) -> None:
    """Export one namespace, and import it into the other."""
    exported(bench, file)
    restore(file, copy.queue.archive)


def test_what_was_imported_is_exported_again_the_same(
    bench: Bench, copy: Bench, file: Path
) -> None:
    furnished(bench)
    before = exported(bench, file)

    restore(file, copy.queue.archive)

    assert content(exported(copy, file)) == content(before)
    assert work(copy) == work(bench)
    assert copy.inconsistencies() == []


def test_an_export_says_what_it_is_and_how_much_of_it_there_is(
    bench: Bench, file: Path
) -> None:
    furnished(bench)

    first, *lines, last = exported(bench, file)

    assert (first["format"], first["version"], first["schema"]) == (
        "task-orchestrator-export",
        1,
        "1",
    )
    assert first["namespace"] == bench.namespace
    assert last["kind"] == "trailer"
    assert (
        last["counts"]["item"]
        == len([line for line in lines if line["kind"] == "item"])
        > 0
    )
    assert sum(last["counts"].values()) == len(lines)


def test_an_empty_namespace_is_exported_and_imported_too(
    bench: Bench, copy: Bench, file: Path
) -> None:
    moved(bench, copy, file)

    assert [line["kind"] for line in exported(copy, file)] == ["header", "trailer"]
    assert copy.inconsistencies() == []


@pytest.mark.parametrize("verb", ["pop", *AGENT, *ORCHESTRATOR])
def test_every_verb_does_there_what_it_does_here_in_every_state(
    bench: Bench, copy: Bench, file: Path, verb: str
) -> None:
    leases = [bench.standing(state) for state in State]
    leases += [
        bench.expired(state) for state in (State.DELAYED, State.QUEUED, State.FAILED)
    ]
    others = [bench.item(agent="bob") for _ in leases]
    moved(bench, copy, file)

    def outcomes(bench: Bench) -> Iterator[str]:
        for lease, other in zip(leases, others, strict=True):
            try:
                act(bench, verb, lease, other)
            except errors.TaskOrchestratorError as refusal:
                yield refusal.word
            yield bench.state(lease.item)

    assert list(outcomes(copy)) == list(outcomes(bench))
    assert copy.inconsistencies() == bench.inconsistencies() == []


def test_a_holder_delivers_there_with_the_lease_that_it_has_from_here(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed(session="monday")
    moved(bench, copy, file)

    receipt = copy.agent(session="monday").complete(lease, "done")

    assert receipt.state is State.COMPLETED
    assert (receipt.token, receipt.claim) == (lease.token, lease.claim)


def test_the_queue_keeps_its_order_and_new_items_come_behind(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    first, second, urgent = (
        bench.item(project),
        bench.item(project),
        bench.item(project, priority=0),
    )
    moved(bench, copy, file)

    last = copy.item(project)

    assert [copy.claimed_next() for _ in range(4)] == [urgent, first, second, last]


def test_a_key_that_was_used_here_is_known_there(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    item = bench.item(project, key="once")
    moved(bench, copy, file)

    assert copy.item(project, key="once") == item


def test_who_follows_the_events_there_learns_of_an_import(
    bench: Bench, copy: Bench, file: Path
) -> None:
    bench.item()
    cursor = copy.queue.views.events().newest

    moved(bench, copy, file)

    events = copy.queue.views.events(since=cursor)
    assert [event.verb for event in events.entries] == ["restore"]
    assert events.newest != cursor


def test_what_is_created_meanwhile_is_left_out_and_nothing_waits_for_it(
    bench: Bench, copy: Bench, file: Path
) -> None:
    early, late = bench.project(), bench.project()
    item, waiting = bench.item(early), bench.item(late)
    lines = bench.queue.archive.lines()
    begun = [next(lines)]

    new = bench.item(early)
    bench.queue.depend(waiting, [new, item])
    bench.item(bench.project(), key="k")
    file.write_bytes(written([*begun, *lines]))
    restore(file, copy.queue.archive)

    assert {found.id for found in copy.queue.views.list().items} == {item, waiting}
    assert copy.queue.views.show(waiting).item.depends_on == (item,)
    assert copy.state(waiting) is State.WAITING
    assert copy.inconsistencies() == []


@pytest.mark.parametrize("delay_ms", [0, 1])
def test_an_item_whose_dependency_was_completed_while_the_export_went_on_does_not_wait_for_ever(
    bench: Bench, copy: Bench, file: Path, delay_ms: int
) -> None:
    early = bench.project()
    bench.let_the_clock_tick()
    late = bench.project()
    dependency = bench.item(late)
    item = bench.item(early, depends_on=(dependency,), delay_ms=delay_ms)
    lines = bench.queue.archive.lines()
    begun = list(islice(lines, 3))

    bench.agent().complete(bench.claimed(dependency), "done")
    file.write_bytes(written([*begun, *lines]))
    restore(file, copy.queue.archive)
    copy.queue.reap()

    assert [line["kind"] for line in begun] == ["header", "project", "item"]
    assert copy.inconsistencies() == []
    assert copy.claimed_next() == item


def test_an_item_that_has_lost_its_lease_entry_gets_one_there(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed()
    bench.lose_lease_entry(lease.item)

    moved(bench, copy, file)

    assert copy.inconsistencies() == []


def test_an_item_that_has_vanished_is_left_out(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    lost, item = bench.item(project, key="k"), bench.item(project)
    waiting = bench.item(project, depends_on=(lost,))
    bench.lose_item(lost)

    moved(bench, copy, file)

    assert {found.id for found in copy.queue.views.list().items} == {item, waiting}
    assert copy.state(waiting) is State.QUEUED


def test_many_items_and_long_histories_come_in_slices(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    for number in range(230):
        bench.item(project, key=f"key {number}", description="x" * 1000)
    lease = bench.claimed()
    for _ in range(30):
        lease = bench.agent().progress(lease, "y" * 20_000).lease
        bench.agent().discover(lease, "z" * 20_000)

    moved(bench, copy, file)

    assert work(copy) == work(bench)


def test_an_export_that_fails_leaves_the_file_that_was_there(
    bench: Bench, file: Path
) -> None:
    bench.item()
    file.write_bytes(b"the last one")

    def failing() -> Iterator[archive.Line]:
        yield from list(bench.queue.archive.lines())[:2]
        raise errors.Unreachable(url="", reason="it is gone")

    with pytest.raises(errors.Unreachable):
        export.to_file(failing(), file)

    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == b"the last one"


def test_the_file_is_its_owners_alone(bench: Bench, file: Path) -> None:
    file.touch(mode=0o644)

    exported(bench, file)

    assert file.stat().st_mode & 0o777 == 0o600


def test_an_export_that_cannot_be_written_is_told(bench: Bench, file: Path) -> None:
    with pytest.raises(errors.Invalid, match="cannot be written: No such file"):
        exported(bench, file / "below")


def test_its_schema_is_that_of_the_scripts(bench: Bench) -> None:
    bench.project()

    assert bench.schema() == archive.SCHEMA


def test_a_lease_that_is_over_here_is_over_there(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed()
    bench.let_lease_run_out(lease.item)
    moved(bench, copy, file)

    copy.queue.reap()

    assert copy.state(lease.item) is State.DELAYED
    assert copy.queue.views.show(lease.item).item.attempts == 1


def test_a_line_has_no_line_break_in_it(bench: Bench, file: Path) -> None:
    furnished(bench)
    exported(bench, file)

    assert all(
        json.loads(line)["kind"]
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    )
