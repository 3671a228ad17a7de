"""A step that concerns very many items is finished by several calls."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.backups import export_lines, to_jsonl
from support.builders import Bench, need_lease
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem, ReapCounts, State
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.backup import SCHEMA
from taskorch.queue.port import (
    Argument,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests
from taskorch_orchestrator.backup import restore
from taskorch_orchestrator.doctor.audit import audit

#: Items that one call of a script releases.
PART = 20


class CutOff(ConnectionWrapper):
    """A connection that breaks when it is asked to resume."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if script.name == "resume":
            raise errors.Unreachable(url="redis://x", reason="cut off")
        return super().run_script(script, key, arguments)


def awaited(bench: Bench, number: int) -> tuple[str, str]:
    """Return an item for which other items wait, and their project."""
    first, project = bench.item(), bench.project()
    new = NewItem(title="x", agent="bob", depends_on=(first,))
    bench.create_many(project, [new] * number)
    return first, project


def cut_off(bench: Bench, number: int) -> tuple[str, str]:
    """Return the same; the item is completed by a client that ended after one call."""
    first, project = awaited(bench, number)
    agent = bench.with_connection(CutOff).agent()
    agent.complete(Lease(item=first), "done")
    return first, project


def waiting(bench: Bench, project: str) -> int:
    """Return the number of items that wait."""
    counts = bench.queue.views.progress(project, limit=1).project.counts
    return counts.get(State.WAITING, 0)


@pytest.mark.parametrize("number", [PART - 1, PART, PART + 1, 4 * PART + 1])
def test_completion_releases_any_number_of_items(
    bench: Bench, number: int
) -> None:
    first, project = awaited(bench, number)

    bench.agent().complete(Lease(item=first), "done")

    assert waiting(bench, project) == 0
    assert bench.members("unfinished") == []
    assert bench.inconsistencies() == []


def test_completion_of_several_shares_one_part(bench: Bench) -> None:
    pairs = [awaited(bench, 40) for _ in range(3)]
    leases = [Lease(item=item) for item, _ in pairs]
    agent = bench.with_connection(CutOff).agent()

    agent.complete_many([(lease, "done", {}) for lease in leases])

    left = sum(waiting(bench, project) for _, project in pairs)
    assert left == 3 * 40 - PART
    bench.queue.reap()
    assert all(waiting(bench, project) == 0 for _, project in pairs)
    assert bench.inconsistencies() == []


def test_lost_client_has_still_completed_its_item(bench: Bench) -> None:
    first, project = cut_off(bench, 3 * PART)

    assert bench.state(first) is State.COMPLETED
    assert waiting(bench, project) == 2 * PART
    assert audit(bench.queue, fix=False).findings == ()


def test_claims_of_others_release_the_rest(bench: Bench) -> None:
    _, project = cut_off(bench, 3 * PART)

    left = []
    for _ in range(2):
        bench.agent("eve").claim()
        left.append(waiting(bench, project))

    assert left == [PART, 0]
    assert bench.inconsistencies() == []


def test_next_claim_releases_the_rest(bench: Bench) -> None:
    mine = (
        need_lease(bench.agent("eve").claim())
        if bench.item(agent="eve")
        else None
    )
    _, project = cut_off(bench, 2 * PART)
    assert mine

    bench.agent("eve").fail(mine, "no", retry=False, next=True)

    assert waiting(bench, project) == 0


def test_service_releases_the_rest(bench: Bench) -> None:
    _, project = cut_off(bench, 4 * PART)

    bench.queue.reap()

    assert waiting(bench, project) == 0
    assert bench.inconsistencies() == []


def test_requeued_item_is_waited_for_again(bench: Bench) -> None:
    first, project = cut_off(bench, 3 * PART)

    bench.queue.requeue(first)
    bench.queue.reap()

    assert waiting(bench, project) == 3 * PART
    assert bench.members("unfinished") == []
    bench.agent().complete(Lease(item=first), "done again")
    assert waiting(bench, project) == 0
    assert bench.inconsistencies() == []


def test_new_dependent_of_released_item_is_ready(bench: Bench) -> None:
    first, _ = cut_off(bench, 2 * PART)

    late = bench.item(agent="bob", depends_on=(first,))

    assert bench.state(late) is State.QUEUED


def test_item_with_another_dependency_still_waits(bench: Bench) -> None:
    first, project = awaited(bench, 2 * PART)
    other = bench.item()
    last = bench.item(agent="bob", depends_on=(first, other))

    bench.agent().complete(Lease(item=first), "done")

    assert bench.state(last) is State.WAITING
    assert waiting(bench, project) == 0


def test_doctor_finds_items_that_were_forgotten(bench: Bench) -> None:
    _, project = cut_off(bench, PART + 2)
    bench.delete_key("unfinished")

    found = audit(bench.queue, fix=False).findings
    audit(bench.queue, fix=True)

    assert {finding.word for finding in found} == {"dependency", "state"}
    assert waiting(bench, project) == 0
    assert audit(bench.queue, fix=False).findings == ()


def test_doctor_finds_project_that_nobody_closes(bench: Bench) -> None:
    project = bench.project()
    bench.create_many(project, [NewItem(title="x")] * (PART + 1))
    bench.queue._run_script("close_project", project, "1", "no budget")
    bench.delete_key("unfinished")

    found = audit(bench.queue, fix=False).findings
    audit(bench.queue, fix=True)
    bench.queue.reap()

    assert [finding.id for finding in found] == [project]
    status = bench.queue.views.progress(project, limit=1).project.status
    assert status == "completed"


def test_import_releases_what_was_left(bench: Bench, tmp_path: Path) -> None:
    _, project = cut_off(bench, 2 * PART)
    file = tmp_path / "export.jsonl"
    file.write_bytes(to_jsonl(export_lines(bench, file)))
    bench.delete_everything()

    restore.restore(file, bench.queue.backup)

    assert waiting(bench, project) == 0
    assert bench.inconsistencies() == []


def test_import_continues_to_close_a_project(
    bench: Bench, tmp_path: Path
) -> None:
    project = bench.project()
    bench.create_many(project, [NewItem(title="x")] * (2 * PART))
    bench.queue._run_script("close_project", project, "1", "no budget")
    file = tmp_path / "export.jsonl"
    file.write_bytes(to_jsonl(export_lines(bench, file)))
    bench.delete_everything()

    restore.restore(file, bench.queue.backup)
    bench.queue.reap()

    found = bench.queue.views.progress(project, limit=1).project
    assert found.status == "completed"
    assert found.counts[State.CANCELLED] == 2 * PART


def test_unknown_step_is_dropped(bench: Bench) -> None:
    bench.item()
    for step in ("release:item_00000000", "close:proj_00000000", "x:y", "z"):
        bench.add_entry("unfinished", step)

    bench.queue.reap()

    assert bench.members("unfinished") == []


@pytest.fixture
def stopped(bench: Bench) -> Iterator[str]:
    """Yield a closing project, which a key of another type keeps from being closed."""
    project = bench.project()
    items = [NewItem(title="x", agent="bob")] * (2 * PART)
    last, *_ = [each.id for each in bench.create_many(project, items)]
    bench.queue._run_script("close_project", project, "1", "no budget")
    key = f"{keys.tag(bench.namespace)}progress:{last}"
    bench.raw.set(key, "not a stream")
    yield project
    bench.raw.delete(key)


@pytest.mark.one_lane  # fakeredis replies a wrong type otherwise
@pytest.mark.usefixtures("stopped")
def test_damaged_closing_project_stops_no_claim(bench: Bench) -> None:
    item = bench.item()

    assert bench.claimed_next() == item
    assert bench.claimed_next() == ""
    assert bench.queue.reap() == ReapCounts(reaped=0, promoted=0)


@pytest.mark.one_lane
def test_doctor_reports_the_step_that_stopped(
    bench: Bench, stopped: str
) -> None:
    bench.queue.reap()

    found = audit(bench.queue, fix=False).findings
    remaining = audit(bench.queue, fix=True).findings

    assert (stopped, "step") in {(each.id, each.word) for each in found}
    assert (stopped, "step") in {(each.id, each.word) for each in remaining}


@pytest.mark.one_lane
def test_step_continues_when_its_key_is_repaired(
    bench: Bench, stopped: str
) -> None:
    bench.queue.reap()
    for key in bench.raw.keys(f"{keys.tag(bench.namespace)}progress:*"):
        if bench.raw.type(key) == "string":
            bench.raw.delete(key)

    audit(bench.queue, fix=True)

    found = bench.queue.views.progress(stopped, limit=1).project
    assert found.status == "completed"
    assert found.counts[State.CANCELLED] == 2 * PART
    assert bench.members("unfinished") == []


@pytest.mark.one_lane
def test_damaged_due_item_stops_no_claim(bench: Bench) -> None:
    due = bench.claimed(agent="bob").item
    bench.expire_lease(due)
    key = f"{keys.tag(bench.namespace)}progress:{due}"
    bench.raw.set(key, "not a stream")
    item = bench.item()

    assert bench.claimed_next() == item

    bench.raw.delete(key)
    bench.expire_lease(due)
    bench.queue.reap()
    assert bench.state(due) is State.DELAYED


@pytest.fixture(params=["", ":items"])
def mistyped(bench: Bench, request: pytest.FixtureRequest) -> Iterator[str]:
    """Yield a project of which one key holds another type."""
    project = bench.project()
    bench.item(project)
    key = f"{keys.tag(bench.namespace)}project:{project}{request.param}"
    bench.raw.delete(key)
    bench.raw.set(key, "of another type")
    yield project
    bench.raw.delete(key)


@pytest.mark.one_lane
def test_doctor_reports_damaged_keys_of_project(
    bench: Bench, mistyped: str
) -> None:
    found = audit(bench.queue, fix=False).findings

    assert (mistyped, "damaged") in {(each.id, each.word) for each in found}


def test_reap_counts_the_items_that_it_releases(bench: Bench) -> None:
    cut_off(bench, 2 * PART + 3)

    done = bench.queue.reap()

    assert done == ReapCounts(reaped=0, promoted=0, released=PART + 3)


def of_one_request(bench: Bench, request: str = "ab" * 8) -> Queue:
    """Return the queue of a program that sends one call again."""
    return Queue(
        bench.queue.connection,
        bench.namespace,
        bench.queue.caller,
        requests=Requests(same=request),
    )


def test_repeated_completion_releases_the_rest(bench: Bench) -> None:
    first, project = awaited(bench, 3 * PART)
    agent = AgentQueue(
        bench.queue.connection,
        bench.namespace,
        Caller(agent="ada"),
        requests=Requests(same="ab" * 8),
    )

    for _ in range(2):
        agent.complete(Lease(item=first), "done")

    assert waiting(bench, project) == 0
    assert bench.inconsistencies() == []


def test_repeated_acceptance_releases_the_rest(bench: Bench) -> None:
    first, project = awaited(bench, 3 * PART)
    bench.bring_to(first, State.REVIEW)

    for _ in range(2):
        of_one_request(bench).accept(first)

    assert waiting(bench, project) == 0


def test_repeated_requeue_finds_all_dependents(bench: Bench) -> None:
    first, project = awaited(bench, 3 * PART)
    bench.agent().complete(Lease(item=first), "done")

    for _ in range(2):
        of_one_request(bench).requeue(first)

    assert waiting(bench, project) == 3 * PART


def test_repeated_closing_cancels_all_items(bench: Bench) -> None:
    _, project = awaited(bench, 3 * PART)

    for _ in range(2):
        closed = of_one_request(bench).complete_project(project, force=True)

    assert closed.project.status == "completed"


def test_repeated_maintenance_looks_at_all_agents(bench: Bench) -> None:
    for number in range(130):
        bench.add_entry("agents", f"a{number}")

    of_one_request(bench).reap()
    again = of_one_request(bench, "cd" * 8)
    forgotten = again.forget_agents(unseen_ms=1)

    assert forgotten == 130


def test_repeated_repair_of_index_finds_all_entries(bench: Bench) -> None:
    missing = [f"item_{number:08x}" for number in range(400)]
    for item in missing:
        bench.add_entry("delayed", item)

    found = of_one_request(bench).audit_index("delayed", fix=True)

    assert {each.id for each in found} == {*missing}
    assert bench.members("delayed") == []


def test_repeated_end_of_import_wakes_all_agents(bench: Bench) -> None:
    for number in range(450):
        bench.add_entry("agents", f"a{number}")
        bench.add_entry(f"queue:a{number}", "item_1a2b3c4d")
    run = bench.queue.backup.begin("digest")

    of_one_request(bench).backup.end(
        "digest", run, sequence=1, created_at=1, schema=SCHEMA
    )

    wakes = [key for key in bench.everything() if key.startswith("wake:")]
    assert len(wakes) == 450
