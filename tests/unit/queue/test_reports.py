"""Reports, discoveries, notes, blockers and answers, and who can read them."""

import json

import pytest
from support.builders import Bench, need_lease
from taskorch.domain import errors
from taskorch.domain.item import Lease, State

ODD = {
    "newlines": "one\ntwo\rthree\n",
    "quotes": """it's a "quote" and a \\ backslash, {"json": ['too']} \\n \\u0041""",
    "emoji": "done 🎉 👩‍👩‍👧 é e\u0301",
    "control bytes": "a\x01b\x1b[31mred\x07\x08\x7f\x85",
    "right to left": "שלום \u202eabc\u202c مرحبا",
    "separators": "\u2028\u2029\ufeff\ufffe",
    "not trimmed": "  \t text \t ",
    "a number": "-0012.50",
    "64 KiB": "é" * (32 * 1024),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_in_an_item_is_unchanged(bench: Bench, text: str) -> None:
    project = bench.queue.project(text[:500], description=text)
    listed = (text, "plain", text)

    item = bench.item(
        project,
        title=text[:500],
        description=text,
        requirements=listed,
        context={text: text, "k": text},
        resources=listed,
        deliverables_expected=listed,
        criteria=listed,
        key=text,
    )

    package = bench.queue.views.show(item)
    assert (
        package.project_context.title,
        package.project_context.description,
    ) == (
        text[:500],
        text,
    )
    assert (package.item.title, package.item.description) == (text[:500], text)
    assert package.item.context == {text: text, "k": text}
    assert (package.item.requirements, package.item.resources) == (
        listed,
        listed,
    )
    assert (package.item.deliverables_expected, package.item.criteria) == (
        listed,
        listed,
    )
    assert bench.item(project, key=text) == item


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_in_reports_is_unchanged(bench: Bench, text: str) -> None:
    lease, me = bench.claimed(), bench.agent()

    me.progress(lease, text)
    me.discover(lease, text, impact=text)
    me.note(lease.item, text)
    me.blocker(lease, text, needs=text)
    asked = bench.queue.views.show(lease.item).item
    bench.queue.answer(lease.item, text)
    me.complete(lease, text, deliverables={text: text})

    package = bench.queue.views.show(lease.item)
    (discovery,) = bench.queue.views.discoveries(
        package.project_context.id
    ).discoveries
    assert [report.text for report in package.history] == [text] * 4
    (question,) = asked.questions
    assert (package.history[1].needs, question.text, question.needs) == (
        text,
        text,
        text,
    )
    assert (discovery.text, discovery.impact) == (text, text)
    assert [note.text for note in me.notes(lease.item)] == [text]
    assert (package.item.summary, package.item.deliverables) == (
        text,
        {text: text},
    )


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_odd_text_in_reasons_and_assignments_is_unchanged(
    bench: Bench, text: str
) -> None:
    item = bench.item(context={"first": text}, resources=("first",))

    bench.agent().release(need_lease(bench.agent().claim()), reason=text)
    bench.queue.assign(item, "ada", context={text: text}, resources=[text])
    bench.agent().fail(need_lease(bench.agent().claim()), text)
    bench.queue.cancel(item, reason=text)

    package = bench.queue.views.show(item)
    assert [(report.kind, report.text) for report in package.history] == [
        ("release", text),
        ("fail", text),
        ("cancel", text),
    ]
    assert package.item.context == {"first": text, text: text}
    assert package.item.resources == ("first", text)


def test_events_have_ids_and_names_only(bench: Bench) -> None:
    secret = "SECRET"
    project = bench.queue.project(secret, description=secret)
    item = bench.item(
        project,
        title=secret,
        description=secret,
        context={secret: secret},
        requirements=(secret,),
    )
    lease, me = need_lease(bench.agent().claim()), bench.agent()

    me.progress(lease, secret)
    me.discover(lease, secret, impact=secret)
    me.note(item, secret)
    me.blocker(lease, secret, needs=secret)
    bench.queue.answer(item, secret)
    bench.queue.assign(
        item, "ada", context={secret: secret}, resources=[secret]
    )
    me.release(lease, reason=secret)
    me.fail(need_lease(me.claim()), secret)
    bench.queue.cancel(item, reason=secret)
    bench.queue.requeue(item)
    me.complete(Lease(item=item), secret, deliverables={secret: secret})

    assert secret not in json.dumps(bench.events())
    assert {tuple(event) for event in bench.events()} == {
        ("verb", "item", "project", "agent", "state")
    }


def test_stored_replies_have_no_text(bench: Bench) -> None:
    secret = "SECRET"
    item = bench.item(title=secret)

    bench.agent().progress(need_lease(bench.agent().claim()), secret)
    bench.agent().complete(
        bench.agent().get(Lease(item=item), takeover=True).lease
        or Lease(item=item),
        secret,
    )

    assert bench.kept_replies()
    assert secret not in json.dumps(bench.kept_replies())


def test_history_has_agent_text_and_attempt(bench: Bench) -> None:
    item = bench.item()
    first = need_lease(bench.agent().claim())
    bench.agent().progress(first, "begun", percent=10)
    bench.agent().fail(first, "broken")
    bench.end_delay(item)
    second = need_lease(bench.agent().claim())
    bench.agent().blocker(second, "Which?", needs="a word")
    bench.queue.answer(item, "That.")
    bench.agent().complete(second, "done")

    history = bench.queue.views.show(item).history

    assert [
        (report.kind, report.agent, report.attempt, report.text)
        for report in history
    ] == [
        ("progress", "ada", 1, "begun"),
        ("fail", "ada", 1, "broken"),
        ("blocker", "ada", 2, "Which?"),
        ("answer", "planner", 2, "That."),
        ("complete", "ada", 2, "done"),
    ]
    assert [report.percent for report in history] == [
        10,
        None,
        None,
        None,
        100,
    ]
    assert history[2].needs == "a word"
    assert [report.at for report in history] == sorted(
        report.at for report in history
    )


def test_percentage_is_the_last_reported(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().progress(lease, "some", percent=40)
    bench.agent().progress(lease, "more")

    assert bench.queue.views.show(lease.item).item.percent == 40


def test_project_progress_has_last_report_of_each_item(
    bench: Bench,
) -> None:
    project = bench.project()
    silent, loud = bench.item(project), bench.item(project)
    lease = bench.claimed(loud)
    bench.agent().progress(lease, "first")
    bench.agent().progress(lease, "last", percent=70)

    progress = bench.queue.views.progress(project)

    assert [item.id for item in progress.items] == [silent, loud]
    assert {
        item: report.text for item, report in progress.last_reports.items()
    } == {loud: "last"}
    assert (
        progress.project.counts[State.QUEUED]
        == progress.project.counts[State.IN_PROGRESS]
        == 1
    )
    assert [
        item.id for item in bench.queue.views.progress(project, limit=1).items
    ] == [silent]


def test_discoveries_are_oldest_first_with_their_origin(bench: Bench) -> None:
    project = bench.project()
    ada, bob = bench.item(project), bench.item(project, agent="bob")

    first = bench.agent().discover(
        Lease(item=ada), "It rains", impact="Take a coat"
    )
    second = bench.agent("bob").discover(Lease(item=bob), "It pours")

    assert [
        (found.cursor, found.item, found.agent, found.text, found.impact)
        for found in bench.queue.views.discoveries(project).discoveries
    ] == [
        (first.entry, ada, "ada", "It rains", "Take a coat"),
        (second.entry, bob, "bob", "It pours", ""),
    ]


def test_cursor_continues_after_last_page_of_discoveries(
    bench: Bench,
) -> None:
    lease = bench.claimed()
    project = bench.queue.views.show(lease.item).project_context.id
    for number in range(7):
        bench.agent().discover(lease, f"finding {number}")
    pages, cursor = [], "0-0"

    for _ in range(3):
        page = bench.queue.views.discoveries(project, since=cursor, limit=3)
        pages.append([found.text for found in page.discoveries])
        cursor = page.cursor
    bench.agent().discover(lease, "a new one")

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [text for page in pages for text in page] == [
        f"finding {number}" for number in range(7)
    ]
    assert [
        found.text
        for found in bench.queue.views.discoveries(
            project, since=cursor
        ).discoveries
    ] == ["a new one"]


def test_discoveries_stay_within_their_project(bench: Bench) -> None:
    bench.agent().discover(bench.claimed(), "not here")

    page = bench.queue.views.discoveries(bench.project())
    assert page.discoveries == ()


def test_notes_are_private_to_their_agent(bench: Bench) -> None:
    item = bench.item()
    bench.agent().note(item, "ada's first")
    bench.agent(session="second").note(item, "ada's second")
    bench.queue.assign(item, "bob")
    bench.agent("bob").note(item, "bob's")

    ada, bob, eve = (
        bench.agent(name).notes(item) for name in ("ada", "bob", "eve")
    )

    assert [note.text for note in ada] == ["ada's first", "ada's second"]
    assert [note.text for note in bob] == ["bob's"]
    assert eve == ()


def test_notes_are_in_no_view_of_others(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().note(lease.item, "SECRET")

    shown = (
        bench.queue.views.show(lease.item),
        bench.queue.views.progress(bench.queue.views.projects()[0].id),
    )
    assert "SECRET" not in repr(shown)
    assert "SECRET" not in json.dumps(bench.events())


def test_note_does_not_renew_the_lease(bench: Bench) -> None:
    item = bench.item()

    bench.agent().note(item, "for later")

    assert bench.state(item) is State.QUEUED
    assert [event["verb"] for event in bench.events()] == ["project", "create"]


def test_blocker_is_in_inbox_until_answered(bench: Bench) -> None:
    first, second = bench.claimed(), bench.claimed()
    bench.agent().blocker(first, "Which door?", needs="left or right")
    bench.wait_for_next_ms()
    bench.agent().blocker(second, "Which key?")

    before = bench.queue.views.inbox()
    bench.queue.answer(first.item, "The left one.")

    assert [
        (item.id, question.text, question.needs)
        for item in before
        for question in item.questions
    ] == [
        (first.item, "Which door?", "left or right"),
        (second.item, "Which key?", ""),
    ]
    assert [item.id for item in bench.queue.views.inbox()] == [second.item]


def asked_and_left(bench: Bench) -> Lease:
    """Return the lease of a holder that asked and left."""
    lease = bench.claimed(bench.item(max_attempts=1))
    bench.agent().blocker(lease, "Which door?")
    bench.agent().release(lease, asks=True)
    return lease


def test_answer_requeues_item_whose_holder_left(bench: Bench) -> None:
    lease = asked_and_left(bench)

    before = [
        (item.id, [question.text for question in item.questions], item.state)
        for item in bench.queue.views.inbox()
    ]
    bench.queue.answer(lease.item, "The left one.")
    claim = bench.agent("ada", session="second").claim()

    assert before == [(lease.item, ["Which door?"], State.BLOCKED)]
    assert need_lease(claim).item == lease.item
    assert claim
    assert (claim.package.item.attempts, claim.package.history[-1].text) == (
        1,
        "The left one.",
    )
    assert bench.inconsistencies() == []


def test_agent_that_left_a_question_loses_its_lease(bench: Bench) -> None:
    lease = asked_and_left(bench)

    with pytest.raises(errors.LeaseLost):
        bench.agent().progress(lease, "I go on all the same.")

    assert bench.state(lease.item) is State.BLOCKED


def test_item_with_left_question_has_no_holder(bench: Bench) -> None:
    lease = asked_and_left(bench)
    second = bench.agent("ada", session="second")

    taken = second.get(Lease(item=lease.item), takeover=True)
    with pytest.raises(errors.WrongState) as refusal:
        second.progress(Lease(item=lease.item), "Mine now?")
    agent = next(
        agent for agent in bench.queue.views.agents() if agent.name == "ada"
    )

    assert (taken.lease, taken.package.item.holder) == (None, None)
    assert "returns it to your queue" in refusal.value.hint()
    assert (
        agent.holds,
        agent.more,
        second.check().items,
        second.check().later,
    ) == (
        (),
        0,
        (),
        1,
    )
    assert bench.queue.views.show(lease.item).item.attempts == 1
    assert bench.inconsistencies() == []


def test_release_after_answer_queues_item_immediately(
    bench: Bench,
) -> None:
    lease = bench.lease_in(State.BLOCKED)
    bench.queue.answer(lease.item, "The left one.")

    receipt = bench.agent().release(lease, asks=True)

    assert receipt.state is State.QUEUED
    assert bench.queue.views.show(lease.item).item.attempts == 0


@pytest.mark.parametrize("way_on", ["cancel", "assign"])
def test_item_with_left_question_can_be_reassigned(
    bench: Bench, way_on: str
) -> None:
    lease = asked_and_left(bench)

    if way_on == "cancel":
        bench.queue.cancel(lease.item)
    else:
        bench.queue.assign(lease.item, "bob")

    view = bench.queue.views.show(lease.item).item
    assert (view.state, view.attempts) == (
        (State.CANCELLED, 1) if way_on == "cancel" else (State.QUEUED, 0)
    )
    still_open = [item.id for item in bench.queue.views.inbox()]
    assert still_open == ([] if way_on == "cancel" else [lease.item])
    assert bench.inconsistencies() == []
