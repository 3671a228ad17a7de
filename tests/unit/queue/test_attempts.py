"""Attempts: what counts, what gives one back, and how the queue repairs its indexes."""

import pytest
from support.builders import Bench, need_lease
from taskorch.domain import errors
from taskorch.domain.item import Lease, ReapCounts, State


def attempts(bench: Bench, item: str) -> int:
    return bench.queue.views.show(item).item.attempts


def test_release_gives_the_attempt_back(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().release(lease)

    assert attempts(bench, lease.item) == 0


def test_releases_are_not_limited_by_attempts(bench: Bench) -> None:
    item = bench.item(max_attempts=1)

    for _ in range(3):
        bench.agent().release(need_lease(bench.agent().claim()))

    assert bench.state(item) is State.QUEUED


@pytest.mark.parametrize("agent", ["ada", "bob"])
@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_forced_assignment_gives_the_attempt_back(
    bench: Bench, state: State, agent: str
) -> None:
    lease = bench.lease_in(state)

    assignment = bench.queue.assign(lease.item, agent, force=True)

    assert (assignment.state, assignment.previous, assignment.agent) == (
        State.QUEUED,
        "ada",
        agent,
    )
    assert attempts(bench, lease.item) == 0
    assert need_lease(bench.agent(agent).claim()).token == lease.token + 1


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_takeover_kills_old_token_and_counts_as_attempt(
    bench: Bench, state: State
) -> None:
    old = bench.lease_in(state)

    new = need_lease(
        bench.agent(session="second").get(Lease(item=old.item), takeover=True)
    )

    assert new.token == old.token + 1
    assert (bench.state(old.item), attempts(bench, old.item)) == (state, 2)
    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(old)
    assert bench.agent(session="second").complete(new).state is State.COMPLETED


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_item_without_attempts_is_not_taken_over(
    bench: Bench, state: State
) -> None:
    lease = bench.bring_to(bench.item(max_attempts=1), state)
    before = bench.everything()

    with pytest.raises(errors.NoAttempts):
        bench.agent(session="second").get(
            Lease(item=lease.item), takeover=True
        )

    assert bench.everything() == before


def test_question_outlives_a_takeover(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which door?", needs="left or right")

    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    assert [
        (question.text, question.needs)
        for item in bench.queue.views.inbox()
        for question in item.questions
    ] == [("Which door?", "left or right")]


def test_takeover_by_the_holder_keeps_its_token(bench: Bench) -> None:
    lease = bench.claimed()

    again = need_lease(bench.agent().get(lease, takeover=True))

    assert again.token == lease.token


def test_get_by_the_holder_renews_its_lease(bench: Bench) -> None:
    lease = bench.claimed()
    bench.shorten_lease(lease.item, left_ms=60_000)

    again = need_lease(bench.agent().get(lease))

    assert again.token == lease.token
    assert again.expires_at > bench.now_ms() + 3_600_000


def test_item_out_of_attempts_is_a_dead_letter(bench: Bench) -> None:
    item = bench.item(max_attempts=2)
    states = []

    for _ in range(2):
        states.append(
            bench.agent()
            .fail(need_lease(bench.agent().claim()), "no luck")
            .state
        )
        bench.end_delay(item)

    assert states == [State.DELAYED, State.FAILED]
    assert bench.agent().claim() is None


def test_release_after_expired_lease_queues_item(
    bench: Bench,
) -> None:
    lease = bench.expired_lease(State.DELAYED)

    receipt = bench.agent().release(lease)

    assert receipt.state is State.QUEUED
    assert attempts(bench, lease.item) == 0


def test_release_after_late_report_queues_item(bench: Bench) -> None:
    lease = bench.expired_lease(State.DELAYED)
    bench.agent().progress(lease, "I am still here")

    receipt = bench.agent().release(lease)

    assert receipt.state is State.QUEUED


def test_forced_assignment_after_late_report_queues_item(
    bench: Bench,
) -> None:
    lease = bench.expired_lease(State.DELAYED)
    bench.agent().progress(lease, "I am still here")

    assignment = bench.queue.assign(lease.item, "bob", force=True)

    assert assignment.state is State.QUEUED


def test_new_dependency_revokes_token_of_expired_attempt(bench: Bench) -> None:
    lease = bench.expired_lease(State.QUEUED)
    bench.queue.depend(lease.item, [bench.item(agent="bob")])

    with pytest.raises(errors.LeaseLost):
        bench.agent().progress(lease, "I am still here")

    assert bench.state(lease.item) is State.WAITING


def test_lease_entry_of_missing_item_is_dropped(bench: Bench) -> None:
    vanished, other = bench.claimed(), bench.claimed()
    bench.delete_item(vanished.item)
    bench.expire_lease(vanished.item)
    bench.expire_lease(other.item)

    bench.queue.reap()

    assert "leases" not in bench.indexes_of(vanished.item)
    assert bench.state(other.item) is State.DELAYED
    assert bench.queue.reap() == ReapCounts(reaped=0, promoted=0)


def test_delayed_entry_of_missing_item_is_dropped(bench: Bench) -> None:
    vanished = bench.lease_in(State.DELAYED)
    bench.delete_item(vanished.item)
    bench.end_delay(vanished.item)

    bench.queue.reap()

    assert bench.indexes_of(vanished.item) == set()


def test_claim_skips_entry_of_completed_item(
    bench: Bench,
) -> None:
    done, next_one = bench.lease_in(State.COMPLETED), bench.item()
    bench.add_queue_entry(done.item)

    lease = need_lease(bench.agent().claim())

    assert lease.item == next_one
    assert bench.state(done.item) is State.COMPLETED
    assert bench.inconsistencies() == []


def test_claim_skips_entry_of_missing_item(bench: Bench) -> None:
    vanished, next_one = bench.item(), bench.item()
    bench.delete_item(vanished)

    lease = need_lease(bench.agent().claim())

    assert lease.item == next_one
    assert bench.indexes_of(vanished) == set()


def test_lost_lease_entry_is_found_and_repaired(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.delete_lease_entry(lease.item)

    bench.queue.reap()

    view = bench.queue.views.show(lease.item).item
    assert view.state is not State.IN_PROGRESS or view.lease_expires_at > 0
    assert bench.inconsistencies() == []


def test_report_promotes_and_claims_a_due_item(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "not now")
    bench.end_delay(lease.item)

    receipt = bench.agent().progress(Lease(item=lease.item), "again")

    assert (receipt.state, receipt.remark) == (State.IN_PROGRESS, "claimed")
    assert [event["verb"] for event in bench.events()][-2:] == [
        "promote",
        "progress",
    ]
    assert bench.inconsistencies() == []


def test_expired_item_has_no_holder_for_other_session(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)

    with pytest.raises(errors.WrongState, match="delayed"):
        bench.agent(session="second").progress(
            Lease(item=lease.item), "mine now?"
        )

    assert bench.state(lease.item) is State.DELAYED
    assert (
        bench.agent().complete(lease, "finished all the same").state
        is State.COMPLETED
    )
