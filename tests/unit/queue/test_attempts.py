"""What counts as an attempt, what gives it back, and how the queue mends indexes that lost or kept too much."""

import pytest
from support.builders import Bench, held
from taskorch.domain import errors
from taskorch.domain.item import Lease, State


def attempts(bench: Bench, item: str) -> int:
    return bench.queue.views.show(item).item.attempts


def test_a_release_gives_the_attempt_back(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().release(lease)

    assert attempts(bench, lease.item) == 0


def test_an_item_may_be_released_more_often_than_it_has_attempts(bench: Bench) -> None:
    item = bench.item(max_attempts=1)

    for _ in range(3):
        bench.agent().release(held(bench.agent().claim()))

    assert bench.state(item) is State.QUEUED


@pytest.mark.parametrize("agent", ["ada", "bob"])
@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_a_forced_assignment_gives_the_attempt_back(
    bench: Bench, state: State, agent: str
) -> None:
    lease = bench.standing(state)

    assignment = bench.queue.assign(lease.item, agent, force=True)

    assert (assignment.state, assignment.previous, assignment.agent) == (
        State.QUEUED,
        "ada",
        agent,
    )
    assert attempts(bench, lease.item) == 0
    assert held(bench.agent(agent).claim()).token == lease.token + 1


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_a_takeover_kills_the_old_token_and_is_an_attempt(
    bench: Bench, state: State
) -> None:
    old = bench.standing(state)

    new = held(bench.agent(session="second").get(Lease(item=old.item), takeover=True))

    assert new.token == old.token + 1
    assert (bench.state(old.item), attempts(bench, old.item)) == (state, 2)
    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(old)
    assert bench.agent(session="second").complete(new).state is State.COMPLETED


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_an_item_without_attempts_left_is_not_taken_over(
    bench: Bench, state: State
) -> None:
    lease = bench.brought(bench.item(max_attempts=1), state)
    before = bench.everything()

    with pytest.raises(errors.NoAttempts):
        bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    assert bench.everything() == before


def test_a_question_outlives_a_takeover(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which door?", needs="left or right")

    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    assert [(item.blocker, item.needs) for item in bench.queue.views.inbox()] == [
        ("Which door?", "left or right")
    ]


def test_a_takeover_by_the_holder_itself_keeps_its_token(bench: Bench) -> None:
    lease = bench.claimed()

    again = held(bench.agent().get(lease, takeover=True))

    assert again.token == lease.token


def test_a_get_by_the_holder_keeps_its_token_and_renews_its_lease(bench: Bench) -> None:
    lease = bench.claimed()
    bench.let_lease_run_down(lease.item, left_ms=60_000)

    again = held(bench.agent().get(lease))

    assert again.token == lease.token
    assert again.expires_at > bench.now_ms() + 3_600_000


def test_an_item_out_of_attempts_fails_for_good(bench: Bench) -> None:
    item = bench.item(max_attempts=2)
    states = []

    for _ in range(2):
        states.append(bench.agent().fail(held(bench.agent().claim()), "no luck").state)
        bench.let_delay_pass(item)

    assert states == [State.DELAYED, State.FAILED]
    assert bench.agent().claim() is None


def test_a_release_after_the_lease_ran_out_puts_the_item_back_at_once(
    bench: Bench,
) -> None:
    lease = bench.expired(State.DELAYED)

    receipt = bench.agent().release(lease)

    assert receipt.state is State.QUEUED
    assert attempts(bench, lease.item) == 0


def test_a_release_after_a_late_report_puts_the_item_back_at_once(bench: Bench) -> None:
    lease = bench.expired(State.DELAYED)
    bench.agent().progress(lease, "I am still here")

    receipt = bench.agent().release(lease)

    assert receipt.state is State.QUEUED


def test_a_forced_assignment_after_a_late_report_queues_the_item_at_once(
    bench: Bench,
) -> None:
    lease = bench.expired(State.DELAYED)
    bench.agent().progress(lease, "I am still here")

    assignment = bench.queue.assign(lease.item, "bob", force=True)

    assert assignment.state is State.QUEUED


def test_a_new_dependency_ends_an_attempt_that_ran_out(bench: Bench) -> None:
    lease = bench.expired(State.QUEUED)
    bench.queue.depend(lease.item, [bench.item(agent="bob")])

    with pytest.raises(errors.LeaseLost):
        bench.agent().progress(lease, "I am still here")

    assert bench.state(lease.item) is State.WAITING


def test_a_lease_entry_of_a_vanished_item_is_dropped(bench: Bench) -> None:
    vanished, other = bench.claimed(), bench.claimed()
    bench.lose_item(vanished.item)
    bench.let_lease_run_out(vanished.item)
    bench.let_lease_run_out(other.item)

    bench.queue.reap()

    assert "leases" not in bench.indexes_of(vanished.item)
    assert bench.state(other.item) is State.DELAYED
    assert bench.queue.reap() == (0, 0)


def test_a_delayed_entry_of_a_vanished_item_is_dropped(bench: Bench) -> None:
    vanished = bench.standing(State.DELAYED)
    bench.lose_item(vanished.item)
    bench.let_delay_pass(vanished.item)

    bench.queue.reap()

    assert bench.indexes_of(vanished.item) == set()


def test_a_claim_steps_over_an_entry_of_its_queue_that_the_item_does_not_confirm(
    bench: Bench,
) -> None:
    done, next_one = bench.standing(State.COMPLETED), bench.item()
    bench.leave_queue_entry(done.item)

    lease = held(bench.agent().claim())

    assert lease.item == next_one
    assert bench.state(done.item) is State.COMPLETED
    assert bench.inconsistencies() == []


def test_a_claim_steps_over_a_vanished_item_in_its_queue(bench: Bench) -> None:
    vanished, next_one = bench.item(), bench.item()
    bench.lose_item(vanished)

    lease = held(bench.agent().claim())

    assert lease.item == next_one
    assert bench.indexes_of(vanished) == set()


def test_an_item_in_progress_that_lost_its_lease_entry_is_found_and_repaired(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.lose_lease_entry(lease.item)

    bench.queue.reap()

    view = bench.queue.views.show(lease.item).item
    assert view.state is not State.IN_PROGRESS or view.lease_expires_at > 0
    assert bench.inconsistencies() == []


def test_a_report_finds_an_item_whose_delay_is_over_in_the_queue(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "not now")
    bench.let_delay_pass(lease.item)

    receipt = bench.agent().progress(Lease(item=lease.item), "again")

    assert (receipt.state, receipt.remark) == (State.IN_PROGRESS, "claimed")
    assert [event["verb"] for event in bench.events()][-2:] == ["promote", "progress"]
    assert bench.inconsistencies() == []


def test_nobody_holds_an_item_whose_lease_ran_out_when_another_session_asks(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.let_lease_run_out(lease.item)

    with pytest.raises(errors.WrongState, match="delayed"):
        bench.agent(session="second").progress(Lease(item=lease.item), "mine now?")

    assert bench.state(lease.item) is State.DELAYED
    assert (
        bench.agent().complete(lease, "finished all the same").state is State.COMPLETED
    )
