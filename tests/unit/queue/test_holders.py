"""The guard of an item: stale tokens, other sessions and other agents are refused."""

from collections.abc import Callable

import pytest
from support.builders import Bench, need_lease
from support.verbs import AGENT_VERBS, HOLDER_VERBS
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, Receipt, State

HELD = (State.IN_PROGRESS, State.BLOCKED)

Step = Callable[[Bench, Lease], object]

#: Steps that end a claim.
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
#: The refusal of the old holder's next step, if it is not LeaseLost.
REFUSALS: dict[str, type[errors.TaskOrchestratorError]] = {
    "assign to bob by force": errors.NotYours,
    "cancel": errors.Cancelled,
}


@pytest.mark.parametrize("verb", HOLDER_VERBS)
@pytest.mark.parametrize(
    "state", [state for state in State if state is not State.PENDING]
)
def test_stale_token_is_refused_in_every_state(
    bench: Bench, state: State, verb: str
) -> None:
    stale = bench.claimed()
    bench.agent().release(stale)
    bench.bring_to(stale.item, state)
    before = bench.everything()
    expected = (
        errors.Cancelled if state is State.CANCELLED else errors.LeaseLost
    )

    with pytest.raises(errors.Conflict) as refusal:
        HOLDER_VERBS[verb](bench.agent(), stale)

    assert refusal.type is expected
    assert bench.everything() == before


@pytest.mark.parametrize("verb", HOLDER_VERBS)
def test_token_number_given_twice_serves_the_known_claim(
    bench: Bench, verb: str
) -> None:
    lost = bench.claimed()
    bench.undo_claim(lost.item)
    known = bench.claimed(lost.item)
    if verb == "withdraw":
        bench.agent().blocker(known, "Which door?")
    before = bench.everything()

    with pytest.raises(errors.LeaseLost):
        HOLDER_VERBS[verb](bench.agent(), lost)

    assert lost.token == known.token
    assert bench.everything() == before
    HOLDER_VERBS[verb](bench.agent(), known)


@pytest.mark.parametrize("verb", HOLDER_VERBS)
@pytest.mark.parametrize(
    "state", [state for state in State if state is not State.PENDING]
)
def test_unknown_token_is_refused_in_every_state(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.lease_in(state)
    before = bench.everything()
    expected = (
        errors.Cancelled if state is State.CANCELLED else errors.LeaseLost
    )

    with pytest.raises(errors.Conflict) as refusal:
        HOLDER_VERBS[verb](bench.agent(), replace(lease, token=99))

    assert refusal.type is expected
    assert bench.everything() == before


@pytest.mark.parametrize("verb", ["get", *HOLDER_VERBS])
@pytest.mark.parametrize("state", HELD)
def test_session_without_token_learns_the_holder(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.lease_in(state)
    before = bench.everything()

    with pytest.raises(errors.Held) as refusal:
        AGENT_VERBS[verb](
            bench.agent(session="second"), Lease(item=lease.item)
        )

    assert "host here" in str(refusal.value)
    assert ("its question is answered" in str(refusal.value)) == (
        state is State.BLOCKED
    )
    assert bench.everything() == before


@pytest.mark.parametrize("state", HELD)
def test_get_with_stale_token_learns_the_holder(
    bench: Bench, state: State
) -> None:
    stale = bench.claimed()
    bench.agent().release(stale)
    bench.bring_to(stale.item, state)

    with pytest.raises(errors.Held):
        bench.agent().get(stale)


@pytest.mark.parametrize("verb", AGENT_VERBS)
@pytest.mark.parametrize("state", State)
def test_other_agent_is_refused_even_with_the_token(
    bench: Bench, state: State, verb: str
) -> None:
    lease = bench.lease_in(state)
    before = bench.everything()

    for shown in (lease, Lease(item=lease.item)):
        with pytest.raises(errors.NotYours):
            AGENT_VERBS[verb](bench.agent("bob"), shown)

    assert bench.everything() == before


@pytest.mark.parametrize("state", State)
def test_other_agent_cannot_keep_a_note(bench: Bench, state: State) -> None:
    lease = bench.lease_in(state)
    before = bench.everything()

    with pytest.raises(errors.NotYours):
        bench.agent("bob").note(lease.item, "mine now")

    assert bench.everything() == before


@pytest.mark.parametrize("killer", TOKEN_KILLERS)
def test_token_is_dead_after(bench: Bench, killer: str) -> None:
    lease = bench.claimed()
    TOKEN_KILLERS[killer](bench, lease)
    before = bench.everything()

    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        bench.agent().progress(lease, "still here")

    assert refusal.type is REFUSALS.get(killer, errors.LeaseLost)
    assert bench.everything() == before


def test_token_stays_dead_when_cancelled_item_is_requeued(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item)
    bench.queue.requeue(lease.item)

    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(lease)

    assert bench.state(lease.item) is State.QUEUED


def test_token_of_delivery_is_lost_after_requeue(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease)
    bench.queue.requeue(lease.item)

    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(lease)

    assert bench.state(lease.item) is State.QUEUED


@pytest.mark.parametrize(
    ("summary", "deliverables"),
    [
        ("first", {"a": "1"}),
        ("first", {}),
        ("", {"a": "1"}),
        ("", {}),
    ],
    ids=["same", "same summary", "same deliverables", "nothing"],
)
@pytest.mark.parametrize("shows_token", [True, False])
def test_delivery_without_other_content_is_a_repeat(
    bench: Bench,
    summary: str,
    deliverables: dict[str, str],
    shows_token: bool,  # noqa: FBT001
) -> None:
    lease = bench.claimed()
    first = bench.agent().complete(lease, "first", deliverables={"a": "1"})
    before = bench.everything()

    again = bench.agent().complete(
        lease if shows_token else Lease(item=lease.item),
        summary,
        deliverables=deliverables,
    )

    assert (first.remark, again.remark) == ("", "repeat")
    assert bench.everything() == before


@pytest.mark.parametrize(
    ("summary", "deliverables"),
    [
        ("second", {"a": "1"}),
        ("first", {"a": "2"}),
        ("first", {"a": "1", "b": "2"}),
        ("", {"b": "2"}),
    ],
    ids=["summary", "value", "more", "deliverables alone"],
)
def test_second_delivery_with_other_content_is_refused(
    bench: Bench, summary: str, deliverables: dict[str, str]
) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "first", deliverables={"a": "1"})
    before = bench.everything()

    with pytest.raises(errors.AlreadyCompleted) as refusal:
        bench.agent().complete(lease, summary, deliverables=deliverables)

    assert 'already completed with "first"' in str(refusal.value)
    assert bench.everything() == before


def test_refused_delivery_shortens_long_summary(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "ü" * 30_000)

    with pytest.raises(errors.AlreadyCompleted) as refusal:
        bench.agent().complete(lease, "other")

    assert len(str(refusal.value)) < 400
    assert len(str(refusal.value.details["summary"])) < 300


@pytest.mark.parametrize(
    "verb", ["progress", "discover", "blocker", "complete"]
)
def test_report_on_queued_item_claims_it(bench: Bench, verb: str) -> None:
    item = bench.item()

    receipt = HOLDER_VERBS[verb](bench.agent(), Lease(item=item))

    view = bench.queue.views.show(item).item
    assert isinstance(receipt, Receipt)
    assert receipt.remark == "claimed"
    assert receipt.lease.token == view.token == 1
    assert view.attempts == 1


def test_token_grows_with_every_claim(bench: Bench) -> None:
    item = bench.item()
    tokens = []

    for _ in range(3):
        lease = need_lease(bench.agent().claim())
        tokens.append(lease.token)
        bench.agent().release(lease)
    tokens.append(need_lease(bench.agent().get(Lease(item=item))).token)

    assert tokens == [1, 2, 3, 4]


def test_holder_is_the_session_that_claimed(bench: Bench) -> None:
    lease = bench.claimed(session="first")
    first = bench.queue.views.show(lease.item).item.holder

    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    second = bench.queue.views.show(lease.item).item.holder
    assert first is not None
    assert second is not None
    assert (first.agent, first.host, first.session) == ("ada", "here", "first")
    assert (second.agent, second.host, second.session) == (
        "ada",
        "here",
        "second",
    )
    assert first.since <= second.since <= bench.now_ms()


def test_released_item_has_no_holder(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().release(lease)

    assert bench.queue.views.show(lease.item).item.holder is None


def test_item_in_progress_is_answered_once(
    bench: Bench,
) -> None:
    lease = bench.lease_in(State.BLOCKED)
    bench.agent().progress(lease, "I went on with something else")

    answered = bench.queue.answer(lease.item, "The left one.")
    with pytest.raises(errors.NoQuestion):
        bench.queue.answer(lease.item, "The right one.")

    assert answered.state is State.IN_PROGRESS
    assert bench.queue.views.show(lease.item).item.questions == ()
