"""The reads of an orchestrator: pages of items, unassigned items, projects, agents."""

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import DEFAULT_LEASE_MS, HOUR_MS, Lease, State


def pages(
    bench: Bench,
    limit: int,
    *,
    project: str = "",
    state: State | None = None,
    agent: str = "",
) -> list[list[str]]:
    """Read a list page by page."""
    found: list[list[str]] = []
    cursor = ""
    while not found or cursor:
        assert len(found) < 100, "the cursor does not move on"
        page = bench.queue.views.list(
            project=project,
            state=state,
            agent=agent,
            cursor=cursor,
            limit=limit,
        )
        found.append([item.id for item in page.items])
        cursor = page.cursor
    return found


def test_list_is_in_creation_order(
    bench: Bench,
) -> None:
    project, other = bench.project(), bench.project()
    items = [
        bench.item(project),
        bench.item(project, agent="bob"),
        bench.item(project, agent="", priority=0),
    ]
    bench.item(other)

    page = bench.queue.views.list(project=project)

    assert [item.id for item in page.items] == items
    assert page.cursor == ""


def test_requeue_keeps_the_order_of_a_list(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(3)]
    bench.queue.cancel(items[0])

    bench.queue.requeue(items[0])

    assert [
        item.id for item in bench.queue.views.list(project=project).items
    ] == items


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 1000])
def test_pages_have_each_item_once_newest_project_first(
    bench: Bench, limit: int
) -> None:
    listed: list[list[str]] = []
    for size in (3, 0, 1, 4):
        project = bench.project()
        listed.insert(0, [bench.item(project, agent="") for _ in range(size)])
        bench.wait_for_next_ms()

    found = pages(bench, limit)

    assert [item for page in found for item in page] == [
        item for items in listed for item in items
    ]
    assert all(len(page) == limit for page in found[:-1])
    assert found[-1]


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
def test_pages_of_one_project_have_each_item_once(
    bench: Bench, limit: int
) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(5)]
    bench.item()

    found = pages(bench, limit, project=project)

    assert [item for page in found for item in page] == items


def test_pages_of_a_large_project_have_each_item(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project, agent="") for _ in range(401)]

    found = pages(bench, 250, project=project)

    assert [item for page in found for item in page] == items


def test_list_can_be_filtered_by_state(bench: Bench) -> None:
    standing = {state: bench.lease_in(state).item for state in State}

    listed = {
        state: bench.queue.views.list(state=state).items for state in State
    }

    assert {item.id for item in listed[State.QUEUED]} == {
        standing[State.QUEUED],
        *helpers(bench),
    }
    for state in set(State) - {State.QUEUED}:
        assert [item.id for item in listed[state]] == [standing[state]]


def helpers(bench: Bench) -> list[str]:
    """Return items that others depend on."""
    return [
        item
        for view in bench.queue.views.list(state=State.WAITING).items
        for item in view.depends_on
    ]


def test_list_can_be_filtered_by_agent(bench: Bench) -> None:
    project = bench.project()
    items = {
        agent: bench.item(project, agent=agent) for agent in ("ada", "bob", "")
    }

    listed = [item.id for item in bench.queue.views.list(agent="bob").items]

    assert listed == [items["bob"]]


def test_list_combines_its_filters(bench: Bench) -> None:
    project = bench.project()
    wanted = bench.item(project, agent="bob")
    bench.item(agent="bob")
    bench.item(project)
    bench.queue.cancel(bench.item(project, agent="bob"))

    found = pages(bench, 1, project=project, state=State.QUEUED, agent="bob")

    assert [item for page in found for item in page] == [wanted]


def test_views_of_empty_namespace_are_empty(bench: Bench) -> None:
    views = bench.queue.views

    shown = (
        views.list().items,
        views.unassigned(),
        views.inbox(),
        views.projects(),
        views.agents(),
    )

    assert shown == ((), (), (), (), ())


def test_unassigned_items_are_oldest_first(
    bench: Bench,
) -> None:
    first, second, third = (bench.item(agent="") for _ in range(3))
    bench.item()

    bench.queue.assign(second, "ada")

    assert [item.id for item in bench.queue.views.unassigned()] == [
        first,
        third,
    ]
    assert [item.id for item in bench.queue.views.unassigned(limit=1)] == [
        first
    ]


def test_unassigned_items_can_be_of_one_project(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project, agent="")
    bench.item(agent="")

    shown = bench.queue.views.unassigned(project=project)

    assert [item.id for item in shown] == [item]


def test_inbox_has_at_most_its_limit(bench: Bench) -> None:
    first = bench.lease_in(State.BLOCKED)
    bench.wait_for_next_ms()
    bench.lease_in(State.BLOCKED)

    shown = bench.queue.views.inbox(limit=1)

    assert [item.id for item in shown] == [first.item]


def test_projects_are_newest_first(bench: Bench) -> None:
    ids = []
    for title in ("first", "second", "third"):
        ids.append(bench.queue.project(title))
        bench.wait_for_next_ms()

    shown = bench.queue.views.projects()

    assert [(project.id, project.title) for project in shown] == [
        (ids[2], "third"),
        (ids[1], "second"),
        (ids[0], "first"),
    ]
    assert [project.id for project in bench.queue.views.projects(limit=2)] == [
        ids[2],
        ids[1],
    ]


def test_project_counts_its_items_by_state(bench: Bench) -> None:
    project = bench.project()
    for state in (
        State.QUEUED,
        State.QUEUED,
        State.COMPLETED,
        State.CANCELLED,
        State.BLOCKED,
    ):
        bench.bring_to(bench.item(project), state)

    (shown,) = bench.queue.views.projects()

    assert {
        state: count for state, count in shown.counts.items() if count
    } == {
        State.QUEUED: 2,
        State.COMPLETED: 1,
        State.CANCELLED: 1,
        State.BLOCKED: 1,
    }
    assert (shown.wanted, shown.completed) == (4, 1)


def test_agents_are_in_order_of_last_call(
    bench: Bench,
) -> None:
    bench.item(agent="never")
    bench.agent("early").check()
    bench.wait_for_next_ms()
    bench.agent("late", session="s1").check()

    shown = bench.queue.views.agents()

    assert [agent.name for agent in shown] == ["late", "early", "never"]
    assert [agent.last_seen_at > 0 for agent in shown] == [True, True, False]
    assert [(agent.host, agent.session) for agent in shown] == [
        ("here", "s1"),
        ("here", ""),
        ("", ""),
    ]
    assert [agent.name for agent in bench.queue.views.agents(limit=1)] == [
        "late"
    ]


def test_agent_has_held_items_and_counts(
    bench: Bench,
) -> None:
    bench.item()
    held, blocked = bench.claimed(), bench.claimed()
    bench.agent().blocker(blocked, "Which one?")

    (shown,) = bench.queue.views.agents()

    assert {(holding.item, holding.state) for holding in shown.holds} == {
        (held.item, State.IN_PROGRESS),
        (blocked.item, State.BLOCKED),
    }
    assert {
        state: count for state, count in shown.counts.items() if count
    } == {
        State.QUEUED: 1,
        State.IN_PROGRESS: 1,
        State.BLOCKED: 1,
    }


def test_two_sessions_have_their_own_held_items(bench: Bench) -> None:
    one, two = bench.claimed(session="one"), bench.claimed(session="two")

    (shown,) = bench.queue.views.agents()

    assert {
        holding.holder.session: holding.item for holding in shown.holds
    } == {
        "one": one.item,
        "two": two.item,
    }
    assert {
        (holding.holder.agent, holding.holder.host) for holding in shown.holds
    } == {("ada", "here")}
    assert shown.session == "two"


def test_silence_of_a_session_follows_its_lease(bench: Bench) -> None:
    silent, heard = (
        bench.claimed(session="one").item,
        bench.claimed(session="two").item,
    )
    bench.shorten_lease(silent, left_ms=DEFAULT_LEASE_MS - HOUR_MS)

    (shown,) = bench.queue.views.agents()

    lengths = {holding.item: holding.silent_ms for holding in shown.holds}
    assert HOUR_MS <= lengths[silent] < 2 * HOUR_MS
    assert lengths[heard] < HOUR_MS
    assert all(
        holding.heard_at + holding.silent_ms <= bench.now_ms()
        for holding in shown.holds
    )


def test_agent_never_seen_is_not_silent(bench: Bench) -> None:
    bench.item(agent="never")

    (shown,) = bench.queue.views.agents()

    assert (shown.last_seen_at, shown.silent_ms, shown.holds) == (0, 0, ())


@pytest.mark.parametrize("verb", ["claim", "check", "get", "progress", "note"])
def test_call_updates_last_seen_of_agent(bench: Bench, verb: str) -> None:
    item = bench.item()
    before, me = bench.now_ms(), bench.agent()

    match verb:
        case "claim":
            me.claim()
        case "check":
            me.check()
        case "get":
            me.get(Lease(item=item), peek=True)
        case "progress":
            me.progress(Lease(item=item), "half way")
        case "note":
            me.note(item, "for later")

    (shown,) = bench.queue.views.agents()
    assert before <= shown.last_seen_at <= bench.now_ms()


def test_views_skip_missing_items(bench: Bench) -> None:
    project = bench.project()
    vanished, other = bench.item(project), bench.item(project, agent="bob")
    bench.queue.depend(other, [vanished])
    bench.delete_item(vanished)
    views = bench.queue.views

    seen = (
        views.list().items,
        views.progress(project).items,
        bench.agent().check().items,
    )

    assert [[item.id for item in items] for items in seen] == [
        [other],
        [other],
        [],
    ]
    assert views.show(other).dependencies == ()
    assert [item.id for item in views.items_of(project)] == [other]


def test_project_without_open_items_completes_once(bench: Bench) -> None:
    project = bench.project()
    done, dropped = bench.item(project), bench.item(project)
    bench.agent().complete(Lease(item=done), "done")
    bench.queue.cancel(dropped)

    closed = bench.queue.complete_project(project)
    again = bench.queue.complete_project(project)

    assert closed.project.status == "completed"
    assert closed.project.completed_at > 0
    assert (closed.cancelled, closed.remark) == (0, "")
    assert (again.project, again.remark) == (closed.project, "repeat")
    assert [event["verb"] for event in bench.events()].count(
        "complete_project"
    ) == 1


@pytest.mark.parametrize(
    "state", sorted(set(State) - {State.COMPLETED, State.CANCELLED})
)
def test_project_with_open_item_is_not_completed(
    bench: Bench, state: State
) -> None:
    item = bench.lease_in(state).item
    project = bench.queue.views.show(item).project_context.id
    before = bench.everything()

    with pytest.raises(errors.OpenItems) as refusal:
        bench.queue.complete_project(project)

    assert item in str(refusal.value)
    assert bench.everything() == before


@pytest.mark.parametrize("state", sorted(set(State) - {State.COMPLETED}))
def test_forced_completion_cancels_open_items(
    bench: Bench, state: State
) -> None:
    lease = bench.lease_in(state)
    project = bench.queue.views.show(lease.item).project_context.id

    closed = bench.queue.complete_project(project, force=True)

    assert closed.project.status == "completed"
    assert bench.state(lease.item) is State.CANCELLED
    assert bench.inconsistencies() == []
    with pytest.raises(errors.ProjectClosed):
        bench.item(project)


def test_requeue_with_reopen_helps_items_that_wait(bench: Bench) -> None:
    item, waiting = bench.item(project := bench.project()), bench.item()
    bench.queue.depend(waiting, [item])
    bench.queue.complete_project(project, force=True)

    bench.queue.requeue(item, reopen=True)

    reopened = bench.queue.views.progress(project).project
    assert (reopened.status, reopened.completed_at) == ("active", 0)
    bench.agent().complete(Lease(item=item))
    assert bench.state(waiting) is State.QUEUED


def test_records_of_many_items_keep_order(bench: Bench) -> None:
    items = [bench.item() for _ in range(45)]

    records = bench.queue.views.records([*items[::-1], "item_00000000"])

    assert [record.item.id for record in records] == items[::-1]


@pytest.mark.parametrize("which", ["", "open", "completed"])
def test_projects_have_pages_by_status(bench: Bench, which: str) -> None:
    projects = [bench.project() for _ in range(5)]
    for project in projects[::2]:
        bench.queue.complete_project(project)
    wanted = {"": projects, "open": projects[1::2], "completed": projects[::2]}

    page = bench.queue.views.projects_page(which, limit=2)
    found = list(page.projects)
    while page.skip is not None:
        page = bench.queue.views.projects_page(which, skip=page.skip, limit=2)
        found += page.projects

    # those of one millisecond may be in any order
    assert {project.id for project in found} == set(wanted[which])
    times = [project.created_at for project in found]
    assert times == sorted(times, reverse=True)
    assert len(found) == len(wanted[which])
