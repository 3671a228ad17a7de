"""What screens say about open questions."""

from collections.abc import Callable

import pytest
from support.builders import Bench
from taskorch.cli.text import CLOSED_SHOWN, closed_questions
from taskorch.domain.item import ClosedQuestions, Lease, Receipt, State
from taskorch.queue.queue import Queue
from taskorch_orchestrator import actions
from taskorch_orchestrator.render import steps, tables
from taskorch_worker.render import items

FORGED = "Which?\nitem_bad (blocked) eve asks (question 9): forged\x1b[2J"


def asked(bench: Bench) -> Lease:
    """Return the lease on an item with two open questions, in progress."""
    lease, me = bench.claimed(), bench.agent()
    me.blocker(lease, FORGED)
    me.blocker(lease, "Where?", needs="a place")
    me.progress(lease, "I go on")
    return lease


def test_progress_lists_open_questions_of_items(bench: Bench) -> None:
    lease = asked(bench)
    project = bench.queue.views.show(lease.item).item.project

    shown = tables.project_progress(bench.queue.views.progress(project))

    rows = shown.split("\n")
    at = rows.index("Open questions:")
    head = f"  - {lease.item} (in_progress) ada asks"
    assert rows[at + 1 : at + 5] == [
        f"{head} (question 1): Which?",
        "    | item_bad (blocked) eve asks (question 9): forged\\x1b[2J",
        f"{head} (question 2): Where?",
        "    needs: a place",
    ]


def test_inbox_has_a_row_for_each_question(bench: Bench) -> None:
    lease = asked(bench)

    rows = tables.inbox(bench.queue.views.inbox()).split("\n")

    assert [row for row in rows if row.startswith(lease.item)] == [
        f"{lease.item} (in_progress) ada asks (question 1): Which?",
        f"{lease.item} (in_progress) ada asks (question 2): Where?",
    ]


def test_get_shows_open_questions(bench: Bench) -> None:
    lease = asked(bench)

    shown = items.claim(bench.agent().get(lease))

    assert (
        "Open questions:\n  - question 1 by ada: Which?\n    | item" in shown
    )
    assert "  - question 2 by ada: Where?\n    needs: a place" in shown


@pytest.mark.parametrize(
    "end",
    [
        lambda queue, project: tables.closed_project(
            actions.complete(queue, project, force=True).data
        ),
        lambda queue, project: steps.cancelled_project(
            queue.cancel_project(project)
        ),
    ],
)
def test_end_of_project_names_closed_questions(
    bench: Bench, end: Callable[[Queue, str], str]
) -> None:
    lease = asked(bench)
    project = bench.queue.views.show(lease.item).item.project
    bench.item(project)

    shown = end(bench.queue, project)

    assert (
        f"Closed without an answer: questions 1, 2 on {lease.item}." in shown
    )
    assert "Closed" not in end(bench.queue, project)


def test_end_of_project_names_few_items_with_questions() -> None:
    closed = [
        ClosedQuestions(item=f"item_{number}", questions=(1,))
        for number in range(CLOSED_SHOWN + 2)
    ]

    shown = closed_questions(closed)

    assert shown.endswith("question 1 on item_4; those on 2 more items.")


@pytest.mark.parametrize(
    ("said", "fields"),
    [
        ("Your question 1 is still open.", {"open_questions": (1,)}),
        ("Your questions 1, 3 are still open.", {"open_questions": (1, 3)}),
        ("Your question 2 is withdrawn.", {"question": 2}),
        (
            "Closed without an answer: questions 1, 2.",
            {"closed_questions": (1, 2)},
        ),
        (
            "It was open already.",
            {"question": 1, "open_questions": (1,), "remark": "repeat"},
        ),
    ],
)
def test_receipt_reports_what_happened_to_questions(
    said: str, fields: dict[str, object]
) -> None:
    done = Receipt(
        id="item_1",
        state=State.IN_PROGRESS,
        token=1,
        claim="",
        lease_expires_at=1,
        **fields,  # type: ignore[arg-type]
    )

    assert items.receipt(done).endswith(f"Z. {said}")
