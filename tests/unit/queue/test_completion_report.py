"""The report of a completion: in the fields of its item, or in the stream of reports."""

from pathlib import Path

import pytest
from support import backups
from support.builders import Bench, need_lease
from support.waiters import SOON_S, Waiters
from taskorch.domain.item import Lease, Report
from taskorch.queue import keys
from taskorch.queue.wait_results import Goal
from taskorch_orchestrator.backup.restore import restore


def completed(bench: Bench, summary: str = "All done") -> str:
    """Return an item that ada claimed and completed, without another report."""
    lease = bench.claimed()
    bench.agent().complete(lease, summary, deliverables={"file": "a.sql"})
    return lease.item


def has_stream(bench: Bench, item: str) -> bool:
    return bool(bench.raw.exists(keys.reports(bench.namespace, item)))


def history(bench: Bench, item: str) -> tuple[Report, ...]:
    return bench.queue.views.show(item).history


def test_completion_alone_makes_no_stream(bench: Bench) -> None:
    item = completed(bench)

    (report,) = history(bench, item)

    assert not has_stream(bench, item)
    assert (report.kind, report.agent, report.text, report.percent) == (
        "complete",
        "ada",
        "All done",
        100,
    )
    assert (report.attempt, report.token) == (1, 1)
    assert report.at == bench.queue.views.show(item).item.completed_at


def test_every_view_shows_the_completion(bench: Bench) -> None:
    item = completed(bench)
    (report,) = history(bench, item)

    found = bench.queue.views.show(item).item
    progress = bench.queue.views.progress(found.project)
    (record,) = bench.queue.views.records([item])
    dependent = bench.item(depends_on=(item,))
    package = bench.agent().get(Lease(item=dependent)).package

    assert progress.last_reports == {item: report}
    assert record.reports == (report,)
    assert bench.queue.waits().standing(item).report == report.id
    assert [each.summary for each in package.dependencies] == ["All done"]
    timeline = bench.queue.views.timeline(item).timeline
    assert report in [entry.report for entry in timeline]


def test_completion_after_reports_follows_them(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "Half of it", percent=50)

    bench.agent().complete(lease, "All of it")

    assert [report.text for report in history(bench, lease.item)] == [
        "Half of it",
        "All of it",
    ]


def test_next_report_keeps_the_completion(bench: Bench) -> None:
    item = completed(bench)
    (report,) = history(bench, item)

    bench.queue.requeue(item, reason="One more table")
    bench.agent().complete(bench.claimed(item), "With one more")

    first, requeued, last = history(bench, item)
    assert first == report
    assert (requeued.kind, requeued.text) == ("requeue", "One more table")
    assert (last.kind, last.text) == ("complete", "With one more")


def test_damaged_completion_time_stops_no_requeue(bench: Bench) -> None:
    item = completed(bench)
    bench.raw.hset(
        f"{keys.tag(bench.namespace)}item:{item}", "completed_at", "soon"
    )

    bench.queue.requeue(item)

    assert [report.kind for report in history(bench, item)] == [
        "complete",
        "requeue",
    ]


def test_completion_ends_a_wait_without_reports(
    bench: Bench, waiters: Waiters
) -> None:
    lease = bench.claimed()
    waiting = waiters.until(lease.item, Goal.COMPLETED)

    bench.agent().complete(lease, "Done")

    assert waiting.result(SOON_S).reached is Goal.COMPLETED


def test_waiters_of_item_do_not_wake_each_other(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.waits().until(lease.item, [Goal.COMPLETED], timeout_s=0)
    stream = keys.reports(bench.namespace, lease.item)
    before = bench.raw.xinfo_stream(stream)["last-generated-id"]

    bench.wait_for_next_ms()
    bench.queue.waits().until(lease.item, [Goal.COMPLETED], timeout_s=0)

    after = bench.raw.xinfo_stream(stream)["last-generated-id"]
    assert after == before


def test_export_and_import_keep_the_completion(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    item = completed(bench)
    before = history(bench, item)

    backups.export_lines(bench, tmp_path / "export.jsonl")
    restore(tmp_path / "export.jsonl", copy.queue.backup)

    assert history(copy, item) == before


@pytest.mark.one_lane
def test_item_view_hides_who_completed_it(bench: Bench) -> None:
    """The call that completes an item may have claimed the next one."""
    first, second = bench.item(), bench.item()
    lease = bench.claimed(first)
    following = bench.agent().complete(lease, "Done", next=True).next
    assert following

    shown = bench.queue._scripts.run_script("show", first)

    assert following.package.item.id == second
    assert need_lease(following).claim not in str(shown)
