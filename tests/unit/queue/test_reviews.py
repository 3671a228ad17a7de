"""Items with a reviewer: the state `review`, and the two decisions that lead out of it."""

from collections.abc import Callable
from typing import Any

import pytest
from support.builders import Bench, need_lease
from support.gateway_client import client
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import Item, Lease, NewItem, State
from taskorch.domain.role import Role
from taskorch.queue import keys
from taskorch.queue.wait_results import Goal
from taskorch_orchestrator.render import tables


def in_review(bench: Bench, project: str = "", **fields: Any) -> str:
    """Return an item that ada has completed, and lead is to review."""
    item = bench.item(project, reviewer="lead", **fields)
    bench.agent().complete(
        bench.claimed(item), "4 tables", deliverables={"schema": "a.sql"}
    )
    return item


def shown(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def test_completion_with_reviewer_leads_to_review(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    lease = bench.claimed(item)

    receipt = bench.agent().complete(
        lease, "4 tables", deliverables={"schema": "a.sql"}
    )

    found = shown(bench, item)
    assert receipt.state is found.state is State.REVIEW
    assert found.holder is None
    assert found.lease_expires_at == found.completed_at == 0
    assert (found.reviewer, found.summary) == ("lead", "4 tables")
    assert found.deliverables == {"schema": "a.sql"}
    assert bench.indexes_of(item) == {"reviews"}
    assert bench.inconsistencies() == []


def test_review_has_no_clock_and_no_holder(bench: Bench) -> None:
    item = in_review(bench)

    bench.queue.reap()
    claimed = bench.agent().claim()

    assert claimed is None
    assert bench.state(item) is State.REVIEW
    assert bench.agent().check().count == 0


def test_dependents_wait_until_item_is_accepted(bench: Bench) -> None:
    item = in_review(bench)
    dependent = bench.item(agent="bob", depends_on=(item,))
    before = bench.state(dependent)

    done = bench.queue.accept(item, "Well done")

    assert before is State.WAITING
    assert (done.state, done.agent, done.remark) == (
        State.COMPLETED,
        "ada",
        "",
    )
    assert bench.state(dependent) is State.QUEUED
    assert bench.inconsistencies() == []


def test_accept_releases_very_many_dependents(bench: Bench) -> None:
    home = bench.project()
    item = in_review(bench, home)
    new = [NewItem(title="T", agent="bob", depends_on=(item,))] * 70
    created = bench.create_many(home, new)

    bench.queue.accept(item)

    states = {bench.state(each.id) for each in created}
    assert states == {State.QUEUED}


def test_history_names_who_accepted(bench: Bench) -> None:
    item = in_review(bench)

    bench.queue.accept(item, "Well done")

    last = bench.queue.views.timeline(item).timeline[-1].report
    assert (last.kind, last.agent, last.text) == (
        "accept",
        "planner",
        "Well done",
    )
    assert bench.events()[-1]["verb"] == "complete"
    assert shown(bench, item).completed_at > 0


def test_accept_of_completed_item_changes_nothing(bench: Bench) -> None:
    item = in_review(bench)
    bench.queue.accept(item)
    events = bench.events()

    done = bench.queue.accept(item)

    assert done.remark == "repeat"
    assert bench.events() == events


def test_sent_back_item_is_first_for_same_agent(bench: Bench) -> None:
    home = bench.project()
    item = bench.item(home, reviewer="lead")
    bench.item(home)
    bench.agent().complete(bench.claimed(item), "done")

    done = bench.queue.send_back(item, "The login\nhas no test")

    claim = bench.agent().claim()
    assert claim
    found = claim.package.item
    assert (done.state, found.id) == (State.QUEUED, item)
    assert found.returned
    assert found.returned.text == "The login\nhas no test"
    assert found.returned.by == "planner"
    assert found.returned.at > 0
    assert bench.inconsistencies() == []


def test_returned_pool_item_stays_with_its_agent(bench: Bench) -> None:
    new = NewItem(title="T", pool="backend", reviewer="lead")
    item = bench.queue.create(bench.project(), new)
    ada = bench.queue.agent_queue("ada", pools=("backend",))
    lease = need_lease(ada.claim())
    ada.complete(lease, "done")

    bench.queue.send_back(item, "Once more")

    found = shown(bench, item)
    assert (found.state, found.agent, found.pool) == (State.QUEUED, "ada", "")
    assert bench.indexes_of(item) == {"queue:ada"}
    assert bench.inconsistencies() == []


def test_sent_back_item_spends_no_attempt(bench: Bench) -> None:
    item = in_review(bench, max_attempts=1)

    for _ in range(3):
        bench.queue.send_back(item, "Once more")
        lease = need_lease(bench.agent().claim())
        bench.agent().complete(lease, "done again")

    assert shown(bench, item).attempts == 1
    assert bench.state(item) is State.REVIEW


def test_old_token_cannot_act_after_return(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    lease = bench.claimed(item)
    bench.agent().complete(lease, "done")
    bench.queue.send_back(item, "Once more")

    with pytest.raises(errors.LeaseLost):
        bench.agent().progress(lease, "still at it")


def test_sent_back_item_waits_for_requeued_dependency(bench: Bench) -> None:
    home = bench.project()
    first = bench.item(home)
    bench.agent().complete(bench.claimed(first), "done")
    item = in_review(bench, home, depends_on=(first,))
    bench.queue.requeue(first)

    bench.queue.send_back(item, "Once more")

    assert bench.state(item) is State.WAITING
    assert bench.inconsistencies() == []


def test_second_delivery_replaces_the_first(bench: Bench) -> None:
    item = in_review(bench)
    bench.queue.send_back(item, "Once more")

    bench.agent().complete(
        Lease(item=item), "5 tables", deliverables={"schema": "b.sql"}
    )

    found = shown(bench, item)
    assert (found.state, found.summary) == (State.REVIEW, "5 tables")
    assert found.deliverables == {"schema": "b.sql"}


def test_agent_decides_only_as_reviewer(bench: Bench) -> None:
    item = in_review(bench)
    before = bench.everything()

    with pytest.raises(errors.NotReviewer, match="lead, not by bob"):
        bench.agent("bob").accept(item)
    with pytest.raises(errors.NotReviewer):
        bench.agent("bob").send_back(item, "no")

    assert bench.everything() == before
    assert bench.agent("lead").accept(item).state is State.COMPLETED


def test_agent_cannot_decide_without_reviewer(bench: Bench) -> None:
    item = bench.item()
    bench.agent().complete(bench.claimed(item), "done")

    with pytest.raises(errors.NotReviewer, match="has no reviewer"):
        bench.agent("bob").accept(item)


@pytest.mark.parametrize("verb", ["accept", "send_back"])
def test_nobody_decides_about_own_work(bench: Bench, verb: str) -> None:
    item = bench.item(reviewer="ada")
    bench.agent().complete(bench.claimed(item), "done")
    words = (item, "fine")

    with pytest.raises(errors.OwnWork):
        getattr(bench.agent(), verb)(*words)

    assert bench.state(item) is State.REVIEW


def test_reviews_are_those_of_the_reviewer(bench: Bench) -> None:
    first, second = in_review(bench), in_review(bench)
    other = bench.item(reviewer="boss")
    bench.agent().complete(bench.claimed(other), "done")

    mine = bench.agent("lead").reviews()
    everything = bench.queue.views.reviews()

    assert {each.id for each in mine} == {first, second}
    assert {each.id for each in everything} == {first, second, other}
    assert bench.agent("bob").reviews() == ()


def test_reviews_are_read_in_pages(bench: Bench) -> None:
    home = bench.project()
    items = [in_review(bench, home) for _ in range(45)]

    found = bench.agent("lead").reviews(limit=100)

    # those of one millisecond are in the order of their ids
    assert {each.id for each in found} == set(items)
    assert len(found) == 45
    assert len(bench.queue.views.reviews(limit=7)) == 7


def test_inbox_has_questions_reviews_and_dead_letters(bench: Bench) -> None:
    dead = bench.lease_in(State.FAILED).item
    review = in_review(bench)
    asking = bench.lease_in(State.BLOCKED).item
    home = shown(bench, review).project

    inbox = bench.queue.views.inbox()

    assert [each.id for each in inbox] == [asking, review, dead]
    assert [each.id for each in bench.queue.views.questions()] == [asking]
    of_project = bench.queue.views.inbox(project=home)
    assert [each.id for each in of_project] == [review]


def test_inbox_reads_all_kinds_in_pages(bench: Bench) -> None:
    home = bench.project()
    reviews = [in_review(bench, home) for _ in range(45)]
    dead = bench.lease_in(State.FAILED).item

    inbox = bench.queue.views.inbox()

    assert {each.id for each in inbox[:-1]} == set(reviews)
    assert [each.id for each in inbox[45:]] == [dead]


def test_inbox_has_reason_of_failure(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "No\nrights " + "x" * 200, retry=False)
    bench.queue.comment(lease.item, "Later")

    inbox = bench.queue.views.inbox()

    rows = tables.inbox(inbox).splitlines()
    assert [each.failure for each in inbox] == ["No\nrights " + "x" * 200]
    assert rows[1] == "    No"
    assert rows[2].startswith("    | rights xxx")
    assert rows[2].endswith("more characters]")


@pytest.mark.one_lane  # fakeredis replies a wrong type otherwise
def test_damaged_reports_hide_no_dead_letter(bench: Bench) -> None:
    dead = bench.lease_in(State.FAILED).item
    key = keys.reports(bench.namespace, dead)
    bench.raw.set(key, "not a stream")

    inbox = bench.queue.views.inbox()

    bench.raw.delete(key)
    assert [(each.id, each.failure) for each in inbox] == [(dead, "")]


def test_dead_letter_with_question_is_listed_once(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which?")
    bench.agent().fail(lease, "hopeless", retry=False)

    inbox = bench.queue.views.inbox()

    assert [each.id for each in inbox] == [lease.item]


def test_review_is_stuck_since_its_delivery(bench: Bench) -> None:
    item = in_review(bench)

    (stuck,) = bench.queue.views.stuck().items

    assert (stuck.item.id, stuck.why) == (item, "review")
    assert stuck.command == f"orchestrate accept {item}"
    assert stuck.since > 0


def test_project_stays_open_while_item_is_in_review(bench: Bench) -> None:
    home = bench.project()
    item = in_review(bench, home)

    with pytest.raises(errors.OpenItems):
        bench.queue.complete_project(home)

    bench.queue.accept(item)
    bench.queue.complete_project(home)
    (project,) = bench.queue.views.projects()
    assert project.status == "completed"


def test_forced_completion_cancels_item_in_review(bench: Bench) -> None:
    home = bench.project()
    item = in_review(bench, home)

    bench.queue.complete_project(home, force=True)

    assert bench.state(item) is State.CANCELLED
    assert bench.indexes_of(item) == set()
    assert bench.inconsistencies() == []


def test_review_is_not_counted_as_completed(bench: Bench) -> None:
    home = bench.project()
    item = in_review(bench, home)
    before = bench.queue.views.counters().events

    bench.queue.accept(item)

    after = bench.queue.views.counters().events
    assert (before["complete"], before["review"]) == (0, 1)
    assert (after["complete"], after["review"]) == (1, 1)


def test_counted_duration_ends_with_the_delivery(bench: Bench) -> None:
    item = in_review(bench)
    bench.add_entry("reviews", item, bench.now_ms() - 3_600_000)

    bench.queue.accept(item)

    histogram = bench.queue.views.counters().histograms["duration"]
    assert histogram.sum_ms < 60_000


def test_wait_until_review_ends_with_the_delivery(bench: Bench) -> None:
    item = in_review(bench)
    home = shown(bench, item).project

    of_item = bench.queue.waits().until(item, [Goal.REVIEW], timeout_s=0)
    of_project = bench.queue.waits().until(home, [Goal.REVIEW], timeout_s=0)

    assert of_item.reached is of_project.reached is Goal.REVIEW


def test_wait_for_completion_is_not_over_in_review(bench: Bench) -> None:
    item = in_review(bench)
    home = shown(bench, item).project

    of_item = bench.queue.waits().until(item, [Goal.COMPLETED], timeout_s=0)
    of_project = bench.queue.waits().until(home, [Goal.COMPLETED], timeout_s=0)

    assert of_item.reached is of_project.reached is None


def test_agent_waits_for_the_decision(bench: Bench) -> None:
    item = in_review(bench)
    wanted = Lease(item=item)

    waiting = bench.agent().wait_for_answer(wanted, timeout_s=0)
    bench.queue.send_back(item, "Once more")
    answered = bench.agent().wait_for_answer(wanted, timeout_s=60)

    assert waiting.item.state is State.REVIEW
    assert answered.item.state is State.QUEUED
    assert answered.item.returned


def test_repeated_completion_is_known_after_return(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    lease = bench.claimed(item)
    recorder = RecordingConnection(bench.queue.connection)
    recorded = bench.with_connection(lambda _: recorder)
    recorded.agent().complete(lease, "done")
    bench.queue.send_back(item, "Once more")
    events = bench.events()

    first, again = recorder.repeat(0)

    assert again.reply == first.reply
    assert bench.events() == events


def test_comment_reaches_next_holder_of_returned_item(bench: Bench) -> None:
    item = in_review(bench)
    bench.queue.comment(item, "Mind the gap")
    bench.queue.send_back(item, "Once more")

    claim = bench.agent().claim()

    assert claim
    texts = [each.text for each in claim.package.history]
    assert "Mind the gap" in texts
    assert len(claim.new_comments) == 1


def test_questions_close_when_item_goes_to_review(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    lease = bench.claimed(item)
    bench.agent().blocker(lease, "Which?")

    receipt = bench.agent().complete(lease, "done anyway")

    assert receipt.closed_questions == (1,)
    assert bench.queue.views.questions() == ()


def test_audit_mends_lost_entry_of_a_review(bench: Bench) -> None:
    item = in_review(bench)
    bench.delete_entry("reviews", item)

    found = bench.queue.audit(fix=True).findings

    assert [(each.id, each.detail) for each in found] == [
        (item, "review, not in reviews")
    ]
    assert bench.indexes_of(item) == {"reviews"}


def test_audit_removes_stray_entry_of_reviews(bench: Bench) -> None:
    item = bench.item()
    bench.add_entry("reviews", item)

    bench.queue.audit_index("reviews", fix=True)

    assert bench.indexes_of(item) == {"queue:ada"}


def test_needs_of_board_have_reviews(bench: Bench) -> None:
    item = in_review(bench)

    needs = bench.queue.views.needs()

    (need,) = needs.rows
    assert (need.item.id, need.why, need.text) == (item, "review", "4 tables")
    assert need.reviewer == "lead"
    assert needs.count == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda bench, item: bench.queue.send_back(item, " "),
        lambda bench, item: bench.agent("lead").send_back(item, ""),
    ],
)
def test_return_needs_a_text(
    bench: Bench, call: Callable[[Bench, str], object]
) -> None:
    item = in_review(bench)

    with pytest.raises(errors.Invalid):
        call(bench, item)

    assert bench.state(item) is State.REVIEW


def test_token_of_worker_decides_as_agent(bench: Bench) -> None:
    item = in_review(bench)
    behind, _ = client(bench, Role.WORKER)

    with pytest.raises(errors.NotReviewer):
        behind.queue.accept(item)
    assert behind.queue.views.reviews() == ()

    assert bench.state(item) is State.REVIEW
