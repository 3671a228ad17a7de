"""The package of an item: everything that its agent needs, in one reply."""

from support.builders import Bench, need_lease
from taskorch.domain.item import Lease, State


def test_claim_returns_item_and_project(bench: Bench) -> None:
    project = bench.queue.project("Build it", description="All of it")
    item = bench.item(
        project,
        title="Draw the plan",
        description="To scale",
        requirements=("on paper", "in ink"),
        context={"style": "plain"},
        resources=("plan.md",),
        deliverables_expected=("plan",),
        criteria=("it is legible",),
        priority=1,
        max_attempts=5,
    )
    bench.queue.assign(
        item, "ada", context={"size": "A4"}, resources=["paper.md"]
    )

    claim = bench.agent().claim()

    assert claim is not None
    package, view = claim.package, claim.package.item
    assert (
        package.project_context.title,
        package.project_context.description,
    ) == (
        "Build it",
        "All of it",
    )
    assert (
        package.project_context.status,
        package.project_context.orchestrator,
    ) == (
        "active",
        "planner",
    )
    assert (view.title, view.description) == ("Draw the plan", "To scale")
    assert view.requirements == ("on paper", "in ink")
    assert view.context == {"style": "plain", "size": "A4"}
    assert view.resources == ("plan.md", "paper.md")
    assert (view.deliverables_expected, view.criteria) == (
        ("plan",),
        ("it is legible",),
    )
    assert (view.priority, view.max_attempts, view.attempts) == (1, 5, 1)
    assert (view.state, view.agent, view.assigned_by) == (
        State.IN_PROGRESS,
        "ada",
        "planner",
    )
    assert 0 < view.created_at <= view.assigned_at <= view.started_at
    assert view.completed_at == 0


def test_package_has_deliverables_of_dependencies(bench: Bench) -> None:
    first, second = bench.item(title="first"), bench.item(title="second")
    item = bench.item(agent="bob", depends_on=(first, second))
    bench.agent().complete(
        Lease(item=second), "second is done", deliverables={"file": "b.txt"}
    )
    bench.agent().complete(
        Lease(item=first), "first is done", deliverables={"file": "a.txt"}
    )

    package = bench.agent("bob").get(Lease(item=item)).package

    assert [
        (done.id, done.summary, done.deliverables)
        for done in package.dependencies
    ] == [
        (first, "first is done", {"file": "a.txt"}),
        (second, "second is done", {"file": "b.txt"}),
    ]


def test_package_has_last_report_of_earlier_attempt(bench: Bench) -> None:
    first = bench.claimed()
    bench.agent().progress(first, "half of it is in half.txt")
    bench.agent().fail(first, "my disk is full")
    bench.end_delay(first.item)

    claim = bench.agent().claim()

    assert claim is not None
    assert [
        (report.attempt, report.text) for report in claim.package.history
    ] == [
        (1, "half of it is in half.txt"),
        (1, "my disk is full"),
    ]


def test_package_has_the_answers(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which door?")
    bench.queue.answer(lease.item, "The left one.")

    package = bench.agent().get(lease).package

    assert [(report.kind, report.text) for report in package.history] == [
        ("blocker", "Which door?"),
        ("answer", "The left one."),
    ]


def test_package_has_newest_50_reports(bench: Bench) -> None:
    lease = bench.claimed()
    for number in range(55):
        bench.agent().progress(lease, f"step {number}")

    history = bench.queue.views.show(lease.item).history

    assert [report.text for report in history] == [
        f"step {number}" for number in range(5, 55)
    ]


def test_peek_claims_nothing(bench: Bench) -> None:
    item = bench.item(title="Draw the plan")

    claim = bench.agent().get(Lease(item=item), peek=True)

    assert claim.lease is None
    assert claim.package.item.title == "Draw the plan"
    assert bench.state(item) is State.QUEUED


def test_delivery_is_shown_with_the_item(bench: Bench) -> None:
    lease = bench.claimed()

    receipt = bench.agent().complete(
        lease, "all done", deliverables={"file": "a.txt"}
    )

    view = bench.queue.views.show(lease.item).item
    assert receipt.state is State.COMPLETED
    assert (view.summary, view.deliverables, view.percent) == (
        "all done",
        {"file": "a.txt"},
        100,
    )
    assert view.started_at <= view.completed_at <= bench.now_ms()


def test_requeued_item_loses_its_old_delivery(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "all done", deliverables={"file": "a.txt"})

    bench.queue.requeue(lease.item)

    view = bench.queue.views.show(lease.item).item
    assert (view.summary, view.deliverables, view.percent, view.attempts) == (
        "",
        {},
        0,
        0,
    )
    assert (view.started_at, view.completed_at) == (0, 0)
    assert need_lease(bench.agent().claim()).token == lease.token + 1
