"""What a person does to an item on the board, without the script."""

from collections.abc import Iterator

import pytest
from support import gateways
from support.board_client import BoardClient, Reply
from support.builders import Bench, opened
from support.gateways import Gateway
from taskorch.domain.acceptance import (
    CheckEvidence,
    DeliverableCheck,
    RunCheck,
)
from taskorch.domain.item import Item, ItemEdit, State
from taskorch.domain.role import Role
from taskorch_orchestrator.backup import archive_index

NAMESPACE = "board-items"


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture
def bench(valkey_url: str) -> Iterator[Bench]:
    with opened(valkey_url, NAMESPACE) as bench:
        yield bench


class Person:
    """A person who sends the forms of the pages that they look at."""

    def __init__(self, gateway: Gateway, bench: Bench, role: Role) -> None:
        self.client = BoardClient(gateway)
        token = bench.queue.access_tokens().create("ana", role).token
        self.client.sign_in(token)

    def form(self, path: str) -> dict[str, str]:
        """Return the hidden fields that the forms of a page have in common."""
        page = self.client.page(path)
        names = ("csrf", "key", "seen", "opened", "back")
        return {
            name: page.field(name) for name in names if page.has_field(name)
        }

    def send(self, path: str, form: dict[str, str], **typed: str) -> Reply:
        """Send a form to an action."""
        return self.client.submit(path, {**form, **typed})

    def act(self, item: str, action: str, **typed: str) -> Reply:
        """Look at an item, and send a form of its page."""
        path = f"/items/{item}"
        return self.send(f"{path}/{action}", self.form(path), **typed)


@pytest.fixture
def ana(gateway: Gateway, bench: Bench) -> Person:
    return Person(gateway, bench, Role.ORCHESTRATOR)


def item_of(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def newest(bench: Bench, item: str) -> tuple[str, str, str]:
    """Return the kind, the agent and the text of the newest report on an item."""
    report = bench.queue.views.timeline(item).timeline[-1].report
    return report.kind, report.agent, report.text


def test_item_of_short_id_is_found(ana: Person, bench: Bench) -> None:
    item = bench.item()

    reply = ana.client.get(f"/items/{item[len('item_') :]}")

    assert (reply.status, reply.place) == (303, f"/items/{item}")


def test_viewer_sees_an_item_without_forms(
    gateway: Gateway, bench: Bench
) -> None:
    viewer = Person(gateway, bench, Role.VIEWER)
    lease = bench.claimed(bench.item(title="Login form"))
    bench.agent().blocker(lease, "Which month?")

    page = viewer.client.page(f"/items/{lease.item}")

    assert "Login form" in page.text
    assert "Which month?" in page.text
    assert f"/items/{lease.item}/" not in page.text
    assert viewer.client.get(f"/items/{lease.item}/edit").status == 403


def test_answer_is_written_in_the_persons_name(
    ana: Person, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")

    reply = ana.act(lease.item, "answer", question="1", answer="May")

    assert (reply.status, reply.place) == (303, f"/items/{lease.item}")
    assert newest(bench, lease.item) == ("answer", "ana", "May")


def test_same_form_sent_twice_acts_once(ana: Person, bench: Bench) -> None:
    item = bench.item()
    path = f"/items/{item}"
    form = ana.form(path)

    replies = [
        ana.send(f"{path}/comment", form, comment="Hurry up") for _ in range(2)
    ]

    assert [reply.status for reply in replies] == [303, 303]
    timeline = bench.queue.views.timeline(item).timeline
    assert [each.report.text for each in timeline].count("Hurry up") == 1


def test_closed_question_keeps_the_second_answer(
    ana: Person, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")
    form = ana.form(f"/items/{lease.item}")
    bench.queue.answer(lease.item, "May")

    reply = ana.send(
        f"/items/{lease.item}/answer", form, question="1", answer="<b>June"
    )

    assert reply.status == 409
    assert "Answer to question 1 by planner: “May”" in reply.alert
    assert "&lt;b&gt;June</textarea>" in reply.text


def test_cancel_asks_and_names_what_follows(ana: Person, bench: Bench) -> None:
    item = bench.item(title="Login form")
    bench.item(depends_on=(item,))

    asked = ana.act(item, "cancel")
    assert bench.state(item) is State.QUEUED
    done = ana.act(item, "cancel", confirm="yes", reason="Not needed")

    assert asked.status == 200
    assert "Cancel Login form?" in asked.text
    assert "1 item waits for it" in asked.text
    assert asked.field("confirm") == "yes"
    assert done.status == 303
    assert newest(bench, item) == ("cancel", "ana", "Not needed")


def test_assigned_item_is_reassigned_after_a_question(
    ana: Person, bench: Bench
) -> None:
    lease = bench.claimed()

    asked = ana.act(lease.item, "assign", agent="bob")
    done = ana.act(lease.item, "assign", agent="bob", confirm="yes")

    assert "ada holds it, and loses its lease" in asked.text
    assert done.status == 303
    assert item_of(bench, lease.item).agent == "bob"


def test_unassigned_item_is_assigned_without_a_question(
    ana: Person, bench: Bench
) -> None:
    item = bench.item(agent="")

    assert ana.act(item, "assign", agent="not a name").status == 422
    assert ana.act(item, "assign", agent="bob").status == 303

    assert item_of(bench, item).agent == "bob"


@pytest.mark.parametrize("action", ["assign", "cancel"])
def test_item_that_moved_is_asked_about(
    ana: Person, bench: Bench, action: str
) -> None:
    item = bench.item(title="Login form")
    form = ana.form(f"/items/{item}")
    bench.queue.assign(item, "eve")
    typed = {"confirm": "yes", "reason": "It is done", "agent": "bob"}

    reply = ana.send(f"/items/{item}/{action}", form, **typed)
    again = {"csrf": form["csrf"], "key": reply.field("key")}
    done = ana.send(
        f"/items/{item}/{action}", again, seen=reply.field("seen"), **typed
    )

    assert reply.status == 409
    assert "Login form is assigned to eve" in reply.text
    assert ("It is done" if action == "cancel" else "bob") in reply.text
    assert done.status == 303


def test_progress_is_no_reason_to_ask_again(ana: Person, bench: Bench) -> None:
    lease = bench.claimed()
    form = ana.form(f"/items/{lease.item}")
    bench.agent().progress(lease, "Half of it", percent=50)

    ana.send(f"/items/{lease.item}/cancel", form, confirm="yes")

    assert bench.state(lease.item) is State.CANCELLED


def in_review(bench: Bench) -> str:
    """Return an item that ada has completed, and lead is to review."""
    item = bench.item(title="Login form", reviewer="lead")
    bench.agent().complete(bench.claimed(item), "4 tables")
    return item


def test_review_is_among_what_needs_a_person(
    ana: Person, bench: Bench
) -> None:
    item = in_review(bench)

    page = ana.client.page("/")

    assert "4 tables" in page.text
    assert f'action="/items/{item}/accept"' in page.text
    assert f'formaction="/items/{item}/send-back"' in page.text


def test_item_in_review_is_accepted(ana: Person, bench: Bench) -> None:
    item = in_review(bench)

    assert ana.act(item, "accept").status == 303

    assert bench.state(item) is State.COMPLETED
    assert newest(bench, item)[:2] == ("accept", "ana")


def test_board_asks_what_has_to_change(ana: Person, bench: Bench) -> None:
    item = in_review(bench)

    asked = ana.act(item, "send-back")
    before = bench.state(item)
    done = ana.act(item, "send-back", text="No test", confirm="yes")

    assert "What has to change?" in asked.text
    assert "with your text on top of its package" in asked.text
    assert before is State.REVIEW
    assert done.status == 303
    assert bench.state(item) is State.QUEUED
    assert newest(bench, item) == ("send_back", "ana", "No test")


def test_decided_review_is_shown_before_acting(
    ana: Person, bench: Bench
) -> None:
    item = in_review(bench)
    form = ana.form(f"/items/{item}")
    bench.queue.send_back(item, "Once more")

    reply = ana.send(f"/items/{item}/accept", form)

    assert reply.status == 409
    assert "is queued" in reply.text
    assert bench.state(item) is State.QUEUED


def test_viewer_sees_reviews_without_forms(
    gateway: Gateway, bench: Bench
) -> None:
    viewer = Person(gateway, bench, Role.VIEWER)
    item = in_review(bench)

    now, page = viewer.client.page("/"), viewer.client.page(f"/items/{item}")

    for shown in (now, page):
        assert "4 tables" in shown.text
        assert f"/items/{item}/accept" not in shown.text
        assert f"/items/{item}/send-back" not in shown.text


def test_returned_item_shows_why_on_top(ana: Person, bench: Bench) -> None:
    item = in_review(bench)
    bench.queue.send_back(item, "The login has no test")

    page = ana.client.page(f"/items/{item}")

    assert page.text.index("The login has no test") < page.text.index("Facts")


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_item_that_ended_is_requeued(
    ana: Person, bench: Bench, state: State
) -> None:
    item = bench.lease_in(state).item

    assert ana.act(item, "requeue").status == 303

    assert bench.state(item) is State.QUEUED
    assert newest(bench, item)[:2] == ("requeue", "ana")


def test_requeue_of_completed_project_reopens_it(
    ana: Person, bench: Bench
) -> None:
    lease = bench.lease_in(State.COMPLETED)
    project = item_of(bench, lease.item).project
    bench.queue.complete_project(project)

    asked = ana.act(lease.item, "requeue")
    assert bench.state(lease.item) is State.COMPLETED
    done = ana.act(lease.item, "requeue", confirm="yes")

    assert "It becomes active again" in asked.text
    assert done.status == 303
    assert bench.state(lease.item) is State.QUEUED


def test_edit_changes_and_keeps_what_others_changed(
    ana: Person, bench: Bench
) -> None:
    other = bench.item()
    item = bench.item(title="Login form", description="Old")
    form = ana.form(f"/items/{item}/edit")
    bench.queue.edit([item], ItemEdit(description="New"))

    reply = ana.send(
        f"/items/{item}/edit",
        form,
        title="Sign-in form",
        description="Old",
        depends_on=other[len("item_") :],
    )

    assert (reply.status, reply.place) == (303, f"/items/{item}")
    edited = item_of(bench, item)
    assert (edited.title, edited.description) == ("Sign-in form", "New")
    assert edited.depends_on == (other,)


def test_edit_of_changed_field_is_asked_about(
    ana: Person, bench: Bench
) -> None:
    item = bench.item(title="Login form")
    path = f"/items/{item}/edit"
    form = ana.form(path)
    bench.queue.edit([item], ItemEdit(title="Their form", priority=0))

    reply = ana.send(path, form, title="My form", priority="2")
    again = {"csrf": form["csrf"], "key": reply.field("key")}
    done = ana.send(
        path,
        again,
        opened=reply.field("opened"),
        title="My form",
        priority="0",
    )

    assert reply.status == 409
    assert "Title is now “Their form”" in reply.alert
    assert 'value="My form"' in reply.text
    assert '<option value="0" selected>' in reply.text
    assert done.status == 303
    edited = item_of(bench, item)
    assert (edited.title, edited.priority) == ("My form", 0)


def test_refused_edit_keeps_what_was_typed(ana: Person, bench: Bench) -> None:
    item = bench.item()
    path = f"/items/{item}/edit"

    reply = ana.send(path, ana.form(path), depends_on=item, title="<My>")

    assert reply.status == 422
    assert "cannot depend on" in reply.alert
    assert 'value="&lt;My&gt;"' in reply.text


@pytest.mark.parametrize("action", ["edit", "comment", "cancel"])
def test_gone_item_keeps_the_text(
    ana: Person, bench: Bench, action: str
) -> None:
    project = bench.project()
    item = bench.item(project)
    form = ana.form(f"/items/{item}/edit") | ana.form(f"/items/{item}")
    bench.queue.complete_project(project, force=True)
    bench.queue.purge(project)

    typed = {"title": "My text", "comment": "My text", "reason": "My text"}
    reply = ana.send(f"/items/{item}/{action}", form, **typed)

    assert reply.status == 404
    assert f"There is no item {item}" in reply.alert
    assert "My text</textarea>" in reply.text


def test_archived_item_says_where_it_is(ana: Person, gateway: Gateway) -> None:
    archive = gateway.shell.folder / ".task-orchestrator" / "archive"
    archive.mkdir(parents=True, exist_ok=True)
    archive_index.add(archive, "proj_1-a.jsonl.gz", ["item_12345678"])
    (archive / "proj_1-a.jsonl.gz").touch()

    reply = ana.client.get("/items/item_12345678")

    assert reply.status == 404
    assert ".task-orchestrator/archive/proj_1-a.jsonl.gz" in reply.alert
    assert str(gateway.shell.folder) not in reply.text


def test_item_is_created_with_all_its_fields(
    ana: Person, bench: Bench
) -> None:
    project, other = bench.project(), bench.item()
    path = f"/projects/{project}/new-item"
    typed = {
        "title": "Login form",
        "description": "With a password",
        "requirements": "one\r\ntwo",
        "accept": "It works",
        "resources": "a.md",
        "deliverables": "form.html",
        "context": "where=here",
        "labels": "ui new",
        "depends_on": other,
        "priority": "1",
        "max_attempts": "5",
        "lease": "30m",
        "assign": "ada",
    }

    refused = ana.send(path, ana.form(path), **{**typed, "lease": "soon"})
    done = ana.send(path, ana.form(path), **typed)

    assert refused.status == 422
    assert "With a password</textarea>" in refused.text
    assert done.status == 303
    created = item_of(bench, done.place.removeprefix("/items/"))
    assert created.requirements == ("one", "two")
    assert (created.priority, created.max_attempts) == (1, 5)
    assert (created.agent, created.depends_on) == ("ada", (other,))
    assert created.labels == ("ui", "new")


def test_long_timeline_has_older_steps(ana: Person, bench: Bench) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(120):
        ada.progress(lease, f"report {number}.")

    page = ana.client.page(f"/items/{lease.item}")
    older = ana.client.page(f"/items/{lease.item}?older=1")

    assert "report 119." in page.text
    assert "report 0." not in page.text
    assert "?older=1" in page.text
    assert "report 0." in older.text
    assert "?older=" not in older.text.replace("?older=1", "", 9)


def test_item_shows_its_checks_and_their_evidence(
    ana: Person, bench: Bench
) -> None:
    run = RunCheck(run=("make", "test"))
    checks = (run, DeliverableCheck(deliverable="schema"))
    lease = bench.claimed(bench.item(checks=checks))
    before = ana.client.page(f"/items/{lease.item}").text
    result = CheckEvidence(
        check=run, passed=True, exit_code=0, output="<b>3 passed</b>"
    )

    bench.agent().complete(
        lease, "Done", deliverables={"schema": "a"}, evidence=[result]
    )

    after = ana.client.page(f"/items/{lease.item}").text
    assert "Acceptance checks" in before
    assert "run make test" in before
    assert "Checks 2/2 passed" in after
    assert "passed, exit status 0" in after
    assert "&lt;b&gt;3 passed&lt;/b&gt;" in after


def test_item_is_assigned_to_a_pool(ana: Person, bench: Bench) -> None:
    item = bench.item(agent="")

    reply = ana.act(item, "assign", agent="pool:backend")
    page = ana.client.page(f"/items/{item}")

    assert reply.status == 303
    assert "Assigned to the pool backend. No agent takes items" in page.text
    assert (item_of(bench, item).agent, item_of(bench, item).pool) == (
        "",
        "backend",
    )


def test_item_leaves_its_pool_after_a_question(
    ana: Person, bench: Bench
) -> None:
    item = bench.pool_item("backend")

    asked = ana.act(item, "assign", agent="ada")
    before = item_of(bench, item).pool
    done = ana.act(item, "assign", agent="ada", confirm="yes")

    assert "It leaves the queue of the pool backend." in asked.text
    assert (before, done.status) == ("backend", 303)
    assert item_of(bench, item).agent == "ada"


def test_item_that_changed_pools_is_shown_first(
    ana: Person, bench: Bench
) -> None:
    item = bench.pool_item("backend")
    path = f"/items/{item}"
    form = ana.form(path)
    bench.queue.assign(item, pool="python")

    reply = ana.send(f"{path}/cancel", form)

    assert reply.status == 409
    assert "is assigned to the pool python" in reply.text


def test_new_item_waits_in_a_pool(ana: Person, bench: Bench) -> None:
    project = bench.project()
    path = f"/projects/{project}/new-item"

    reply = ana.send(
        path, ana.form(path), title="Shared", assign="pool:backend"
    )

    assert reply.status == 303
    (item,) = bench.queue.views.list(project=project).items
    assert (item.title, item.agent, item.pool) == ("Shared", "", "backend")
