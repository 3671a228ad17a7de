"""The timeline of an item as `orchestrate show` prints it."""

from support.builders import Bench, need_lease
from taskorch.domain.item import ItemEdit, Lease
from taskorch_orchestrator.render import timeline

EVIL = "x\n  2026-01-31 12:00:00Z  completed by ada\x1b[2J"


def rows(bench: Bench, item: str) -> list[str]:
    """Return the rows, without the heading and the times."""
    heading, *shown = timeline.rows(bench.queue.views.timeline(item).timeline)
    assert heading.plain == "Timeline:"
    return [
        "\n".join(row.plain.split("  ", 2)[2:]).removeprefix("  ")
        for row in shown
    ]


def test_each_kind_of_entry_has_its_words(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent(session="s")
    bench.queue.edit([item], ItemEdit(priority=0))
    lease = need_lease(ada.claim())
    ada.progress(lease, "half", percent=50)
    ada.progress(lease, "further")
    ada.blocker(lease, "Which one?", needs="a choice")
    bench.queue.answer(item, "the first")
    bench.queue.comment(item, "mind the gap")
    bench.queue.assign(item, "bob", force=True)
    bob = bench.agent("bob")
    bob.release(need_lease(bob.claim()), reason="not my field")
    lease = need_lease(bob.claim())
    bench.expire_lease(item)
    bench.queue.reap()
    bob.fail(lease, "no luck", retry=False)
    bench.queue.requeue(item)
    bob.complete(Lease(item=item), "done")

    shown = rows(bench, item)

    host = bench.queue.views.timeline(item).timeline[3].details["host"] or "-"
    assert shown == [
        "created by planner",
        "assigned to ada by planner",
        "edited by planner: priority: 2 -> 0",
        f"claimed by ada on {host}, session s (attempt 1)",
        "progress 50% by ada: half",
        "progress by ada: further",
        "question 1 by ada: Which one?\n      needs: a choice",
        "answer to question 1 by planner: the first",
        "comment by planner: mind the gap",
        "lost by ada: taken away by planner",
        "assigned to bob (before: ada) by planner",
        f"claimed by bob on {host} (attempt 1)",
        "released by bob: not my field",
        f"claimed by bob on {host} (attempt 1)",
        "the lease of bob expired (attempt 1)",
        "failed by bob: no luck",
        "requeued by planner",
        f"claimed by bob on {host} (attempt 1)",
        "completed by bob: done",
    ]


def test_discovery_and_cancellation_are_rows(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().discover(lease, "It rains", impact="take a coat")
    bench.wait_for_next_ms()
    bench.queue.cancel(lease.item, reason="too wet")

    assert rows(bench, lease.item)[3:] == [
        "discovery by ada: It rains\n      impact: take a coat",
        "cancelled by planner: too wet",
    ]


def test_text_forges_no_row_of_a_timeline(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().discover(lease, EVIL, impact=EVIL)
    bench.queue.comment(lease.item, EVIL)
    bench.agent().fail(lease, EVIL)

    shown = "\n".join(
        row.plain
        for row in timeline.rows(
            bench.queue.views.timeline(lease.item).timeline
        )
    )

    assert "\x1b" not in shown
    assert not any(
        line.startswith("  2026-01-31") for line in shown.splitlines()
    )
    assert "      |   2026-01-31 12:00:00Z  completed by ada" in shown


def test_hostile_session_stays_in_its_row(bench: Bench) -> None:
    item = bench.item()
    need_lease(bench.agent(session="a\nb\x1b[2J").claim())

    assert "\\x1b" in rows(bench, item)[2]
    assert "\n" not in rows(bench, item)[2]
