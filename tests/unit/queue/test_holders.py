"""Who may act on an item: a stale token, another session and another agent are refused, and change nothing."""

from collections.abc import Callable

import pytest
from support.builders import Bench, held
from support.verbs import AGENT, HOLDER
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, Receipt, State

HELD = (State.IN_PROGRESS, State.BLOCKED)

Step = Callable[[Bench, Lease], object]

#: What ends a claim.
TOKEN_KILLERS: dict[str, Step] = {
    "fail": lambda bench, lease: bench.agent().fail(lease, "no"),
    "bury": lambda bench, lease: bench.agent().fail(lease, "no", retry=False),
    "release": lambda bench, lease: bench.agent().release(lease),
    "complete": lambda bench, lease: bench.agent().complete(lease),
    "takeover": lambda bench, lease: bench.agent(session="2").get(
        Lease(item=lease.item), takeover=True
    ),
    "assign to ada by force": lambda bench, lease: bench.queue.assign(
        lease.item, "ada", force=True
    ),
    "assign to bob by force": lambda bench, lease: bench.queue.assign(
        lease.item, "bob", force=True
    ),
    "cancel": lambda bench, lease: bench.queue.cancel(lease.item),
}
#: What the old holder is told at its next step, where it is not LeaseLost.
TOLD: dict[str, type[errors.TaskOrchestratorError]] = {
    "assign to bob by force": errors.NotYours,
    "cancel": errors.Cancelled,
}


@pytest.mark.parametrize("verb", HOLDER)
@pytest.mark.parametrize(
    "state", [state for state in State if state is not State.PENDING]
)
def test_a_stale_token_is_refused_in_every_state(
    bench: Bench, state: State, verb: str
) -> None:
    stale = bench.claimed()
    bench.agent().release(stale)
    bench.brought(stale.item, state)
    before = bench.everything()
    expected = errors.Cancelled if state is State.CANCELLED else errors.LeaseLost

    with pytest.raises(errors.Conflict) as refusal:
        HOLDER[verb](bench.agent(), stale)

    assert refusal.type is expected
    assert bench.everything() == before


@pytest.mark.parametrize("verb", HOLDER)
def test_a_token_that_a_failover_gave_out_twice_serves_the_claim_that_redis_knows(
    bench: Bench, verb: str
) -> None:
    lost = bench.claimed()
    bench.forget_claim(lost.item)
    known = bench.claimed(lost.item)
    before = bench.everything()

    with pytest.raises(errors.LeaseLost):
        HOLDER[verb](bench.agent(), lost)

    assert lost.token == known.token
    assert bench.everything() == before
    HOLDER[verb](bench.agent(), known)


@pytest.mark.parametrize("verb", HOLDER)
@pytest.mark.parametrize(
    "state", [state for state in State if state is not State.PENDING]
)
def test_a_token_that_was_never_given_is_refused_in_every_state(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.standing(state)
    before = bench.everything()
    expected = errors.Cancelled if state is State.CANCELLED else errors.LeaseLost

    with pytest.raises(errors.Conflict) as refusal:
        HOLDER[verb](bench.agent(), replace(lease, token=99))

    assert refusal.type is expected
    assert bench.everything() == before


@pytest.mark.parametrize("verb", ["get", *HOLDER])
@pytest.mark.parametrize("state", HELD)
def test_a_second_session_without_the_token_learns_who_holds_the_item(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.standing(state)
    before = bench.everything()

    with pytest.raises(errors.Held) as refusal:
        AGENT[verb](bench.agent(session="second"), Lease(item=lease.item))

    assert "host here" in str(refusal.value)
    assert ("its question is answered" in str(refusal.value)) == (
        state is State.BLOCKED
    )
    assert bench.everything() == before


@pytest.mark.parametrize("state", HELD)
def test_a_get_with_a_stale_token_learns_who_holds_the_item(
    bench: Bench, state: State
) -> None:
    stale = bench.claimed()
    bench.agent().release(stale)
    bench.brought(stale.item, state)

    with pytest.raises(errors.Held):
        bench.agent().get(stale)


@pytest.mark.parametrize("verb", AGENT)
@pytest.mark.parametrize("state", State)
def test_another_agent_is_refused_in_every_state_even_with_the_token(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.standing(state)
    before = bench.everything()

    for shown in (lease, Lease(item=lease.item)):
        with pytest.raises(errors.NotYours):
            AGENT[verb](bench.agent("bob"), shown)

    assert bench.everything() == before


@pytest.mark.parametrize("state", State)
def test_another_agent_cannot_keep_a_note_on_the_item(
    bench: Bench, state: State
) -> None:
    lease = bench.standing(state)
    before = bench.everything()

    with pytest.raises(errors.NotYours):
        bench.agent("bob").note(lease.item, "mine now")

    assert bench.everything() == before


@pytest.mark.parametrize("killer", TOKEN_KILLERS)
def test_the_token_is_dead_after(bench: Bench, killer: str) -> None:
    lease = bench.claimed()
    TOKEN_KILLERS[killer](bench, lease)
    before = bench.everything()

    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        bench.agent().progress(lease, "still here")

    assert refusal.type is TOLD.get(killer, errors.LeaseLost)
    assert bench.everything() == before


def test_a_token_stays_dead_when_a_cancelled_item_is_requeued(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item)
    bench.queue.requeue(lease.item)

    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(lease)

    assert bench.state(lease.item) is State.QUEUED


def test_a_token_of_a_delivery_does_not_repeat_it_once_the_item_is_requeued(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease)
    bench.queue.requeue(lease.item)

    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(lease)

    assert bench.state(lease.item) is State.QUEUED


def test_a_complete_repeated_by_its_agent_says_so_and_keeps_the_first_delivery(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    first = bench.agent().complete(lease, "first", deliverables={"a": "1"})
    before = bench.everything()

    shown = bench.agent().complete(lease, "second", deliverables={"b": "2"})
    bare = bench.agent().complete(Lease(item=lease.item), "third")

    assert (first.remark, shown.remark, bare.remark) == ("", "repeat", "repeat")
    assert bench.everything() == before


@pytest.mark.parametrize("verb", ["progress", "discover", "blocker", "complete"])
def test_a_report_on_a_queued_item_claims_it_in_the_same_step(
    bench: Bench, verb: str
) -> None:
    item = bench.item()

    receipt = HOLDER[verb](bench.agent(), Lease(item=item))

    view = bench.queue.views.show(item).item
    assert isinstance(receipt, Receipt)
    assert receipt.remark == "claimed"
    assert receipt.lease.token == view.token == 1
    assert view.attempts == 1


def test_the_token_grows_with_every_claim(bench: Bench) -> None:
    item = bench.item()
    tokens = []

    for _ in range(3):
        lease = held(bench.agent().claim())
        tokens.append(lease.token)
        bench.agent().release(lease)
    tokens.append(held(bench.agent().get(Lease(item=item))).token)

    assert tokens == [1, 2, 3, 4]


def test_the_holder_is_the_session_that_claimed(bench: Bench) -> None:
    lease = bench.claimed(session="first")
    first = bench.queue.views.show(lease.item).item.holder

    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    second = bench.queue.views.show(lease.item).item.holder
    assert first is not None
    assert second is not None
    assert (first.agent, first.host, first.session) == ("ada", "here", "first")
    assert (second.agent, second.host, second.session) == ("ada", "here", "second")
    assert first.since <= second.since <= bench.now_ms()


def test_nobody_is_the_holder_of_an_item_that_was_given_back(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().release(lease)

    assert bench.queue.views.show(lease.item).item.holder is None


def test_an_answer_in_progress_is_taken_only_while_the_blocker_is_unanswered(
    bench: Bench,
) -> None:
    lease = bench.standing(State.BLOCKED)
    bench.agent().progress(lease, "I went on with something else")

    state = bench.queue.answer(lease.item, "The left one.")
    with pytest.raises(errors.WrongState):
        bench.queue.answer(lease.item, "The right one.")

    assert state is State.IN_PROGRESS
    assert bench.queue.views.show(lease.item).item.blocker == ""
