"""Projects are cancelled and reopened; items of closed projects are requeued."""

from collections.abc import Callable, Sequence
from math import ceil

import pytest
from support.builders import Bench, need_lease
from support.named_calls import Noted
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, ReapCounts, State
from taskorch.queue.port import Argument, ConnectionWrapper, Reply, Script
from taskorch.queue.wait_results import Goal

OPEN = [
    State.PENDING,
    State.WAITING,
    State.QUEUED,
    State.IN_PROGRESS,
    State.BLOCKED,
    State.REVIEW,
    State.DELAYED,
    State.FAILED,
]


#: Items of closing projects that a claim leaves out.
LEFT_OUT = 200
#: Items that one call of a script cancels.
PART = 20


class Interrupted(ConnectionWrapper):
    """A connection whose user gives up after the first part of a closing."""

    parts = 0

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if script.name == "close_project":
            self.parts += 1
            if self.parts > 1:
                raise KeyboardInterrupt
        return super().run_script(script, key, arguments)


def fill(
    bench: Bench, project: str, number: int, *, agent: str = ""
) -> Sequence[str]:
    """Add items to a project, and return their ids."""
    items = [NewItem(title="T", agent=agent) for _ in range(number)]
    return [each.id for each in bench.create_many(project, items)]


def closing(bench: Bench, items: int, *, reason: str = "") -> str:
    """Return a project whose cancellation stopped after the first part."""
    project = bench.project()
    fill(bench, project, items)
    bench.queue._run_script("close_project", project, "1", reason)
    return project


def closed_item(bench: Bench) -> str:
    """Return a cancelled item of a completed project."""
    project = bench.project()
    item = bench.item(project)
    bench.queue.complete_project(project, force=True)
    return item


@pytest.mark.parametrize("state", OPEN)
def test_cancelled_project_has_no_open_items(
    bench: Bench, state: State
) -> None:
    project = bench.project()
    done = bench.item(project)
    bench.agent().complete(Lease(item=done), "done")
    item = bench.item(project, agent="" if state is State.PENDING else "ada")
    bench.bring_to(item, state)

    cancelled = bench.queue.cancel_project(project, reason="no budget")

    assert cancelled.cancelled == 1
    assert cancelled.project.status == "completed"
    assert cancelled.project.done == "1 completed, 1 cancelled"
    assert bench.state(item) is State.CANCELLED
    assert bench.state(done) is State.COMPLETED
    assert bench.queue.views.show(item).history[-1].text == "no budget"
    assert bench.inconsistencies() == []


def test_holder_learns_of_cancelled_project(bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))

    bench.queue.cancel_project(project, reason="no budget")

    with pytest.raises(errors.Cancelled) as refusal:
        bench.agent().progress(lease, "half way")
    assert "no budget" in str(refusal.value)


@pytest.mark.parametrize("items", [PART - 1, PART, PART + 1, 4 * PART + 1])
def test_large_project_is_cancelled_in_parts(bench: Bench, items: int) -> None:
    project = bench.project()
    fill(bench, project, items)
    recorded = bench.with_connection(RecordingConnection)

    cancelled = recorded.queue.cancel_project(project)

    connection = recorded.queue._scripts.connection
    assert isinstance(connection, RecordingConnection)
    assert len(connection.calls) == ceil(items / PART)
    assert cancelled.cancelled == items
    assert cancelled.project.counts[State.CANCELLED] == items
    assert cancelled.project.status == "completed"
    assert bench.inconsistencies() == []


def test_open_items_are_found_among_many(bench: Bench) -> None:
    project = bench.project()
    oldest = bench.item(project)
    for item in fill(bench, project, 5 * PART, agent="ada"):
        bench.agent().complete(Lease(item=item))

    with pytest.raises(errors.OpenItems):
        bench.queue.complete_project(project)
    closed = bench.queue.complete_project(project, force=True)

    assert closed.cancelled == 1
    assert bench.state(oldest) is State.CANCELLED
    assert closed.project.status == "completed"


def test_claim_finishes_an_interrupted_cancellation(bench: Bench) -> None:
    project, agent = closing(bench, 2 * PART + 1), bench.agent("eve")

    states = [bench.queue.views.progress(project).project.status]
    for _ in range(2):
        agent.claim()
        states.append(bench.queue.views.progress(project).project.status)

    assert states == ["closing", "closing", "completed"]
    assert bench.inconsistencies() == []


def test_service_finishes_an_interrupted_cancellation(bench: Bench) -> None:
    project = closing(bench, 3 * PART)

    bench.queue.reap()

    found = bench.queue.views.progress(project).project
    assert found.status == "completed"
    assert found.counts[State.CANCELLED] == 3 * PART
    assert bench.inconsistencies() == []


def test_reports_name_who_closed_the_project(bench: Bench) -> None:
    project = closing(bench, PART + 1, reason="no budget")

    bench.agent("eve").claim()

    items = bench.queue.views.list(project=project).items
    reports = [bench.queue.views.show(each.id).history[-1] for each in items]
    assert {(each.agent, each.text) for each in reports} == {
        ("planner", "no budget")
    }


def test_closing_project_takes_no_items(bench: Bench) -> None:
    project = closing(bench, PART + 1)
    cancelled = bench.queue.views.list(
        project=project, state=State.CANCELLED, limit=1
    ).items

    with pytest.raises(errors.ProjectClosed):
        bench.item(project)
    with pytest.raises(errors.NeedsReopen):
        bench.queue.requeue(cancelled[0].id)
    with pytest.raises(errors.WrongState) as refusal:
        bench.queue.purge(project)
    assert "being cancelled" in refusal.value.hint()


def test_closing_project_is_among_the_open_ones(bench: Bench) -> None:
    active, completed = bench.project(), bench.project()
    bench.queue.complete_project(completed)
    project = closing(bench, PART + 1)

    found = {each.id for each in bench.queue.views.open_projects()}

    assert found == {active, project}


def test_reopening_ends_an_interrupted_cancellation(bench: Bench) -> None:
    project = closing(bench, PART + 1)

    bench.queue.reopen_project(project)
    bench.queue.reap()

    found = bench.queue.views.progress(project).project
    assert found.status == "active"
    assert found.counts[State.CANCELLED] == PART
    assert bench.members("unfinished") == []
    assert bench.item(project)
    assert bench.inconsistencies() == []


def test_damaged_item_does_not_keep_project_open(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.delete_item(item)

    with pytest.raises(errors.OpenItems):
        bench.queue.complete_project(project)
    closed = bench.queue.cancel_project(project)

    assert (closed.project.status, closed.cancelled) == ("completed", 0)


def test_cancelling_closed_project_changes_nothing(bench: Bench) -> None:
    project = bench.project()
    bench.item(project)
    bench.queue.cancel_project(project)
    before = bench.everything()

    again = bench.queue.cancel_project(project, reason="twice")

    assert (again.remark, again.cancelled) == ("repeat", 0)
    assert bench.everything() == before


def test_project_without_items_is_closed(bench: Bench) -> None:
    project = bench.project()

    closed = bench.queue.cancel_project(project)

    assert closed.project.status == "completed"
    assert closed.project.done == "0 of 0 items completed"


@pytest.mark.parametrize(
    "verb",
    [
        lambda bench, id_: bench.queue.cancel_project(id_),
        lambda bench, id_: bench.queue.reopen_project(id_),
    ],
    ids=["cancel", "reopen"],
)
def test_unknown_project_is_refused(
    bench: Bench, verb: Callable[[Bench, str], object]
) -> None:
    with pytest.raises(errors.NoProject):
        verb(bench, "proj_00000000")


def test_reopened_project_takes_new_items(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.queue.cancel_project(project)

    reopened = bench.queue.reopen_project(project)

    assert (reopened.project.status, reopened.remark) == ("active", "")
    assert reopened.project.completed_at == 0
    assert bench.state(item) is State.CANCELLED
    assert bench.item(project)
    assert bench.inconsistencies() == []


def test_reopening_active_project_changes_nothing(bench: Bench) -> None:
    project = bench.project()
    before = bench.everything()

    assert bench.queue.reopen_project(project).remark == "repeat"
    assert bench.everything() == before


def test_requeue_in_closed_project_needs_reopen(bench: Bench) -> None:
    item = closed_item(bench)
    before = bench.everything()

    with pytest.raises(errors.NeedsReopen) as refusal:
        bench.queue.requeue(item)

    assert refusal.value.exit_code == 5
    assert f"orchestrate requeue {item} --reopen" in refusal.value.hint()
    assert bench.everything() == before


def test_requeue_reopens_project_on_request(bench: Bench) -> None:
    item = closed_item(bench)

    bench.queue.requeue(item, reopen=True)

    project = bench.queue.views.show(item).project_context
    assert (project.status, project.completed_at) == ("active", 0)
    assert bench.state(item) is State.QUEUED
    assert bench.inconsistencies() == []


def test_requeue_that_reopens_emits_both_events(bench: Bench) -> None:
    item = closed_item(bench)
    project = bench.queue.views.show(item).item.project
    events = len(bench.events())

    bench.queue.requeue(item, reopen=True)

    assert [
        (each["verb"], each["item"], each["project"], each["state"])
        for each in bench.events()[events:]
    ] == [
        ("reopen_project", "", project, "active"),
        ("requeue", item, project, "queued"),
    ]


@pytest.mark.parametrize("verb", ["assign", "comment"])
def test_hint_of_closed_item_names_reopen(bench: Bench, verb: str) -> None:
    item = closed_item(bench)
    step = getattr(bench.queue, verb)

    with pytest.raises(errors.WrongState) as closed:
        step(item, "bob")
    bench.queue.requeue(item, reopen=True)
    bench.queue.cancel(item)
    with pytest.raises(errors.WrongState) as opened:
        step(item, "bob")

    assert closed.value.hint().endswith(f"orchestrate requeue {item} --reopen")
    assert opened.value.hint().endswith(f"orchestrate requeue {item}")


def test_second_delivery_to_closed_project_names_reopen(bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().complete(lease, "done")
    bench.queue.complete_project(project)

    with pytest.raises(errors.AlreadyCompleted) as refused:
        bench.agent().complete(lease, "done in another way")

    assert refused.value.hint().endswith(
        f"orchestrate requeue {lease.item} --reopen"
    )


def test_dependency_in_closed_project_names_reopen(bench: Bench) -> None:
    dead = closed_item(bench)
    waiting = bench.item(depends_on=(dead,))

    (stuck,) = bench.queue.views.stuck().items
    with pytest.raises(errors.DeadEnd) as refused:
        bench.queue.waits().until(waiting, [Goal.COMPLETED], timeout_s=60)

    assert stuck.item.id == waiting
    assert stuck.command == f"orchestrate requeue {dead} --reopen"
    assert refused.value.hint().endswith(stuck.command)


def test_dependency_in_open_project_needs_no_reopen(bench: Bench) -> None:
    dead = bench.lease_in(State.CANCELLED).item
    waiting = bench.item(depends_on=(dead,))

    (stuck,) = bench.queue.views.stuck().items
    with pytest.raises(errors.DeadEnd) as refused:
        bench.queue.waits().until(waiting, [Goal.COMPLETED], timeout_s=60)

    assert stuck.command == f"orchestrate requeue {dead}"
    assert refused.value.hint().endswith(stuck.command)


def test_reopen_is_harmless_in_active_project(bench: Bench) -> None:
    lease = bench.lease_in(State.FAILED)
    events = len(bench.events())

    bench.queue.requeue(lease.item, reopen=True)

    assert [event["verb"] for event in bench.events()[events:]] == ["requeue"]


def test_next_holder_gets_reason_of_requeue(bench: Bench) -> None:
    lease = bench.lease_in(State.COMPLETED)

    bench.queue.requeue(lease.item, reason="The tests\nfail")

    claim = bench.agent().claim()
    assert claim
    returned = claim.package.item.returned
    assert returned
    assert (returned.text, returned.by) == ("The tests\nfail", "planner")
    (requeued,) = [
        each for each in claim.package.history if each.kind == "requeue"
    ]
    assert requeued.text == "The tests\nfail"


def test_reason_stays_with_later_attempts(bench: Bench) -> None:
    lease = bench.lease_in(State.FAILED)
    bench.queue.requeue(lease.item, reason="Try the other door")
    first = need_lease(bench.agent().claim())

    bench.agent().release(first)
    again = bench.agent().claim()

    assert again
    returned = again.package.item.returned
    assert returned
    assert returned.text == "Try the other door"


def test_requeue_without_reason_removes_earlier_one(bench: Bench) -> None:
    lease = bench.lease_in(State.FAILED)
    bench.queue.requeue(lease.item, reason="first")
    bench.bring_to(lease.item, State.FAILED)

    bench.queue.requeue(lease.item)

    assert bench.queue.views.show(lease.item).item.returned is None


def test_long_reason_is_refused(bench: Bench) -> None:
    lease = bench.lease_in(State.FAILED)

    with pytest.raises(errors.Invalid):
        bench.queue.requeue(lease.item, reason="x" * 70_000)

    assert bench.state(lease.item) is State.FAILED


def test_claim_skips_items_of_closing_project(bench: Bench) -> None:
    project = bench.project()
    fill(bench, project, 3 * PART, agent="ada")
    bench.queue._run_script("close_project", project, "1", "no budget")
    other = bench.item()

    assert bench.claimed_next() == other
    assert bench.claimed_next() == ""


def test_next_item_is_none_of_closing_project(bench: Bench) -> None:
    lease = bench.claimed()
    project = bench.project()
    fill(bench, project, 3 * PART, agent="ada")
    other = bench.item()
    bench.queue._run_script("close_project", project, "1", "no budget")

    settled = bench.agent().complete(lease, "done", next=True)

    assert settled.next
    assert settled.next.package.item.id == other


@pytest.mark.parametrize(
    "verb", ["get", "progress", "discover", "blocker", "complete"]
)
def test_item_of_closing_project_is_not_claimed(
    bench: Bench, verb: str
) -> None:
    project = bench.project()
    item = fill(bench, project, 3 * PART, agent="ada")[0]
    bench.queue._run_script("close_project", project, "1", "no budget")
    step = getattr(bench.agent(), verb)
    texts = () if verb == "get" else ("text",)

    with pytest.raises(errors.Cancelled) as refusal:
        step(Lease(item=item), *texts)

    assert refusal.value.details["reason"] == "no budget"
    assert bench.state(item) is State.QUEUED


def test_item_of_closing_project_is_not_taken_over(bench: Bench) -> None:
    lease = bench.claimed()
    project = bench.queue.views.show(lease.item).item.project
    fill(bench, project, 3 * PART, agent="ada")
    bench.queue._run_script("close_project", project, "1", "no budget")

    with pytest.raises(errors.Cancelled):
        bench.agent().get(Lease(item=lease.item), takeover=True)

    assert bench.agent().get(lease).lease


def test_peek_shows_item_of_closing_project(bench: Bench) -> None:
    project = bench.project()
    item = fill(bench, project, 3 * PART, agent="ada")[0]
    bench.queue._run_script("close_project", project, "1", "no budget")

    assert (
        bench.agent().get(Lease(item=item), peek=True).package.item.id == item
    )


def test_claim_finds_item_behind_large_closing_project(bench: Bench) -> None:
    project = bench.project()
    fill(bench, project, LEFT_OUT + 3 * PART, agent="ada")
    other = bench.item()
    bench.queue._run_script("close_project", project, "1", "no budget")

    assert bench.claimed_next() == other
    assert bench.inconsistencies() == []


def test_pool_does_not_hide_large_closing_project(bench: Bench) -> None:
    project = bench.project()
    fill(bench, project, LEFT_OUT + 3 * PART, agent="ada")
    other = bench.item()
    bench.queue._run_script("close_project", project, "1", "no budget")

    claim = bench.agent(pools=["backend"]).claim()

    assert need_lease(claim).item == other


def test_claim_is_read_as_often_as_before(bench: Bench) -> None:
    bench.item()
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    assert noted.claimed_next()
    assert noted.claimed_next() == ""

    assert seen == ["claim", "claim"]


def test_reap_counts_the_items_that_it_cancels(bench: Bench) -> None:
    project = closing(bench, 2 * PART + 12)

    done = bench.queue.reap()

    assert done == ReapCounts(reaped=0, promoted=0, cancelled=PART + 12)
    assert bench.queue.views.projects()[0].id == project
    assert bench.queue.views.projects()[0].open == 0


def test_interrupted_closing_says_what_is_done(bench: Bench) -> None:
    project = bench.project()
    fill(bench, project, 3 * PART)
    queue = bench.with_connection(Interrupted).queue

    with pytest.raises(KeyboardInterrupt) as interrupt:
        queue.complete_project(project, force=True)

    assert f"and {PART} of its open items are cancelled so far" in str(
        interrupt.value
    )
    assert bench.queue.views.projects()[0].open == 2 * PART
