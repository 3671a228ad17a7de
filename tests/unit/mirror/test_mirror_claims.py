"""Claims of file-based workers: the first report on an item that no other agent has."""

import pytest
from support.mirrors import (
    Root,
    completion,
    discovery,
    progress,
    published_item,
    update,
)
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, State

DONE = "✅ Work completed"


@pytest.fixture
def item(root: Root) -> str:
    return published_item(root)


def test_first_report_claims_and_later_reports_renew(
    root: Root, item: str
) -> None:
    ada = root.worker()

    ada.progress(item, "begun")
    root.sync()
    first = root.bench.queue.views.show(item).item
    root.bench.shorten_lease(item, left_ms=60_000)
    ada.progress(item, "on it")
    root.sync()

    second = root.bench.queue.views.show(item).item
    assert (first.state, second.state) == (
        State.IN_PROGRESS,
        State.IN_PROGRESS,
    )
    assert (first.token, second.token, second.attempts) == (1, 1, 1)
    assert second.lease_expires_at - root.bench.now_ms() > 3_600_000


def test_worker_continues_after_its_lease_expired(
    root: Root, item: str
) -> None:
    ada = root.worker()
    ada.progress(item, "begun")
    root.sync()
    root.bench.expire_lease(item)
    root.bench.queue.reap()
    root.sync()

    ada.complete(item, "done")
    root.sync()

    assert root.bench.state(item) is State.COMPLETED
    assert ("complete", "done") in root.history(item)


def test_report_of_other_agent_changes_only_history(
    root: Root, item: str
) -> None:
    before = root.bench.queue.views.show(item).item

    root.put(
        item, "progress", progress(item, update("mine", 50), agent="carl")
    )
    root.put(item, "discoveries", [discovery(item, "found", agent="carl")])
    root.put(item, "completion", completion(item, "done", agent="carl"))
    root.sync()
    root.sync()

    assert sorted(root.history(item)) == [
        ("stray", "done"),
        ("stray", "found"),
        ("stray", "mine"),
    ]
    after = root.bench.queue.views.show(item).item
    assert after == replace(before, changed_at=after.changed_at)
    assert root.discoveries(item) == []
    assert root.updates(item) == ["mine"]
    assert not root.file(item, "completion").exists()
    assert any(
        "completion" in name and name.endswith(".kept")
        for name in root.hidden_files()
    )


def test_report_after_lost_claim_changes_only_history(
    root: Root, item: str
) -> None:
    root.worker().progress(item, "begun")
    root.sync()
    root.bench.queue.assign(item, "bob", force=True)
    root.bench.claimed(item, agent="bob")
    before = root.bench.queue.views.show(item).item

    root.worker().complete(item, "too late")
    root.sync()

    assert ("stray", "too late") in root.history(item)
    after = root.bench.queue.views.show(item).item
    assert after == replace(before, changed_at=after.changed_at)


def test_holder_in_other_session_keeps_item(root: Root, item: str) -> None:
    lease = root.bench.claimed(item)

    root.worker().progress(item, "I am ada, too")
    root.sync()

    assert root.history(item) == [("stray", "I am ada, too")]
    assert root.bench.agent().complete(lease, "done").state is State.COMPLETED


def test_report_after_reassignment_is_of_new_agent(
    root: Root, item: str
) -> None:
    root.worker("ada").progress(item, "by ada")
    root.sync()
    root.bench.queue.assign(item, "bob", force=True)
    stale = root.document(item, "progress")
    root.sync()

    stale["updates"].append(update("by ada, who does not know"))
    root.put(item, "progress", stale)
    root.sync()
    root.worker("bob").progress(item, "by bob")
    root.sync()

    assert [
        (report.kind, report.agent, report.text)
        for report in root.reports(item)
    ] == [
        ("progress", "ada", "by ada"),
        ("lost", "ada", "taken away by planner"),
        ("assign", "planner", ""),
        ("stray", "ada", "by ada, who does not know"),
        ("progress", "bob", "by bob"),
    ]


def test_second_completion_does_not_replace_first(
    root: Root, item: str
) -> None:
    root.worker().complete(item, "first")
    root.sync()

    root.worker().complete(item, "second")
    root.sync()

    assert root.bench.queue.views.show(item).item.summary == "first"
    assert root.document(item, "completion")["summary"] == "first"
    assert ("stray", "second") in root.history(item)
    assert any(name.endswith(".kept") for name in root.hidden_files())


def test_requeued_item_waits_for_new_completion(root: Root, item: str) -> None:
    root.worker().complete(item, "first")
    root.sync()
    root.bench.queue.requeue(item)
    root.sync()
    gone = not root.file(item, "completion").exists()

    root.worker().complete(item, "second")
    root.sync()

    assert gone
    assert root.bench.queue.views.show(item).item.summary == "second"
    assert root.document(item, "completion")["summary"] == "second"


def test_report_by_command_keeps_its_own_token(root: Root, item: str) -> None:
    root.bench.agent().progress(Lease(item=item), "by a command")
    root.sync()

    root.worker().progress(item, "by a file")
    root.sync()

    assert root.history(item) == [
        ("progress", "by a command"),
        ("stray", "by a file"),
    ]
