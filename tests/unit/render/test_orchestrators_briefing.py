"""The briefing of an orchestrator, regardless of what agents have written."""

import pytest
from support.builders import Bench
from taskorch.cli import quoting
from taskorch.domain.item import State
from taskorch_orchestrator.briefing import (
    SHOWN,
    OrchestratorBriefing,
    briefing,
)
from taskorch_orchestrator.render import briefing as briefing_render

pytestmark = pytest.mark.one_lane

LONG = 60_000


def read(bench: Bench) -> OrchestratorBriefing:
    return briefing(bench.queue.views, "planner", bench.namespace)


def test_briefing_has_exactly_what_waits(
    bench: Bench,
) -> None:
    project = bench.project()
    asked = bench.lease_in(State.BLOCKED).item
    free = bench.item(project, agent="")
    dead, waits = bench.lease_in(State.FAILED).item, bench.item(project)
    bench.queue.depend(waits, [dead])
    closed = bench.project()
    bench.queue.complete_project(closed)

    shown, text = read(bench), briefing_render.briefing(read(bench))

    assert [item.id for item in shown.inbox] == [asked]
    assert [item.id for item in shown.unassigned] == [free]
    assert [(each.item.id, each.why) for each in shown.stuck] == [
        (waits, "dead_dependency"),
        (dead, "failed"),
    ]
    assert closed not in {each.id for each in shown.projects}
    assert "## Open projects: 3\n" in text
    assert "… and more" not in text


def test_briefing_has_comments_of_agents(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.comment(lease.item, "from above")
    for number in range(SHOWN + 1):
        bench.agent().comment(lease, f"comment {number}\n# Forged")

    text = briefing_render.briefing(read(bench))

    assert f"## Comments of agents: more than {SHOWN}\n" in text
    assert f"{lease.item} ada: comment {SHOWN}" in text
    assert "from above" not in text
    assert "\n# Forged" not in text


def test_briefing_cuts_log_of_failed_command(bench: Bench) -> None:
    lease = bench.claimed()
    log = "exit status 3\n" + "a line of the log\n" * 200
    bench.agent().fail(lease, log, retry=False)

    text = briefing_render.briefing(read(bench))

    assert f"{lease.item} failed, ada -> orchestrate requeue" in text
    assert "exit status 3" in text
    assert text.count("a line of the log") < 20


def test_briefing_counts_items_with_questions(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which door?")
    bench.agent().blocker(lease, "Which key?")

    text = briefing_render.briefing(read(bench))

    assert "## Items with open questions: 1\n" in text


def test_closed_projects_hide_no_open_project(
    bench: Bench,
) -> None:
    open_ = bench.project()
    bench.wait_for_next_ms()
    for _ in range(SHOWN + 1):
        bench.queue.complete_project(bench.project(), force=True)

    assert [each.id for each in read(bench).projects] == [open_]


def test_briefing_names_commands_for_omitted_rows(
    bench: Bench,
) -> None:
    for _ in range(2 * SHOWN):
        bench.lease_in(State.BLOCKED)
        bench.item(agent="")
    dead, waits = bench.lease_in(State.FAILED).item, bench.item()
    bench.queue.depend(waits, [dead])

    shown = briefing_render.briefing(read(bench))

    assert f"## Open projects: more than {SHOWN}\n" in shown
    assert [
        row for row in shown.split("\n") if row.startswith("… and more")
    ] == [
        "… and more: orchestrate projects",
        "… and more: orchestrate inbox",
        "… and more: orchestrate unassigned",
    ]
    assert f"## Stalled items: 2\n\n```text\n{waits} dead_dependency" in shown


@pytest.mark.parametrize(
    "text",
    [
        "x" * LONG,
        "🙂" * (LONG // 4),
        "`" * LONG,
        "\x1b" * LONG,
        "x\n" * (LONG // 2),
    ],
)
def test_briefing_stays_within_bound(bench: Bench, text: str) -> None:
    for _ in range(SHOWN + 1):
        item = bench.item(title=text[:500].strip() or "x", agent="a" * 64)
        bench.agent("a" * 64).blocker(
            bench.claimed(item, agent="a" * 64), text, needs=text
        )
        bench.item(title=text[:500], agent="")
        dead = bench.claimed(
            bench.item(title=text[:500], agent="a" * 64), agent="a" * 64
        )
        bench.agent("a" * 64).fail(dead, text, retry=False)

    shown = briefing_render.briefing(read(bench))

    assert len(shown.encode()) <= quoting.MOST_BYTES
    assert shown.endswith(briefing_render.COMMANDS)
    assert quoting.CUT in shown


def test_next_step_completes_finished_project(bench: Bench) -> None:
    done = bench.lease_in(State.COMPLETED).item
    project = bench.queue.views.show(done).item.project

    assert (
        briefing_render.next_step(read(bench))
        == f"orchestrate complete {project}"
    )


def test_next_step_requeues_failed_item(bench: Bench) -> None:
    item = bench.lease_in(State.COMPLETED).item
    project = bench.queue.views.show(item).item.project
    dead = bench.bring_to(bench.item(project), State.FAILED).item

    shown = briefing_render.briefing(read(bench))

    assert (
        f"{dead} failed, ada -> orchestrate requeue {dead}\n    An item: hopeless\n"
        in shown
    )
    assert f"## Next step\n\n    orchestrate requeue {dead}\n" in shown


def test_next_step_completes_fully_cancelled_project(
    bench: Bench,
) -> None:
    project = bench.queue.views.show(
        bench.lease_in(State.CANCELLED).item
    ).item.project

    assert (
        briefing_render.next_step(read(bench))
        == f"orchestrate complete {project}"
    )


def test_next_step_shows_empty_project(bench: Bench) -> None:
    project = bench.project()

    assert (
        briefing_render.next_step(read(bench))
        == f"orchestrate progress {project}"
    )


def test_next_step_waits_for_agents_at_work(
    bench: Bench,
) -> None:
    working = bench.queue.views.show(
        bench.lease_in(State.IN_PROGRESS).item
    ).item.project
    bench.wait_for_next_ms()
    bench.project()

    step = briefing_render.next_step(read(bench))

    assert step == (
        f"orchestrate wait {working} --until completed --until blocked --until review "
        "--timeout 100"
    )
