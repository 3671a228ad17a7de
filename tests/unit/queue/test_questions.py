"""Questions stay open until they are answered or withdrawn, whatever their item does."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from support.builders import Bench, need_lease
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors, limits
from taskorch.domain.item import (
    ClosedProject,
    Item,
    Lease,
    State,
)
from taskorch.queue import keys
from taskorch.queue.wait_results import Goal


def asked(bench: Bench, *texts: str) -> Lease:
    """Return the lease of ada on an item of hers with these open questions."""
    lease = bench.claimed()
    for text in texts or ("Which door?",):
        bench.agent().blocker(lease, text)
    return lease


def open_in(items: tuple[Item, ...]) -> list[tuple[str, list[int]]]:
    """Return each item with the numbers of its open questions."""
    return [
        (item.id, [question.number for question in item.questions])
        for item in items
    ]


def numbers(bench: Bench, item: str) -> list[int]:
    """Return the numbers of the open questions of an item."""
    shown = bench.queue.views.show(item).item
    return [question.number for question in shown.questions]


def reported(bench: Bench, lease: Lease) -> None:
    bench.agent().progress(lease, "I go on with the windows")


def expired(bench: Bench, lease: Lease) -> None:
    bench.agent().progress(lease, "I go on with the windows")
    bench.expire_lease(lease.item)
    bench.queue.reap()


def claimed_again(bench: Bench, lease: Lease) -> None:
    bench.agent().release(lease)
    bench.claimed(lease.item, session="second")


def waits_again(bench: Bench, lease: Lease) -> None:
    bench.agent().release(lease)
    bench.queue.depend(lease.item, [bench.item(agent="bob")])


def requeued(bench: Bench, lease: Lease) -> None:
    bench.agent().fail(lease, "hopeless", retry=False)
    bench.queue.requeue(lease.item)


#: What may happen to an item with an open question, and the state that it has then.
WAYS: dict[str, tuple[Callable[[Bench, Lease], object], State]] = {
    "nothing": (lambda *_: None, State.BLOCKED),
    "progress": (reported, State.IN_PROGRESS),
    "release": (
        lambda bench, lease: bench.agent().release(lease),
        State.QUEUED,
    ),
    "left": (
        lambda bench, lease: bench.agent().release(lease, asks=True),
        State.BLOCKED,
    ),
    "fail": (
        lambda bench, lease: bench.agent().fail(lease, "x"),
        State.DELAYED,
    ),
    "no retry": (
        lambda bench, lease: bench.agent().fail(lease, "x", retry=False),
        State.FAILED,
    ),
    "expire": (expired, State.DELAYED),
    "claim": (claimed_again, State.IN_PROGRESS),
    "depend": (waits_again, State.WAITING),
    "requeue": (requeued, State.QUEUED),
    "assign --force": (
        lambda bench, lease: bench.queue.assign(lease.item, "bob", force=True),
        State.QUEUED,
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_question_stays_open_in_every_state(bench: Bench, way: str) -> None:
    lease = asked(bench)
    project = bench.queue.views.show(lease.item).item.project
    happen, state = WAYS[way]

    happen(bench, lease)

    views = bench.queue.views
    stuck = {each.item.id: each.why for each in views.stuck().items}
    waits = bench.queue.waits()
    of_item = waits.until(lease.item, [Goal.BLOCKED], timeout_s=0)
    of_project = waits.until(project, [Goal.BLOCKED], timeout_s=0)
    assert bench.state(lease.item) is state
    assert open_in(views.questions()) == [(lease.item, [1])]
    assert open_in(views.questions(project=project)) == [(lease.item, [1])]
    assert open_in(views.progress(project).items)[0] == (lease.item, [1])
    assert stuck[lease.item] == (
        "blocked" if state is State.BLOCKED else "open_question"
    )
    assert (of_item.reached, of_project.reached) == (
        Goal.BLOCKED,
        Goal.BLOCKED,
    )
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("way", WAYS)
def test_answer_closes_question_in_every_state(bench: Bench, way: str) -> None:
    lease = asked(bench)
    happen, state = WAYS[way]
    happen(bench, lease)
    freed = {"nothing": State.IN_PROGRESS, "left": State.QUEUED}

    answered = bench.queue.answer(lease.item, "The left one.")

    views = bench.queue.views
    assert (answered.state, answered.question) == (freed.get(way, state), 1)
    assert bench.state(lease.item) is answered.state
    assert views.questions() == ()
    assert "open_question" not in [each.why for each in views.stuck().items]
    assert bench.inconsistencies() == []


def closed_by(done: ClosedProject, item: str) -> tuple[int, ...]:
    """Return the questions on an item that the end of its project has closed."""
    (closed,) = done.closed_questions
    assert closed.item == item
    return closed.questions


@pytest.mark.parametrize(
    "way", ["complete", "cancel", "cancel_project", "complete_project"]
)
def test_end_of_item_closes_its_questions(bench: Bench, way: str) -> None:
    lease = asked(bench, "Which door?", "Which key?")
    project = bench.queue.views.show(lease.item).item.project
    closed: tuple[int, ...] = (1, 2)

    match way:
        case "complete":
            closed = bench.agent().complete(lease).closed_questions
        case "cancel":
            closed = bench.queue.cancel(lease.item).closed_questions
        case "cancel_project":
            given_up = bench.queue.cancel_project(project)
            closed = closed_by(given_up, lease.item)
        case _:
            forced = bench.queue.complete_project(project, force=True)
            closed = closed_by(forced, lease.item)

    assert closed == (1, 2)
    assert numbers(bench, lease.item) == []
    assert bench.queue.views.questions() == ()
    with pytest.raises(errors.NoQuestion):
        bench.queue.answer(lease.item, "The left one.")


def test_questions_of_an_item_are_numbered(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()

    first = me.blocker(lease, "Which door?", needs="left or right")
    second = me.blocker(lease, "Which key?")
    bench.queue.answer(lease.item, "The left one.", question=1)
    third = me.blocker(lease, "Which window?")

    (item,) = bench.queue.views.questions()
    assert [each.question for each in (first, second, third)] == [1, 2, 3]
    assert [
        (each.number, each.text, each.needs, each.agent)
        for each in item.questions
    ] == [(2, "Which key?", "", "ada"), (3, "Which window?", "", "ada")]
    assert [
        (report.kind, report.question)
        for report in bench.queue.views.show(lease.item).history
    ] == [("blocker", 1), ("blocker", 2), ("answer", 1), ("blocker", 3)]


def test_receipts_name_the_open_questions(bench: Bench) -> None:
    lease, me = asked(bench), bench.agent()

    receipts = [
        me.progress(lease, "on it"),
        me.discover(lease, "rain"),
        me.renew(lease),
        me.release(lease),
    ]

    assert [each.open_questions for each in receipts] == [(1,)] * 4


def test_item_stays_blocked_until_last_answer(bench: Bench) -> None:
    lease = asked(bench, "Which door?", "Which key?")

    first = bench.queue.answer(lease.item, "The small one.", question=2)
    second = bench.queue.answer(lease.item, "The left one.")

    assert (first.state, first.open_questions) == (State.BLOCKED, (1,))
    assert (second.state, second.open_questions) == (State.IN_PROGRESS, ())


def test_answer_without_number_needs_one_question(bench: Bench) -> None:
    lease = asked(bench, "Which\ndoor?", "ü" * 500)
    before = bench.everything()

    with pytest.raises(errors.SeveralQuestions) as refusal:
        bench.queue.answer(lease.item, "The left one.")

    rows = refusal.value.rows()
    assert (refusal.value.exit_code, rows) == (
        5,
        ["1: Which\ndoor?", f"2: {'ü' * 99}…"],
    )
    assert f"orchestrate answer {lease.item} --question N" in (
        refusal.value.hint()
    )
    assert bench.everything() == before


@pytest.mark.parametrize("number", [1, 3, 99])
def test_question_that_is_not_open_is_refused(
    bench: Bench, number: int
) -> None:
    lease = asked(bench, "Which door?", "Which key?")
    bench.queue.answer(lease.item, "The left one.", question=1)
    before = bench.everything()

    with pytest.raises(errors.NoQuestion) as refusal:
        bench.queue.answer(lease.item, "This one.", question=number)
    with pytest.raises(errors.NoQuestion):
        bench.agent().withdraw(lease, question=number)

    assert str(refusal.value) == (
        f"{lease.item} has no open question {number}. It is blocked."
    )
    assert refusal.value.hint() == "Its open questions: 2"
    assert bench.everything() == before


def test_withdrawing_last_question_continues_item(bench: Bench) -> None:
    lease, me = asked(bench, "Which door?", "Which key?"), bench.agent()

    first = me.withdraw(lease, question=1)
    second = me.withdraw(lease)

    assert (first.state, first.question, first.open_questions) == (
        State.BLOCKED,
        1,
        (2,),
    )
    assert (second.state, second.question, second.open_questions) == (
        State.IN_PROGRESS,
        2,
        (),
    )
    assert second.lease_expires_at > bench.now_ms()
    assert bench.queue.views.questions() == ()


def test_withdrawing_needs_a_number_among_several(bench: Bench) -> None:
    lease = asked(bench, "Which door?", "Which key?")

    with pytest.raises(errors.SeveralQuestions) as refusal:
        bench.agent().withdraw(lease)

    assert f"worker blocker {lease.item} --withdraw N" in refusal.value.hint()
    assert numbers(bench, lease.item) == [1, 2]


def test_same_question_keeps_its_number(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    me.blocker(lease, "Which door?")
    me.progress(lease, "I go on")

    again = me.blocker(lease, "Which door?", needs="left or right")
    other = me.blocker(lease, "Which door?", needs="a key")

    assert (again.question, again.remark, again.state) == (
        1,
        "repeat",
        State.BLOCKED,
    )
    assert (other.question, other.remark) == (2, "")
    assert [
        each.needs
        for each in bench.queue.views.show(lease.item).item.questions
    ] == ["left or right", "a key"]


def test_too_many_open_questions_are_refused(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(limits.OPEN_QUESTIONS):
        me.blocker(lease, f"Question {number}?")
    before = bench.everything()

    with pytest.raises(errors.TooMany) as refusal:
        me.blocker(lease, "One more?")

    assert f"worker wait {lease.item}" in refusal.value.hint()
    assert bench.everything() == before
    assert me.blocker(lease, "Question 3?").question == 4


@pytest.mark.parametrize("extra", [0, 1])
def test_open_questions_have_256_kib_at_most(bench: Bench, extra: int) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(3):
        me.blocker(lease, str(number) * limits.TEXT_BYTES)
    last = "4" * (limits.TEXT_BYTES - 1)
    before = bench.everything()

    if extra:
        with pytest.raises(errors.TooMany, match="262144 bytes") as refusal:
            me.blocker(lease, last, needs="ab")
        assert f"worker wait {lease.item}" in refusal.value.hint()
        assert bench.everything() == before
    else:
        assert me.blocker(lease, last, needs="a").question == 4


def test_oldest_question_is_listed_first(bench: Bench) -> None:
    first, second = asked(bench), asked(bench)
    bench.wait_for_next_ms()
    bench.agent().blocker(first, "Which key?")
    bench.queue.answer(first.item, "The left one.", question=1)

    found = open_in(bench.queue.views.questions())

    assert found == [(second.item, [1]), (first.item, [2])]
    assert open_in(bench.queue.views.questions(limit=1)) == found[:1]


def test_next_holder_sees_open_questions(bench: Bench) -> None:
    lease = asked(bench)
    bench.queue.assign(lease.item, "bob", force=True)

    claim = bench.agent("bob").claim()
    receipt = bench.agent("bob").withdraw(need_lease(claim))

    assert claim is not None
    assert [
        (each.number, each.agent) for each in claim.package.item.questions
    ] == [(1, "ada")]
    assert (receipt.state, receipt.open_questions) == (State.IN_PROGRESS, ())


# Waiting for answers ----------------------------------------------------------------


def test_wait_ends_with_the_last_answer(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench, "Which door?", "Which key?")
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(lease, timeout_s=LONG_S)
    )

    bench.queue.answer(lease.item, "The small one.", question=2)
    still = not waiter.done()
    bench.queue.answer(lease.item, "The left one.")

    answered = waiter.result(SOON_S)
    assert still
    assert [(each.question, each.text) for each in answered.answers] == [
        (2, "The small one."),
        (1, "The left one."),
    ]


def test_wait_for_one_question_ignores_others(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench, "Which door?", "Which key?")
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(
            lease, timeout_s=LONG_S, question=2
        )
    )

    bench.queue.answer(lease.item, "The small one.", question=2)

    answered = waiter.result(SOON_S)
    assert [each.text for each in answered.answers] == ["The small one."]
    assert answered.item.state is State.BLOCKED


def test_withdrawal_ends_a_wait(bench: Bench, waiters: Waiters) -> None:
    lease = asked(bench)
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(lease, timeout_s=LONG_S)
    )

    bench.agent().withdraw(lease)

    answered = waiter.result(SOON_S)
    assert (answered.answers, answered.unanswered) == ((), ())


def test_wait_for_a_question_never_asked_is_refused(bench: Bench) -> None:
    lease = asked(bench)

    with pytest.raises(errors.NoQuestion) as refusal:
        bench.agent().wait_for_answer(lease, timeout_s=LONG_S, question=2)

    assert (
        str(refusal.value) == f"{lease.item} has no question 2. It is blocked."
    )


# Earlier versions, and damage -------------------------------------------------------


def of_earlier_version(bench: Bench, *, state: State = State.BLOCKED) -> Lease:
    """Return the lease on an item whose question was stored as by version 0.1."""
    lease = asked(bench)
    if state is State.IN_PROGRESS:
        bench.agent().progress(lease, "I go on")
    raw, tag = cast("Any", bench.raw), keys.tag(bench.namespace)
    project = bench.queue.views.show(lease.item).item.project
    raw.hdel(f"{tag}item:{lease.item}", "asked", "open_questions", "questions")
    raw.hset(
        f"{tag}item:{lease.item}",
        mapping={"blocker": "Which door?", "needs": "left or right"},
    )
    raw.delete(f"{tag}questions", f"{tag}questions:{project}")
    return lease


def test_question_of_earlier_version_is_number_one(bench: Bench) -> None:
    lease = of_earlier_version(bench)
    project = bench.queue.views.show(lease.item).item.project

    (item,) = bench.queue.views.questions()
    waited = bench.queue.waits().until(project, [Goal.BLOCKED], timeout_s=0)
    (stuck,) = bench.queue.views.stuck().items
    answered = bench.queue.answer(lease.item, "The left one.", question=1)

    assert [
        (each.number, each.text, each.needs, each.agent)
        for each in item.questions
    ] == [(1, "Which door?", "left or right", "ada")]
    assert open_in(bench.queue.views.questions(project=project)) == []
    assert (waited.reached, stuck.why) == (Goal.BLOCKED, "blocked")
    assert (answered.state, answered.question) == (State.IN_PROGRESS, 1)
    assert bench.agent().blocker(lease, "Which key?").question == 2
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("Warum? ü€😀".encode(), "Warum? ü€😀"),
        (b"odd \x80\xff byte", "odd ?? byte"),
        (b"half \xed\xa0\x80", "half ???"),
    ],
)
def test_odd_bytes_of_earlier_question_become_text(
    bench: Bench, stored: bytes, text: str
) -> None:
    lease = of_earlier_version(bench)
    name = f"{keys.tag(bench.namespace)}item:{lease.item}"
    cast("Any", bench.raw).hset(name, "blocker", stored)

    bench.agent().blocker(lease, "Which key?")

    (item,) = bench.queue.views.questions()
    assert [each.text for each in item.questions] == [text, "Which key?"]


def test_next_question_follows_that_of_earlier_version(bench: Bench) -> None:
    lease = of_earlier_version(bench)

    receipt = bench.agent().blocker(lease, "Which key?")

    assert (receipt.question, receipt.open_questions) == (2, (1, 2))
    assert open_in(bench.queue.views.questions()) == [(lease.item, [1, 2])]


def test_next_step_lists_question_of_earlier_version(bench: Bench) -> None:
    lease = of_earlier_version(bench, state=State.IN_PROGRESS)

    receipt = bench.agent().renew(lease)

    assert receipt.open_questions == (1,)
    assert open_in(bench.queue.views.questions()) == [(lease.item, [1])]
    assert bench.inconsistencies() == []


def test_doctor_lists_question_that_an_index_lost(bench: Bench) -> None:
    lease = asked(bench)
    project = bench.queue.views.show(lease.item).item.project
    bench.delete_entry("questions", lease.item)

    found = bench.queue.audit(fix=True).findings

    assert [(each.id, each.word) for each in found] == [(lease.item, "index")]
    assert open_in(bench.queue.views.questions()) == [(lease.item, [1])]
    assert bench.queue.audit(fix=False).findings == ()
    assert bench.members(f"questions:{project}") == [lease.item]


@pytest.mark.parametrize("has_holder", [True, False])
def test_doctor_frees_item_that_lost_its_question(
    bench: Bench,
    has_holder: bool,  # noqa: FBT001
) -> None:
    lease = asked(bench)
    if not has_holder:
        bench.agent().release(lease, asks=True)
    raw, tag = cast("Any", bench.raw), keys.tag(bench.namespace)
    raw.hdel(f"{tag}item:{lease.item}", "open_questions", "questions")

    found = bench.queue.audit(fix=True).findings

    assert [each.word for each in found] == ["index", "state"]
    assert bench.state(lease.item) is (
        State.IN_PROGRESS if has_holder else State.QUEUED
    )
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    "value",
    [
        "x",
        "{}x",
        '{"1": "x"}',
        '["x"]',
        '[{"number": "1"}]',
        '[{"number": "x", "text": "", "needs": "", "agent": "a", "at": "1"}]',
        '[{"number": "1", "text": 1, "needs": "", "agent": "a", "at": "1"}]',
    ],
)
def test_damaged_questions_are_reported_by_name(
    bench: Bench, value: str
) -> None:
    lease = asked(bench)
    raw, tag = cast("Any", bench.raw), keys.tag(bench.namespace)
    raw.hset(f"{tag}item:{lease.item}", "questions", value)

    found = bench.queue.views.questions()

    assert found == ()
    assert list(bench.queue.damage) == [("item", lease.item)]
    assert bench.agent().progress(lease, "I go on").state is State.IN_PROGRESS


def test_stored_questions_are_text(bench: Bench) -> None:
    lease = asked(bench)
    raw, tag = cast("Any", bench.raw), keys.tag(bench.namespace)

    stored = json.loads(raw.hget(f"{tag}item:{lease.item}", "questions"))

    assert [set(map(type, each.values())) for each in stored] == [{str}]
