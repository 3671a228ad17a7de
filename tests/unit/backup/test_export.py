"""An exported namespace continues where it was after its import into another one."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from support.backups import (
    comparable,
    export_lines,
    exported_work,
    fill_namespace,
    to_jsonl,
)
from support.builders import Bench
from support.verbs import AGENT_VERBS, ORCHESTRATOR_VERBS, act
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.queue import backup
from taskorch_orchestrator.backup import export
from taskorch_orchestrator.backup.restore import restore


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


def moved(bench: Bench, copy: Bench, file: Path) -> None:
    """Export one namespace and import it into the other."""
    export_lines(bench, file)
    restore(file, copy.queue.backup)


def test_import_and_export_round_trip(
    bench: Bench, copy: Bench, file: Path
) -> None:
    fill_namespace(bench)
    before = export_lines(bench, file)

    restore(file, copy.queue.backup)

    assert comparable(export_lines(copy, file)) == comparable(before)
    assert exported_work(copy) == exported_work(bench)
    assert copy.inconsistencies() == []


def test_export_has_header_and_counts(bench: Bench, file: Path) -> None:
    fill_namespace(bench)

    first, *lines, last = export_lines(bench, file)

    assert (first["format"], first["version"], first["schema"]) == (
        "task-orchestrator-export",
        1,
        "2",
    )
    assert first["namespace"] == bench.namespace
    assert last["kind"] == "trailer"
    assert (
        last["counts"]["item"]
        == len([line for line in lines if line["kind"] == "item"])
        > 0
    )
    assert sum(last["counts"].values()) == len(lines)


def test_empty_namespace_is_exported_and_imported(
    bench: Bench, copy: Bench, file: Path
) -> None:
    moved(bench, copy, file)

    assert [line["kind"] for line in export_lines(copy, file)] == [
        "header",
        "trailer",
    ]
    assert copy.inconsistencies() == []


@pytest.mark.parametrize("verb", ["pop", *AGENT_VERBS, *ORCHESTRATOR_VERBS])
def test_each_verb_acts_alike_on_imported_items(
    bench: Bench, copy: Bench, file: Path, verb: str
) -> None:
    leases = [bench.lease_in(state) for state in State]
    leases += [
        bench.expired_lease(state)
        for state in (State.DELAYED, State.QUEUED, State.FAILED)
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


def test_lease_is_valid_after_import(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed(session="monday")
    moved(bench, copy, file)

    receipt = copy.agent(session="monday").complete(lease, "done")

    assert receipt.state is State.COMPLETED
    assert (receipt.token, receipt.claim) == (lease.token, lease.claim)


def test_imported_queue_keeps_its_order(
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

    assert [copy.claimed_next() for _ in range(4)] == [
        urgent,
        first,
        second,
        last,
    ]


def test_imported_key_is_still_used(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    item = bench.item(project, key="once")
    moved(bench, copy, file)

    assert copy.item(project, key="once") == item


def test_import_emits_an_event(bench: Bench, copy: Bench, file: Path) -> None:
    bench.item()
    cursor = copy.queue.views.events().newest

    moved(bench, copy, file)

    events = copy.queue.views.events(since=cursor)
    assert [event.verb for event in events.entries] == ["restore"]
    assert events.newest != cursor


def test_items_created_during_export_are_left_out(
    bench: Bench, copy: Bench, file: Path
) -> None:
    early, late = bench.project(), bench.project()
    item, waiting = bench.item(early), bench.item(late)
    lines = bench.queue.backup.lines()
    begun = [next(lines)]

    new = bench.item(early)
    bench.queue.depend(waiting, [new, item])
    bench.item(bench.project(), key="k")
    file.write_bytes(to_jsonl([*begun, *lines]))
    restore(file, copy.queue.backup)

    assert {found.id for found in copy.queue.views.list().items} == {
        item,
        waiting,
    }
    assert copy.queue.views.show(waiting).item.depends_on == (item,)
    assert copy.state(waiting) is State.WAITING
    assert copy.inconsistencies() == []


@pytest.mark.parametrize("delay_ms", [0, 1])
def test_dependency_completed_during_export_is_not_open(
    bench: Bench, copy: Bench, file: Path, delay_ms: int
) -> None:
    early = bench.project()
    bench.wait_for_next_ms()
    late = bench.project()
    dependency = bench.item(late)
    item = bench.item(early, depends_on=(dependency,), delay_ms=delay_ms)
    lines = bench.queue.backup.lines()
    begun = list(islice(lines, 3))

    bench.agent().complete(bench.claimed(dependency), "done")
    file.write_bytes(to_jsonl([*begun, *lines]))
    restore(file, copy.queue.backup)
    copy.queue.reap()

    assert [line["kind"] for line in begun] == ["header", "project", "item"]
    assert copy.inconsistencies() == []
    assert copy.claimed_next() == item


def test_import_restores_a_missing_lease_entry(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed()
    bench.delete_lease_entry(lease.item)

    moved(bench, copy, file)

    assert copy.inconsistencies() == []


def test_missing_item_is_left_out_of_export(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    lost, item = bench.item(project, key="k"), bench.item(project)
    waiting = bench.item(project, depends_on=(lost,))
    bench.delete_item(lost)

    moved(bench, copy, file)

    assert {found.id for found in copy.queue.views.list().items} == {
        item,
        waiting,
    }
    assert copy.state(waiting) is State.QUEUED


def test_large_namespace_is_imported_in_batches(
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

    assert exported_work(copy) == exported_work(bench)


def test_failed_export_keeps_the_old_file(bench: Bench, file: Path) -> None:
    bench.item()
    file.write_bytes(b"the last one")

    def failing() -> Iterator[backup.Line]:
        yield from list(bench.queue.backup.lines())[:2]
        raise errors.Unreachable(url="", reason="it is gone")

    with pytest.raises(errors.Unreachable):
        export.to_file(failing(), file)

    assert [path.name for path in file.parent.iterdir()] == [file.name]
    assert file.read_bytes() == b"the last one"


def test_export_file_is_private(bench: Bench, file: Path) -> None:
    file.touch(mode=0o644)

    export_lines(bench, file)

    assert file.stat().st_mode & 0o777 == 0o600


def test_unwritable_export_is_an_error(bench: Bench, file: Path) -> None:
    with pytest.raises(
        errors.Invalid, match="cannot be written: No such file"
    ):
        export_lines(bench, file / "below")


def test_export_schema_is_that_of_the_scripts(bench: Bench) -> None:
    bench.project()

    assert bench.schema() == backup.SCHEMA


def test_expired_lease_is_expired_after_import(
    bench: Bench, copy: Bench, file: Path
) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    moved(bench, copy, file)

    copy.queue.reap()

    assert copy.state(lease.item) is State.DELAYED
    assert copy.queue.views.show(lease.item).item.attempts == 1


def test_exported_line_contains_no_line_break(
    bench: Bench, file: Path
) -> None:
    fill_namespace(bench)
    export_lines(bench, file)

    assert all(
        json.loads(line)["kind"]
        for line in file.read_text(encoding="utf-8").split("\n")[:-1]
    )


def test_readers_continue_in_a_copy(
    bench: Bench, copy: Bench, file: Path
) -> None:
    first, second = bench.item(agent="bob"), bench.item(agent="bob")
    for item in (first, second):
        bench.agent("bob").discover(bench.lease_of(item), f"on {item}")
    bench.queue.new_discoveries(bench.queue.views.show(first).item.project)

    moved(bench, copy, file)

    (new,) = copy.queue.new_discoveries().discoveries
    assert new.item == second


@pytest.mark.parametrize(
    ("reader", "cursor"),
    [
        ("orchestrator:planner", "no cursor"),
        ("somebody:planner", "1-0"),
        ("worker:../..", "1-0"),
    ],
)
def test_damaged_reader_is_left_out(
    bench: Bench, reader: str, cursor: str
) -> None:
    bench.set_reader(bench.project(), reader, cursor)

    damage: dict[tuple[str, str], str] = {}
    lines = list(export.without_damage(bench.queue.backup.lines(), damage))

    assert "reader" not in [line["kind"] for line in lines]
    assert ("reader", reader) in damage
