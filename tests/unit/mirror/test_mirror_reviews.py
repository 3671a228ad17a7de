"""Items in review, as file-based workers see them."""

import pytest
from support.mirrors import Root
from taskorch.domain.item import Lease, NewItem, State


@pytest.fixture
def item(root: Root) -> str:
    home = root.bench.project()
    new = NewItem(title="An item", agent="ada", reviewer="lead")
    item = root.bench.queue.create(home, new)
    root.sync()
    root.worker().pending()
    return item


def test_completion_by_file_leads_to_review(root: Root, item: str) -> None:
    root.worker().complete(item, "4 tables")
    root.sync()

    assert root.bench.state(item) is State.REVIEW
    assert root.document(item, "completion")["summary"] == "4 tables"
    assert not root.file(item, "handoff").exists()
    assert root.worker().check() == []
    assert root.hidden_files() == []


def test_completion_by_command_is_in_file(root: Root, item: str) -> None:
    root.bench.agent().complete(Lease(item=item), "4 tables")
    root.sync()

    written = root.document(item, "completion")
    assert (written["summary"], written["agent_id"]) == ("4 tables", "ada")
    assert not written["completed_at"].startswith("1970")


def test_acceptance_leaves_the_completion_file(root: Root, item: str) -> None:
    root.worker().complete(item, "4 tables")
    root.sync()
    before = root.file(item, "completion").read_bytes()

    root.bench.queue.accept(item)
    root.sync()

    assert root.file(item, "completion").read_bytes() == before
    assert root.bench.state(item) is State.COMPLETED
    assert root.hidden_files() == []


def test_acceptance_of_command_leaves_completion_file(
    root: Root, item: str
) -> None:
    root.bench.agent().complete(Lease(item=item), "4 tables")
    root.sync()
    before = root.file(item, "completion").read_bytes()

    root.bench.queue.accept(item)
    root.sync()

    assert root.file(item, "completion").read_bytes() == before
    assert root.hidden_files() == []


def test_sent_back_item_is_published_with_text(root: Root, item: str) -> None:
    root.bench.agent().complete(Lease(item=item), "4 tables")
    root.sync()

    root.bench.queue.send_back(item, "The login has no test")
    root.sync()

    handoff = root.document(item, "handoff")
    assert handoff["x_returned"]["text"] == "The login has no test"
    assert handoff["x_returned"]["by"] == "planner"
    assert handoff["provided_context"] == {
        "returned by planner": "The login has no test",
        "reviewer": "lead",
    }
    assert root.pending() == [item]
    assert root.worker().check() == [item]
    assert not root.file(item, "completion").exists()


def test_sent_back_item_is_completed_by_file_again(
    root: Root, item: str
) -> None:
    root.worker().complete(item, "first")
    root.sync()
    root.bench.queue.send_back(item, "Once more")
    root.sync()

    root.worker().complete(item, "second")
    root.sync()
    root.bench.queue.accept(item)
    root.sync()

    found = root.bench.queue.views.show(item).item
    assert (found.state, found.summary) == (State.COMPLETED, "second")
    assert root.document(item, "completion")["summary"] == "second"


def test_completion_in_review_is_only_recorded(root: Root, item: str) -> None:
    root.bench.agent().complete(Lease(item=item), "first")
    root.sync()

    root.worker().complete(item, "another")
    root.sync()

    assert root.bench.queue.views.show(item).item.summary == "first"
    assert ("stray", "another") in root.history(item)
