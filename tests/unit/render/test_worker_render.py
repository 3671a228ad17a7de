"""Items and receipts as `worker` prints them."""

from collections.abc import Callable

import pytest
from support.builders import Bench
from taskorch.cli.quoting import NOTICE
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import HOUR_MS, Lease
from taskorch_worker.render import items


def requeue(bench: Bench, lease: Lease) -> None:
    bench.agent().fail(lease, "gave up", retry=False)
    bench.queue.requeue(lease.item)


def expire(bench: Bench, lease: Lease) -> None:
    bench.expire_lease(lease.item)
    bench.queue.reap()
    bench.end_delay(lease.item)


ENDS: dict[str, Callable[[Bench, Lease], object]] = {
    "release": lambda bench, lease: bench.agent().release(
        lease, reason="not my field"
    ),
    "requeue": requeue,
    "forced assignment": lambda bench, lease: bench.queue.assign(
        lease.item, "ada", force=True
    ),
    "expired lease": expire,
}


@pytest.mark.parametrize("end", ENDS)
def test_next_attempt_sees_last_reports(bench: Bench, end: str) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "half done, see the branch")
    ENDS[end](bench, lease)

    screen = items.claim(
        bench.agent(session="next").get(Lease(item=lease.item))
    )

    assert "Earlier attempts:" in screen
    assert "attempt 1: progress by ada: half done, see the branch" in screen


def test_holder_sees_reports_of_own_attempt(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "mine", percent=10)

    screen = items.claim(bench.agent().get(lease))

    assert "Earlier attempts" not in screen
    assert (
        "Reports of this attempt:\n  - progress 10% by ada: mine\n" in screen
    )


def test_each_earlier_attempt_has_number_and_end(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    for number in (1, 2):
        lease = bench.claimed(item)
        ada.progress(lease, f"early {number}")
        ada.progress(lease, f"late {number}")
        ada.fail(lease, f"why {number}")
        bench.end_delay(item)
        bench.queue.reap()
    ada.release(bench.claimed(item))
    lease = bench.claimed(item)
    ada.progress(lease, "now")

    screen = items.claim(ada.get(lease))

    assert (
        "Earlier attempts:\n"
        "  - attempt 1: progress by ada: late 1\n"
        "  - attempt 1: fail by ada: why 1\n"
        "  - attempt 2: progress by ada: late 2\n"
        "  - attempt 2: fail by ada: why 2\n"
        "  - attempt 3: release by ada\n"
        "Reports of this attempt:\n"
        "  - progress by ada: now\n"
    ) in screen


def test_many_attempts_and_reports_are_counted(bench: Bench) -> None:
    item, ada = bench.item(), bench.agent()
    for _ in range(7):
        ada.release(bench.claimed(item))
    lease = bench.claimed(item)
    for number in range(12):
        ada.progress(lease, f"report {number}")

    screen = items.claim(ada.get(lease))

    assert screen.count("attempt 1: release by ada") == 5
    more = f"more before: worker --json get {item} --peek\n"
    assert f"Earlier attempts:\n  - … 2 {more}" in screen
    assert f"Reports of this attempt:\n  - … 2 {more}" in screen
    assert "report 1\n" not in screen
    assert "report 2\n" in screen


def test_holder_sees_reason_of_cancellation(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item, reason="changed my mind")

    with pytest.raises(
        errors.Cancelled, match="was cancelled: changed my mind"
    ):
        bench.agent().progress(lease, "still at it")


def test_reason_ends_with_one_full_stop(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.complete_project(
        bench.queue.views.show(lease.item).item.project, force=True
    )

    with pytest.raises(
        errors.Cancelled, match=r"was cancelled: The project was completed\.$"
    ):
        bench.agent().progress(lease, "still at it")


def test_check_lists_held_and_queued_items_apart(bench: Bench) -> None:
    project = bench.project()
    held = bench.item(project, title="Begun", priority=1)
    queued = bench.item(project, title="Not begun", priority=3)
    bench.agent().progress(Lease(item=held), "at it", percent=40)

    screen = items.assignments(bench.agent().check(), {held})

    assert screen.splitlines() == [
        "You have 2 assigned work items:",
        f"  - {held}",
        f"  - {queued}",
        "You hold:",
        f"  - {held} (priority 1, in_progress, 40%, claimed just now, held by another session) Begun",
        "In your queue:",
        f"  - {queued} (priority 3, assigned just now) Not begun",
        NOTICE,
    ]


def test_check_shows_age_of_assignment(bench: Bench) -> None:
    item = bench.item()
    assigned = bench.agent().check()
    later = replace(assigned, at=assigned.at + 3 * HOUR_MS)

    screen = items.assignments(later, ())

    assert f"  - {item} (priority 2, assigned 3 h ago) An item" in screen


def test_title_in_check_forges_no_line(bench: Bench) -> None:
    bench.item(title="A\n  - item_00000000\x1b[2J" + "x" * 200)

    screen = items.assignments(bench.agent().check(), ())

    assert screen.count("\n  - ") == 2
    assert "\x1b" not in screen
    assert "more characters]" in screen


def test_check_without_items_prints_one_line(bench: Bench) -> None:
    screen = items.assignments(bench.agent().check(), ())

    assert screen == "You have 0 assigned work items."


def test_progress_says_recorded_percentage(bench: Bench) -> None:
    ada, lease = bench.agent(), bench.claimed()

    unknown = items.receipt(ada.progress(lease, "begun"))
    recorded = items.receipt(ada.progress(lease, "half", percent=50))
    kept = items.receipt(ada.progress(lease, "and on"))

    assert unknown.startswith(f"{lease.item} is in progress, yours until 20")
    assert recorded.startswith(f"{lease.item} is in progress, 50%, yours ")
    assert kept.startswith(f"{lease.item} is in progress, 50%, yours ")


def test_discover_says_that_finding_is_shared(bench: Bench) -> None:
    lease = bench.claimed()

    screen = items.discovered(bench.agent().discover(lease, "It rains"))

    assert screen.splitlines()[0] == "Shared with the project."
    assert screen.splitlines()[1].startswith(f"{lease.item} is in progress")
