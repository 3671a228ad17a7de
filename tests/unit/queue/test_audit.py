"""An audit reports inconsistencies, and repairs them only if asked to."""

from collections.abc import Callable

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import Lease, State
from taskorch.domain.usage import ModelUsage
from taskorch_orchestrator.doctor.audit import Audit, audit

Break = Callable[[Bench], tuple[str, str]]
BREAKS: dict[str, Break] = {}


def breaks(function: Break) -> Break:
    """Collect a function that damages a namespace, and returns the expected id and word."""
    BREAKS[function.__name__] = function
    return function


@breaks
def an_item_in_progress_without_a_lease_entry(bench: Bench) -> tuple[str, str]:
    item = bench.claimed().item
    bench.delete_lease_entry(item)
    return item, "index"


@breaks
def an_item_in_progress_that_its_agent_does_not_hold(
    bench: Bench,
) -> tuple[str, str]:
    item = bench.claimed().item
    bench.delete_entry("held:ada", item)
    return item, "index"


@breaks
def a_lease_entry_of_an_item_that_is_gone(bench: Bench) -> tuple[str, str]:
    bench.add_entry("leases", "item_00000000")
    return "item_00000000", "index"


@breaks
def a_lease_entry_of_an_item_in_another_state(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.BLOCKED).item
    bench.add_entry("leases", item)
    return item, "index"


@breaks
def a_queue_entry_of_a_completed_item(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.COMPLETED).item
    bench.add_queue_entry(item)
    return item, "index"


@breaks
def a_queue_entry_of_another_agents_item(bench: Bench) -> tuple[str, str]:
    bench.item(agent="ada")
    item = bench.item(agent="bob")
    bench.add_queue_entry(item)
    return item, "index"


@breaks
def a_queued_item_without_a_queue_entry(bench: Bench) -> tuple[str, str]:
    item = bench.item()
    bench.delete_entry("queue:ada", item)
    return item, "index"


@breaks
def a_queued_item_out_of_its_place(bench: Bench) -> tuple[str, str]:
    item = bench.item(priority=4)
    bench.add_queue_entry(item)
    return item, "index"


@breaks
def a_delayed_item_that_is_never_due(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.DELAYED).item
    bench.delete_entry("delayed", item)
    return item, "index"


@breaks
def a_dead_letter_that_is_not_among_the_dead(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.FAILED).item
    bench.delete_entry("dead", item)
    return item, "index"


@breaks
def a_blocked_item_that_no_inbox_shows(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.BLOCKED).item
    bench.delete_entry("blocked", item)
    return item, "index"


@breaks
def a_pending_item_that_is_not_unassigned(bench: Bench) -> tuple[str, str]:
    item = bench.lease_in(State.PENDING).item
    bench.delete_entry("unassigned", item)
    return item, "index"


@breaks
def a_waiting_item_that_is_not_among_the_waiting(
    bench: Bench,
) -> tuple[str, str]:
    item = bench.lease_in(State.WAITING).item
    bench.delete_entry("waiting", item)
    return item, "index"


@breaks
def a_waiting_item_whose_dependency_both_sides_have_forgotten(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.item()
    item = bench.item(depends_on=(first,))
    bench.delete_entry(f"deps:{item}", first)
    bench.delete_entry(f"dependents:{first}", item)
    return item, "dependency"


@breaks
def a_waiting_item_without_an_open_dependency(bench: Bench) -> tuple[str, str]:
    first = bench.item()
    item = bench.item(depends_on=(first,))
    bench.delete_item(first)
    return item, "state"


@breaks
def a_waiting_item_whose_dependency_is_gone(bench: Bench) -> tuple[str, str]:
    first = bench.item()
    item = bench.item(depends_on=(first,))
    bench.delete_item(first)
    return item, "dependency"


@breaks
def a_waiting_item_whose_dependency_is_completed(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.lease_in(State.COMPLETED).item
    item = bench.lease_in(State.WAITING).item
    bench.add_entry(f"deps:{item}", first)
    return item, "dependency"


@breaks
def a_dependency_that_does_not_know_who_waits_for_it(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.item()
    item = bench.item(depends_on=(first,))
    bench.delete_entry(f"dependents:{first}", item)
    return item, "dependency"


@breaks
def a_waiting_item_that_has_forgotten_its_dependency(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.item()
    item = bench.item(depends_on=(first,))
    bench.delete_entry(f"deps:{item}", first)
    return item, "dependency"


@breaks
def a_queued_item_with_an_open_dependency(bench: Bench) -> tuple[str, str]:
    first = bench.lease_in(State.COMPLETED).item
    item = bench.item(depends_on=(first,))
    bench.delete_entry(f"satisfied:{first}", item)
    bench.queue.requeue(
        first
    )  # as a version did that knew no dependents of what is completed
    return item, "state"


@breaks
def a_held_item_whose_requeued_dependency_does_not_know_it(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.lease_in(State.COMPLETED).item
    item = bench.claimed(
        bench.item(agent="bob", depends_on=(first,)), agent="bob"
    ).item
    bench.delete_entry(f"satisfied:{first}", item)
    bench.queue.requeue(first)
    return item, "dependency"


@breaks
def a_completed_item_that_does_not_know_who_depends_on_it(
    bench: Bench,
) -> tuple[str, str]:
    first = bench.lease_in(State.COMPLETED).item
    item = bench.item(depends_on=(first,))
    bench.delete_entry(f"satisfied:{first}", item)
    return item, "dependency"


@breaks
def a_queued_item_with_a_dependency_that_it_does_not_name(
    bench: Bench,
) -> tuple[str, str]:
    first, item = bench.item(), bench.item()
    bench.add_entry(f"deps:{item}", first)
    bench.add_entry(f"dependents:{first}", item)
    return item, "dependency"


@breaks
def an_item_that_its_project_does_not_list(bench: Bench) -> tuple[str, str]:
    project = bench.project()
    item = bench.item(project)
    bench.delete_entry(f"project:{project}:items", item)
    return item, "listed"


@breaks
def a_project_that_is_not_among_the_projects(bench: Bench) -> tuple[str, str]:
    project = bench.project()
    item = bench.item(project)
    bench.delete_entry("projects", project)
    return item, "listed"


@breaks
def a_project_that_lists_an_item_that_is_gone(bench: Bench) -> tuple[str, str]:
    item = bench.item()
    bench.delete_item(item)
    return item, "listed"


@breaks
def a_project_that_lists_an_item_of_another(bench: Bench) -> tuple[str, str]:
    item = bench.item()
    bench.add_entry(f"project:{bench.project()}:items", item)
    return item, "listed"


@breaks
def a_project_that_is_gone(bench: Bench) -> tuple[str, str]:
    project = bench.project()
    bench.item(project)
    bench.delete_project(project)
    return project, "lost"


@breaks
def an_agent_that_is_not_among_the_agents(bench: Bench) -> tuple[str, str]:
    bench.item()
    bench.delete_entry("agents", "ada")
    return "ada", "agent"


@breaks
def a_project_that_counts_too_many(bench: Bench) -> tuple[str, str]:
    project = bench.project()
    bench.item(project)
    bench.shift_count(f"project:{project}", State.QUEUED)
    return project, "count"


@breaks
def an_agent_that_counts_less_than_none(bench: Bench) -> tuple[str, str]:
    bench.item()
    bench.shift_count("agent:ada", State.FAILED, by=-2)
    return "ada", "count"


def reported(found: Audit) -> set[tuple[str, str]]:
    return {(finding.id, finding.word) for finding in found.findings}


@pytest.mark.parametrize("name", BREAKS)
def test_audit_names_damage_and_changes_nothing(
    bench: Bench, name: str
) -> None:
    bench.lease_in(State.IN_PROGRESS)
    wrong = BREAKS[name](bench)
    before, replies = bench.everything(), bench.kept_replies()

    found = audit(bench.queue, fix=False)

    assert wrong in reported(found)
    assert found.repaired == ()
    assert bench.everything() == before
    assert bench.kept_replies() == replies


@pytest.mark.parametrize("name", BREAKS)
def test_repair_leaves_nothing_for_a_second_audit(
    bench: Bench, name: str
) -> None:
    bench.lease_in(State.IN_PROGRESS)
    wrong = BREAKS[name](bench)

    repaired = audit(bench.queue, fix=True)

    assert wrong in {
        (finding.id, finding.word) for finding in repaired.repaired
    }
    assert (repaired.findings, repaired.counted) == ((), True)
    assert audit(bench.queue, fix=False).findings == ()
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("state", State)
def test_consistent_namespace_has_no_findings(
    bench: Bench, state: State
) -> None:
    bench.lease_in(state)
    bench.item(depends_on=(bench.item(),))
    before = bench.everything()

    found = audit(bench.queue, fix=True)

    assert (found.findings, found.repaired, found.counted) == ((), (), True)
    assert bench.everything() == before


def test_audit_of_empty_namespace_writes_nothing(bench: Bench) -> None:
    found = audit(bench.queue, fix=False)

    assert (found.findings, found.counted, found.items) == ((), True, 0)
    assert bench.everything() == {}


def test_lost_lease_is_restored_in_full(
    bench: Bench,
) -> None:
    lease = bench.claimed(bench.item(lease_ms=60_000))
    bench.delete_lease_entry(lease.item)

    audit(bench.queue, fix=True)

    left_ms = (
        bench.queue.views.show(lease.item).item.lease_expires_at
        - bench.now_ms()
    )
    assert 50_000 < left_ms <= 60_000
    assert bench.agent().complete(lease).state is State.COMPLETED


def test_repaired_queue_keeps_its_order(bench: Bench) -> None:
    items = [bench.item(priority=priority) for priority in (4, 2, 2, 0)]
    for item in items:
        bench.delete_entry("queue:ada", item)

    audit(bench.queue, fix=True)

    assert [item.id for item in bench.agent().check().items] == [
        items[3],
        items[1],
        items[2],
        items[0],
    ]


def test_item_with_lost_dependency_is_queued_with_event(
    bench: Bench,
) -> None:
    first = bench.item()
    item = bench.item(agent="bob", depends_on=(first,))
    bench.delete_item(first)

    audit(bench.queue, fix=True)

    last = bench.events()[-1]
    assert (last["verb"], last["item"], last["state"]) == (
        "mend",
        item,
        "queued",
    )
    assert bench.agent("bob").claim() is not None


def test_forgotten_dependency_is_restored(bench: Bench) -> None:
    first = bench.item()
    item = bench.item(agent="bob", depends_on=(first,))
    bench.delete_entry(f"deps:{item}", first)

    audit(bench.queue, fix=True)
    bench.agent().complete(Lease(item=first))

    assert bench.state(item) is State.QUEUED


def test_lost_project_is_restored(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.delete_project(project)

    audit(bench.queue, fix=True)

    progress = bench.queue.views.progress(project)
    assert (progress.project.title, progress.project.status) == (
        project,
        "active",
    )
    assert [found.id for found in progress.items] == [item]


def test_item_listed_in_wrong_project_is_moved(
    bench: Bench,
) -> None:
    project, other = bench.project(), bench.project()
    item = bench.bring_to(bench.item(project), State.COMPLETED).item
    bench.delete_entry(f"project:{project}:items", item)
    bench.add_entry(f"project:{other}:items", item)

    audit(bench.queue, fix=True)

    assert [
        found.id for found in bench.queue.views.progress(project).items
    ] == [item]
    assert bench.queue.views.progress(other).items == ()
    assert bench.inconsistencies() == []


def test_audit_visits_every_page_of_items(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.queue.queue.AUDIT_BATCH", 2)
    for number in range(3):
        project = bench.project()
        for _ in range(number * 3):
            bench.item(project)
    lost = bench.claimed().item
    bench.delete_lease_entry(lost)

    found = audit(bench.queue, fix=False)

    assert (found.items, found.counted) == (10, True)
    assert reported(found) == {(lost, "index")}


def test_audit_page_of_purged_project_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.NoProject):
        bench.queue.audit(cursor="proj_00000000:1")


def test_counts_are_not_compared_after_an_event(bench: Bench) -> None:
    project = bench.project()
    part = bench.queue.audit()
    bench.item(project)

    counted = bench.queue.recount(
        part.event, {f"project:{project}": {}}, fix=True
    )

    assert counted is None
    assert bench.inconsistencies() == []


def test_question_of_lost_item_is_found_and_dropped(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.agent().blocker(bench.claimed(item), "Which one?")
    bench.delete_item(item)

    found = audit(bench.queue, fix=False)
    repaired = audit(bench.queue, fix=True)

    details = {each.detail for each in found.findings if each.id == item}
    assert {
        "missing, but still in questions",
        f"missing, but still in questions:{project}",
    } <= details
    assert not repaired.findings
    assert bench.members("questions") == []
    assert not bench.queue.waits().standing(project).asks


def test_wrong_total_of_costs_is_corrected(bench: Bench) -> None:
    lease = bench.claimed()
    used = ModelUsage(tokens_in=5, cost_micros=7, model="m")
    bench.agent().complete(lease, used=used)
    project = bench.queue.views.show(lease.item).item.project
    bench.set_sum(f"project:{project}:usage", "total", "5 0 0 9")

    found = audit(bench.queue, fix=False)
    fixed = audit(bench.queue, fix=True)

    (finding,) = found.findings
    assert finding.id == project
    assert finding.detail == "counts 9 cost_micros, there are 7"
    assert fixed.repaired == (finding,)
    assert found.items == 1
    assert bench.sums(f"project:{project}:usage")["total"] == "5 0 0 7"
