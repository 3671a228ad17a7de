"""The timeline of an item as the board shows it."""

import re

import pytest
from support.builders import Bench
from taskorch.domain.item import ItemEdit, Report
from taskorch.domain.timeline import TimelineEntry
from taskorch_gateway.board import pages
from taskorch_gateway.board.item_timeline import (
    BEFORE,
    EARLIER,
    PLAIN,
    WORDS,
    attempts,
    shown_text,
)

KINDS = sorted({*PLAIN, *WORDS})


def entry(kind: str, at: int = 0, **fields: object) -> TimelineEntry:
    values: dict[str, object] = {"attempt": 0, "token": 0, **fields}
    report = Report(id="", at=at, kind=kind, agent="ada", **values)  # type: ignore[arg-type]
    return TimelineEntry(report=report)


def test_attempts_are_newest_first(bench: Bench) -> None:
    lease = bench.claimed()
    ada = bench.agent()
    ada.progress(lease, "begun", percent=10)
    ada.release(lease, reason="lunch")
    again = bench.claimed(lease.item)
    ada.discover(again, "It rains", impact="take a coat")
    bench.queue.edit([lease.item], ItemEdit(priority=0))

    shown = attempts(bench.queue.views.timeline(lease.item).timeline)

    newest, first, before = shown
    assert re.fullmatch(r"Attempt 1( · .+)?", newest.label)
    assert before.label == BEFORE
    assert [step.what for step in before.steps] == [
        "Assigned to ada by planner",
        "Created by planner",
    ]
    assert [step.what for step in first.steps[:2]] == [
        "Released by ada",
        "10%",
    ]
    assert first.steps[-1].what.startswith("Claimed by ada")
    # both may have happened in the same millisecond
    edited, discovered = sorted(
        newest.steps[:2], key=lambda step: not step.changes
    )
    assert edited.changes[0].after == "0"
    assert discovered.what == "Discovered by ada"
    assert [quote.label for quote in discovered.quotes] == ["", "Impact"]


def test_questions_and_answers_have_numbers(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?", needs="a date")
    bench.queue.answer(lease.item, "May")

    newest, *_ = attempts(bench.queue.views.timeline(lease.item).timeline)

    answer, question = newest.steps[:2]
    assert question.what == "Question 1 by ada"
    assert question.quotes[1].shown.text == "a date"
    assert answer.what == "Answer to question 1 by planner"
    assert answer.closes == 1


def test_comments_of_both_sides_name_their_author(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.comment(lease.item, "Mind the gap")
    bench.agent().comment(lease, "I do")

    newest, *_ = attempts(bench.queue.views.timeline(lease.item).timeline)

    own, other = newest.steps[:2]
    assert (own.what, own.quotes[0].shown.text) == ("Comment by ada", "I do")
    assert other.what == "Comment by planner"


@pytest.mark.parametrize("kind", [*KINDS, "unheard_of"])
def test_every_kind_has_a_shape(kind: str) -> None:
    (attempt,) = attempts([entry(kind, token=1)])

    (step,) = attempt.steps
    assert step.what
    assert f'id="g-{step.glyph}"' in pages.render("sprite.html", {})


def test_older_steps_have_a_heading() -> None:
    (attempt,) = attempts([entry("discover", 1), entry("assign", 2)])

    assert attempt.label == EARLIER


@pytest.mark.parametrize("text", ["word " * 200, "line\n" * 20])
def test_long_text_is_folded(text: str) -> None:
    shown = shown_text(text)

    assert shown.text == text.rstrip("\n")
    assert 0 < len(shown.head) < 200


def test_short_text_is_shown_whole() -> None:
    assert shown_text("Two\nlines\n").text == "Two\nlines"
    assert shown_text("Two\nlines\n").head == ""
