"""Batches and plans: items are created all or none, after their dependencies."""

from collections.abc import Callable

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Item, NewItem, State
from taskorch.queue.plan import Plan
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests


def chain(length: int) -> tuple[NewItem, ...]:
    """Return items that each depend on the one before."""
    return tuple(
        NewItem(
            title=f"Item {n}",
            key=f"k{n}",
            agent="ada",
            depends_on=(n - 1,) if n else (),
        )
        for n in range(length)
    )


def shown(bench: Bench) -> list[Item]:
    return list(bench.queue.views.list(limit=5000).items)


def test_batch_items_depend_on_each_other_by_index(bench: Bench) -> None:
    project, elsewhere = bench.project(), bench.item()
    items = [
        NewItem(title="a", agent="ada"),
        NewItem(title="b", agent="ada", depends_on=(0, elsewhere)),
        NewItem(title="c", depends_on=(1, 0)),
    ]

    a, b, c = bench.queue.create_many(project, items)

    views = {item.id: item for item in shown(bench)}
    assert [views[item.id].depends_on for item in (a, b, c)] == [
        (),
        (a.id, elsewhere),
        (b.id, a.id),
    ]
    assert [item.state for item in (a, b, c)] == [
        State.QUEUED,
        State.WAITING,
        State.PENDING,
    ]
    assert [views[item.id].state for item in (a, b, c)] == [
        a.state,
        b.state,
        c.state,
    ]
    assert bench.inconsistencies() == []


def test_chain_is_queued_link_by_link(bench: Bench) -> None:
    created = bench.queue.create_many(bench.project(), chain(4))
    done = []

    while claim := bench.agent().claim():
        assert claim.lease is not None
        bench.agent().complete(claim.lease, "done")
        done.append(claim.lease.item)

    assert done == [item.id for item in created]
    assert bench.inconsistencies() == []


def test_batch_items_are_queued_in_order(bench: Bench) -> None:
    created = bench.queue.create_many(
        bench.project(),
        [NewItem(title=f"{n}", agent="ada") for n in range(20)],
    )

    assert [item.id for item in bench.agent().check().items] == [
        item.id for item in created
    ]


def test_each_batch_item_has_an_event(bench: Bench) -> None:
    created = bench.queue.create_many(bench.project(), chain(3))

    events = [
        (event["verb"], event["item"], event["state"])
        for event in bench.events()
    ]

    assert events[1:] == [
        ("create", item.id, str(item.state)) for item in created
    ]


@pytest.mark.parametrize(
    "last",
    [
        NewItem(title="x", depends_on=("item_00000000",)),
        NewItem(title="x", depends_on=("proj_00000000",)),
        NewItem(title="x", depends_on=(3,)),
        NewItem(title="x", depends_on=(4,)),
        NewItem(title="x", depends_on=(-1,)),
        NewItem(title="x", key="k0"),
        NewItem(title=" "),
        NewItem(title="x", agent="../x"),
        NewItem(title="x", priority=5),
        NewItem(title="x", depends_on=tuple(f"item_{n}" for n in range(201))),
    ],
    ids=str,
)
@pytest.mark.parametrize("new_project", [True, False])
def test_error_in_last_item_creates_nothing(
    bench: Bench, last: NewItem, *, new_project: bool
) -> None:
    plan = Plan(title="New", key="plan", items=(*chain(3), last))
    if not new_project:
        plan = Plan(project=bench.project(), items=plan.items)
    bench.queue.views.projects()
    before = bench.everything()

    with pytest.raises((errors.Invalid, errors.NotFound)):
        bench.queue.apply(plan)

    after = bench.everything()
    (
        after.pop("meta", None),
        before.pop("meta", None),
    )  # the first call of a namespace writes its schema
    assert after == before


def test_completed_project_refuses_new_items(bench: Bench) -> None:
    project = bench.project()
    bench.queue.complete_project(project)
    before = bench.everything()

    with pytest.raises(errors.ProjectClosed):
        bench.queue.create_many(project, chain(2))

    assert bench.everything() == before


def test_repeat_in_completed_project_is_allowed(bench: Bench) -> None:
    project = bench.project()
    first = bench.queue.create_many(project, chain(2))
    bench.queue.complete_project(project, force=True)

    again = bench.queue.create_many(project, chain(2))

    assert [item.id for item in again] == [item.id for item in first]
    assert {(item.created, item.state) for item in again} == {
        (False, State.CANCELLED)
    }


def test_plan_without_items_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.Invalid, match="has no items"):
        bench.queue.create_many(bench.project(), [])


def test_plan_of_51_items_is_refused(bench: Bench) -> None:
    before = bench.everything()

    with pytest.raises(errors.Invalid) as refusal:
        bench.queue.apply(Plan(title="Much", items=chain(51)))

    assert str(refusal.value) == (
        "The plan has 51 items; at most 50 are created in one step, all or none. "
        "Split the plan: the next one names the project and the ids of earlier items."
    )
    assert bench.everything() == before


def test_plan_of_50_items_is_created(bench: Bench) -> None:
    created = bench.queue.apply(Plan(title="Much", items=chain(50))).items

    assert len({item.id for item in created}) == 50
    assert [item.id for item in shown(bench)] == [item.id for item in created]
    assert bench.agent().check().later == 49
    assert bench.inconsistencies() == []


def test_batch_takes_at_most_150_dependencies(bench: Bench) -> None:
    needed = [NewItem(title="x")] * 10
    waiting = [NewItem(title="x", depends_on=tuple(range(5)))] * 20
    other = bench.create_many(bench.project(), [NewItem(title="x")] * 51)
    ids = [item.id for item in other]
    last, too_many = (
        NewItem(title="x", depends_on=tuple(ids[:count])) for count in (50, 51)
    )
    before = bench.everything()

    with pytest.raises(
        errors.Invalid, match="number of all dependencies is 151"
    ):
        bench.queue.create_many(bench.project(), [*needed, *waiting, too_many])
    created = bench.queue.create_many(
        bench.project(), [*needed, *waiting, last]
    )

    assert len(before) < len(bench.everything())
    assert len(bench.queue.views.show(created[-1].id).item.depends_on) == 50


@pytest.mark.parametrize(
    "text",
    ["a\nb", "\1", "ü😀", '"\\', "a\u2028b", "{}", "[]", "null", "x" * 65536],
)
def test_any_text_is_stored_unchanged(bench: Bench, text: str) -> None:
    new = NewItem(
        title=text[:500],
        description=text,
        requirements=(text, text),
        context={text: text},
        criteria=(text,),
        key=text,
    )

    created = bench.queue.create_many(
        bench.project(), [new, NewItem(title="U", depends_on=(0,))]
    )

    item = bench.queue.views.show(created[0].id).item
    assert (item.description, item.requirements, item.criteria) == (
        text,
        (text, text),
        (text,),
    )
    assert (item.title, item.context, created[0].name) == (
        text[:500],
        {text: text},
        text,
    )


def test_dependency_by_index_and_id_counts_once(bench: Bench) -> None:
    project = bench.project()
    (first,) = bench.queue.create_many(project, chain(1))

    second = bench.queue.create_many(
        project, [*chain(1), NewItem(title="x", depends_on=(0, first.id))]
    )[1]

    assert bench.queue.views.show(second.id).item.depends_on == (first.id,)


def test_repeated_batch_adds_items_that_depend_on_existing(
    bench: Bench,
) -> None:
    project = bench.project()
    (first,) = bench.queue.create_many(project, chain(1))
    bench.bring_to(first.id, State.COMPLETED)

    again, second = bench.queue.create_many(project, chain(2))

    assert (again.id, again.created, again.state) == (
        first.id,
        False,
        State.COMPLETED,
    )
    assert (second.created, second.state) == (True, State.QUEUED)
    assert bench.queue.views.show(second.id).item.depends_on == (first.id,)


def test_existing_item_is_left_unchanged(bench: Bench) -> None:
    project = bench.project()
    first = bench.queue.create_many(project, chain(3))
    bench.queue.assign(first[0].id, "bob")
    before = bench.everything()

    again = bench.queue.create_many(
        project, [replace(new, title="Other", agent="eve") for new in chain(3)]
    )

    assert bench.everything() == before
    assert [(item.id, item.created) for item in again] == [
        (item.id, False) for item in first
    ]
    assert [item.agent for item in again] == ["bob", "ada", "ada"]


def test_plan_creates_its_project(bench: Bench) -> None:
    applied = bench.queue.apply(
        Plan(title="New", description="All of it", items=chain(2))
    )

    project = bench.queue.views.projects()[0]
    assert (project.id, project.title, project.description) == (
        applied.project,
        "New",
        "All of it",
    )
    assert (project.orchestrator, project.status, project.wanted) == (
        "planner",
        "active",
        2,
    )
    assert applied.created
    assert [event["verb"] for event in bench.events()] == [
        "project",
        "create",
        "create",
    ]


def test_plan_without_key_creates_project_each_time(bench: Bench) -> None:
    plan = Plan(title="New", items=chain(2))

    assert bench.queue.apply(plan).project != bench.queue.apply(plan).project
    assert len(shown(bench)) == 4


def test_repeated_plan_leaves_existing_items_unchanged(
    bench: Bench,
) -> None:
    plan = Plan(title="New", key="auth-1", items=chain(3))
    first = bench.queue.apply(plan)
    before = bench.everything()

    again = bench.queue.apply(
        replace(plan, title="Newer", description="Changed")
    )

    assert bench.everything() == before
    assert (again.project, again.created) == (first.project, False)
    assert [item.id for item in again.items] == [
        item.id for item in first.items
    ]


def test_repeated_plan_adds_new_items(bench: Bench) -> None:
    first = bench.queue.apply(Plan(title="New", key="auth-1", items=chain(2)))

    more = bench.queue.apply(Plan(title="New", key="auth-1", items=chain(4)))

    assert more.project == first.project
    assert [item.created for item in more.items] == [False, False, True, True]
    assert len(shown(bench)) == 4
    assert bench.inconsistencies() == []


def test_plan_key_of_purged_project_creates_another(bench: Bench) -> None:
    plan = Plan(title="New", key="auth-1", items=chain(1))
    first = bench.queue.apply(plan)
    bench.raw.delete(f"taskorch:{{{bench.namespace}}}:project:{first.project}")

    second = bench.queue.apply(plan)

    assert second.project != first.project
    assert bench.queue.apply(plan).project == second.project


def test_plan_for_unknown_project_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.NoProject):
        bench.queue.apply(Plan(project="proj_00000000", items=chain(1)))


@pytest.mark.parametrize("title", ["", " ", "x" * 501])
def test_new_project_needs_a_title(bench: Bench, title: str) -> None:
    with pytest.raises(errors.Invalid, match="title"):
        bench.queue.apply(Plan(title=title, items=chain(1)))

    assert bench.everything() == {}


@pytest.mark.parametrize("new_project", [True, False])
def test_dry_run_writes_nothing(bench: Bench, *, new_project: bool) -> None:
    plan = (
        Plan(title="New", key="k", items=chain(2))
        if new_project
        else Plan(project=bench.project(), items=chain(2))
    )
    before, replies = bench.everything(), len(bench.kept_replies())

    applied = bench.queue.apply(plan, dry_run=True)

    assert (bench.everything(), len(bench.kept_replies())) == (before, replies)
    assert (applied.project, applied.created) == (
        plan.project or "",
        new_project,
    )
    assert [
        (item.id, item.state, item.agent, item.created)
        for item in applied.items
    ] == [("", None, "ada", True)] * 2


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        (
            lambda _: Plan(
                title="x",
                items=(NewItem(title="x", depends_on=("item_00000000",)),),
            ),
            errors.NoItem,
        ),
        (
            lambda _: Plan(project="proj_00000000", items=chain(1)),
            errors.NoProject,
        ),
        (
            lambda bench: Plan(project=closed(bench), items=chain(1)),
            errors.ProjectClosed,
        ),
    ],
)
def test_dry_run_raises_the_errors_of_a_run(
    bench: Bench, wrong: Callable[[Bench], Plan], refusal: type[Exception]
) -> None:
    plan = wrong(bench)

    for dry_run in (True, False):
        with pytest.raises(refusal):
            bench.queue.apply(plan, dry_run=dry_run)


def closed(bench: Bench) -> str:
    project = bench.project()
    bench.queue.complete_project(project)
    return project


def test_dry_run_reports_existing_items(bench: Bench) -> None:
    first = bench.queue.apply(Plan(title="New", key="k", items=chain(1)))

    applied = bench.queue.apply(
        Plan(title="New", key="k", items=chain(2)), dry_run=True
    )

    assert (applied.project, applied.created) == (first.project, False)
    assert [(item.id, item.created) for item in applied.items] == [
        (first.items[0].id, False),
        ("", True),
    ]


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
@pytest.mark.parametrize("dry_run", [True, False])
def test_dead_dependency_is_reported(
    bench: Bench, state: State, *, dry_run: bool
) -> None:
    alive, dead = bench.item(), bench.bring_to(bench.item(), state).item
    items = (
        NewItem(title="a", depends_on=(alive, dead)),
        NewItem(title="b", depends_on=(alive, 0)),
    )

    a, b = bench.queue.apply(
        Plan(title="New", items=items), dry_run=dry_run
    ).items

    assert (a.dead_dependency, a.dead_state) == (dead, state)
    assert (
        a.hint
        == f"{dead} is {state}: the new item cannot start unless it is requeued."
    )
    assert (b.dead_dependency, b.dead_state, b.hint) == ("", "", "")


def test_imported_id_is_kept_and_can_be_referenced(bench: Bench) -> None:
    project = bench.project()
    items = [
        NewItem(title="a", id="item_0ld"),
        NewItem(title="b", depends_on=(0,)),
    ]

    a, b = bench.queue.create_many(project, items)
    again = bench.queue.create_many(project, items[:1])

    assert (a.id, again[0].id, again[0].created) == (
        "item_0ld",
        "item_0ld",
        False,
    )
    assert bench.queue.views.show(b.id).item.depends_on == ("item_0ld",)


def test_two_batch_items_with_one_id_are_refused(bench: Bench) -> None:
    with pytest.raises(errors.Invalid, match="item_0ld"):
        bench.queue.create_many(
            bench.project(), [NewItem(title="a", id="item_0ld")] * 2
        )


def test_single_item_cannot_depend_on_an_index(bench: Bench) -> None:
    with pytest.raises(errors.Invalid, match="is not before it"):
        bench.queue.create(
            bench.project(), NewItem(title="x", depends_on=(0,))
        )


def test_batch_items_have_their_own_start_times(bench: Bench) -> None:
    items = [
        NewItem(title="a", agent="ada", delay_ms=60_000),
        NewItem(title="b", agent="ada", not_before_at=1),
    ]

    a, b = bench.queue.create_many(bench.project(), items)

    assert (a.state, b.state) == (State.DELAYED, State.QUEUED)
    assert bench.queue.views.show(a.id).item.not_before_at > bench.now_ms()


def for_agents(*agents: str) -> Plan:
    return Plan(
        title="New",
        items=tuple(NewItem(title="x", agent=agent) for agent in agents),
    )


def test_new_agents_are_named_once(bench: Bench) -> None:
    bench.agent("bob").check()
    bench.agent("ada").check()
    plan = for_agents("eve", "ada", "", "carl", "eve")

    tried = bench.queue.apply(plan, dry_run=True)
    first = bench.queue.apply(plan)
    second = bench.queue.apply(plan)

    assert tried.new_agents == first.new_agents == ("eve", "carl")
    assert set(tried.other_agents) == {"ada", "bob"}
    assert tried.other_agents == first.other_agents
    assert (second.new_agents, second.other_agents) == ((), ())


def test_agent_of_existing_item_is_not_new(bench: Bench) -> None:
    project = bench.project()
    bench.queue.create(project, NewItem(title="x", key="k"))

    again = NewItem(title="x", key="k", agent="eve")
    applied = bench.queue.apply(Plan(project=project, items=(again,)))

    assert applied.new_agents == ()
    assert bench.queue.views.agents() == ()


def test_repeat_names_the_same_new_agents(bench: Bench) -> None:
    bench.agent("ada").check()
    scripts = bench.queue._scripts
    same = Queue(
        scripts.connection,
        bench.namespace,
        scripts.caller,
        requests=Requests(same="0123456789abcdef"),
    )

    first, again = (same.apply(for_agents("eve")) for _ in range(2))

    assert again == first
    assert (again.new_agents, again.other_agents) == (("eve",), ("ada",))


def test_dead_item_of_closed_project_names_reopen(bench: Bench) -> None:
    project = bench.project()
    item = bench.queue.create(project, NewItem(title="x", key="k"))
    bench.queue.complete_project(project, force=True)

    (created,) = bench.queue.create_many(
        project, [NewItem(title="x", key="k")]
    )

    assert f"orchestrate requeue {item} --reopen. " in created.hint


def test_call_with_51_items_says_what_to_do(bench: Bench) -> None:
    project = bench.project()
    before = bench.everything()

    with pytest.raises(errors.Invalid) as refusal:
        bench.queue.create_many(project, chain(51))

    assert str(refusal.value) == (
        "One call creates at most 50 items, all or none, not 51. Use several calls: "
        "an item may depend on the ids that earlier calls returned."
    )
    assert bench.everything() == before
