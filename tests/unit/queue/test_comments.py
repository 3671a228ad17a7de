"""Comments of the orchestrator on an item, and how its holder learns of them."""

from collections.abc import Callable

import pytest
from support.builders import Bench, need_lease
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors
from taskorch.domain.item import ItemEdit, Lease, Package, Receipt, State
from taskorch.queue.agent_queue import AgentQueue

STEPS: dict[str, Callable[[AgentQueue, Lease], Receipt]] = {
    "progress": lambda me, lease: me.progress(lease, "at it"),
    "renew": lambda me, lease: me.renew(lease),
    "discover": lambda me, lease: me.discover(lease, "It rains"),
    "blocker": lambda me, lease: me.blocker(lease, "Which one?"),
    "complete": lambda me, lease: me.complete(lease, "done"),
    "fail": lambda me, lease: me.fail(lease, "no luck"),
    "release": lambda me, lease: me.release(lease),
    "comment": lambda me, lease: me.comment(lease, "Nearly there"),
}


def texts(receipt: Receipt) -> list[str]:
    return [comment.text for comment in receipt.comments]


def comments_of(package: Package) -> list[str]:
    return [one.text for one in package.history if one.kind == "comment"]


@pytest.mark.parametrize("verb", STEPS)
def test_next_step_shows_comment_once(bench: Bench, verb: str) -> None:
    lease = bench.claimed()
    bench.queue.comment(lease.item, "Mind the gap")

    receipt = STEPS[verb](bench.agent(), lease)

    assert texts(receipt) == ["Mind the gap"]
    assert receipt.comments[0].agent == bench.queue._scripts.caller.agent
    assert receipt.comments[0].request == ""


def test_shown_comment_is_no_longer_new(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")
    ada.progress(lease, "at it")
    bench.queue.comment(lease.item, "two")

    second, third = ada.renew(lease), ada.renew(lease)

    assert (texts(second), texts(third)) == (["two"], [])


def test_get_shows_all_comments_and_marks_new_ones(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")
    ada.progress(lease, "at it")
    bench.queue.comment(lease.item, "two")

    first, again = ada.get(lease), ada.get(lease)

    assert comments_of(first.package) == ["one", "two"]
    new = [
        one.text
        for one in first.package.history
        if one.id in first.new_comments
    ]
    assert new == ["two"]
    assert again.new_comments == ()
    assert texts(ada.renew(lease)) == []


def test_peek_leaves_comments_new(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")

    ada.get(lease, peek=True)

    assert texts(ada.renew(lease)) == ["one"]


def test_claim_shows_comments_of_queued_item(bench: Bench) -> None:
    item = bench.item()
    bench.queue.comment(item, "early")

    claim = bench.agent().claim()

    assert claim
    assert comments_of(claim.package) == ["early"]
    assert texts(bench.agent().renew(need_lease(claim))) == []


def test_comments_are_new_to_the_next_holder(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")
    ada.progress(lease, "at it")
    ada.release(lease)

    receipt = ada.progress(Lease(item=lease.item), "claims it")

    assert (receipt.remark, texts(receipt)) == ("claimed", ["one"])


def test_comment_keeps_state_and_open_question(bench: Bench) -> None:
    lease = bench.lease_in(State.BLOCKED)

    state, agent = bench.queue.comment(lease.item, "Patience")

    item = bench.queue.views.show(lease.item).item
    assert (state, agent) == (State.BLOCKED, "ada")
    (question,) = item.questions
    assert (item.state, question.text) == (State.BLOCKED, "Which one?")


def test_many_new_comments_show_the_newest_ten(bench: Bench) -> None:
    lease = bench.claimed()
    for number in range(13):
        bench.queue.comment(lease.item, f"comment {number}")

    receipt = bench.agent().renew(lease)

    assert texts(receipt) == [f"comment {number}" for number in range(3, 13)]
    assert receipt.comments_left == 3
    assert texts(bench.agent().renew(lease)) == []


def test_renewal_can_leave_comments_new(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "for the command")

    left = ada.renew(lease, leaves_news=True)

    assert texts(left) == []
    assert texts(ada.progress(lease, "the command")) == ["for the command"]


def test_damaged_mark_of_comments_loses_none(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.comment(lease.item, "one")
    bench.raw.hset(
        f"taskorch:{{{bench.namespace}}}:item:{lease.item}",
        "comments_read",
        "nonsense",
    )

    assert texts(bench.agent().renew(lease)) == ["one"]


@pytest.mark.parametrize("state", [State.COMPLETED, State.CANCELLED])
def test_comment_on_ended_item_is_refused(bench: Bench, state: State) -> None:
    lease = bench.lease_in(state)

    with pytest.raises(errors.WrongState) as refusal:
        bench.queue.comment(lease.item, "too late")

    assert refusal.value.exit_code == 5
    assert f"orchestrate requeue {lease.item}" in refusal.value.hint()


@pytest.mark.parametrize("text", ["", " \n", "x" * 70_000, "a\0b"])
def test_comment_without_usable_text_is_refused(
    bench: Bench, text: str
) -> None:
    item = bench.item()

    with pytest.raises(errors.Invalid):
        bench.queue.comment(item, text)

    assert comments_of(bench.queue.views.show(item)) == []


def test_prime_has_new_comments_of_own_lease_only(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.comment(lease.item, "one")

    (mine,) = bench.agent().prime([lease]).held
    (others,) = bench.agent(session="second").prime().held

    assert len(mine.claim.new_comments) == 1
    assert others.claim.new_comments == ()
    assert texts(bench.agent().renew(lease)) == ["one"]


def test_comment_ends_wait_and_question_stays_open(
    bench: Bench, waiters: Waiters
) -> None:
    lease = bench.lease_in(State.BLOCKED)
    waiter = waiters.start(
        lambda waiting: waiting.agent().wait_for_answer(
            lease, timeout_s=LONG_S
        )
    )

    bench.queue.comment(lease.item, "Patience")

    answered = waiter.result(SOON_S)
    assert [one.text for one in answered.comments] == ["Patience"]
    assert (answered.unanswered, answered.answers) == ((1,), ())


def test_wait_shows_comments_of_own_claim_only(bench: Bench) -> None:
    item = bench.item()
    bench.queue.comment(item, "for the next holder")

    answered = bench.agent().wait_for_answer(Lease(item=item), timeout_s=0)

    assert answered.comments == ()


def test_renewal_after_wait_leaves_later_news(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")
    shown = ada.wait_for_answer(lease, timeout_s=0).comments
    bench.queue.comment(lease.item, "two")
    bench.queue.edit([lease.item], ItemEdit(priority=0))

    ada.renew(lease, leaves_news=True, shown=shown[-1].id)

    told = ada.progress(lease, "at it")
    assert texts(told) == ["two"]
    assert told.edited == ("priority",)


def test_renewal_after_wait_marks_no_older_comment(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "one")
    shown = ada.wait_for_answer(lease, timeout_s=0).comments
    bench.queue.comment(lease.item, "two")
    ada.progress(lease, "at it")

    ada.renew(lease, leaves_news=True, shown=shown[-1].id)

    assert texts(ada.renew(lease)) == []


# Comments of the holder -------------------------------------------------------------


def test_comment_of_holder_is_in_history_and_renews(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.shorten_lease(lease.item, left_ms=60_000)

    receipt = ada.comment(lease, "Two tables are empty")

    package = bench.queue.views.show(lease.item)
    (report,) = package.history
    assert (report.kind, report.agent, report.text) == (
        "agent_comment",
        "ada",
        "Two tables are empty",
    )
    assert package.item.state is State.IN_PROGRESS
    assert package.item.percent == 0
    assert receipt.lease.expires_at > bench.now_ms() + 3_600_000


def test_comment_of_holder_asks_nothing(bench: Bench) -> None:
    lease = bench.lease_in(State.BLOCKED)

    receipt = bench.agent().comment(lease, "I look elsewhere meanwhile")

    (waiting,) = bench.queue.views.inbox()
    assert receipt.state is State.BLOCKED
    assert receipt.open_questions == (1,)
    assert len(waiting.questions) == 1


def test_own_comment_is_not_new_to_its_holder(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "from above")
    ada.renew(lease, leaves_news=True)

    own = ada.comment(lease, "from below")

    assert texts(own) == ["from above"]
    assert texts(ada.renew(lease)) == []


@pytest.mark.parametrize("way", ["takeover", "retry", "release"])
def test_next_holder_gets_comments_of_both_sides(
    bench: Bench, way: str
) -> None:
    ada, lease = bench.agent(), bench.claimed()
    bench.queue.comment(lease.item, "from above")
    ada.comment(lease, "from below")
    if way == "retry":
        ada.fail(lease, "no luck")
        bench.end_delay(lease.item)
    if way == "release":
        ada.release(lease)

    claim = bench.agent(session="second").get(
        Lease(item=lease.item), takeover=way == "takeover"
    )

    said = [
        (one.kind, one.text)
        for one in claim.package.history
        if "comment" in one.kind
    ]
    assert said == [
        ("comment", "from above"),
        ("agent_comment", "from below"),
    ]
    assert len(claim.new_comments) == 1


def test_only_the_holder_comments(bench: Bench) -> None:
    queued, lease = bench.item(), bench.claimed()
    ada = bench.agent()
    ada.release(lease)

    with pytest.raises(errors.WrongState, match="so comment is not") as early:
        ada.comment(Lease(item=queued), "too early")
    with pytest.raises(errors.LeaseLost):
        ada.comment(lease, "too late")
    with pytest.raises(errors.NotYours):
        bench.agent("bob").comment(Lease(item=queued), "not his")

    assert f"worker get {queued}" in early.value.hint()
    assert bench.queue.views.show(queued).history == ()


def test_comment_is_newest_report_on_the_work(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().comment(lease, "Two tables are empty")
    project = bench.queue.views.show(lease.item).item.project

    progress = bench.queue.views.progress(project)

    newest = progress.last_reports[lease.item]
    assert newest.text == "Two tables are empty"


@pytest.mark.parametrize("text", ["", " \n", "x" * 70_000, "a\0b"])
def test_holder_comment_without_usable_text_is_refused(
    bench: Bench, text: str
) -> None:
    lease = bench.claimed()

    with pytest.raises(errors.Invalid):
        bench.agent().comment(lease, text)
