"""The doctor's checks of agents, dependencies, repairs and this machine."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.config.settings import resolve
from taskorch.domain.item import State
from taskorch.queue.audit import OpenDependency
from taskorch.queue.keys import tag
from taskorch_orchestrator.doctor import checks
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus
from taskorch_orchestrator.doctor.doctor import Diagnosis, examine

DAY_MS = 24 * 3_600_000


def waits(*edges: tuple[str, str]) -> list[OpenDependency]:
    return [
        OpenDependency(item=item, dependency=dependency, state=State.WAITING)
        for item, dependency in edges
    ]


def examined(
    bench: Bench, root: Path, *, fix: bool = False, service: str = "off"
) -> Diagnosis:
    environment = {"TASKORCH_ROOT": str(root), "TASKORCH_SERVICE": service}
    return examine(bench.queue, resolve({}, environment, root), fix=fix)


def check(found: Diagnosis, name: str) -> CheckResult:
    return next(check for check in found.checks if check.name == name)


def test_stale_agent_with_work_is_a_problem(
    bench: Bench,
) -> None:
    bench.item(agent="bob")
    bench.lease_in(State.IN_PROGRESS)
    bench.agent("idle").check()
    agents, now = bench.queue.views.agents(), bench.now_ms()

    soon, late = (
        checks.of_agents(agents, now + DAY_MS - 60_000),
        checks.of_agents(agents, now + DAY_MS + 1),
    )

    assert (soon.status, soon.items) == (CheckStatus.NOTE, ("bob",))
    assert (late.status, late.items) == (CheckStatus.PROBLEM, ("ada",))
    assert late.found.startswith(
        "have work, but were not seen for a day: ada (0 queued, 1 held, seen "
    )
    assert late.mend.startswith("orchestrate list --agent ada")


def test_active_agents_are_fine(bench: Bench) -> None:
    bench.lease_in(State.BLOCKED)

    assert (
        checks.of_agents(bench.queue.views.agents(), bench.now_ms()).status
        is CheckStatus.OK
    )
    assert checks.of_agents([], 0).found == "no agent has work"


def test_items_in_a_cycle_are_named(bench: Bench) -> None:
    items = [
        bench.item(agent="bob", depends_on=(bench.item(),)) for _ in range(3)
    ]
    bench.add_cycle(items)

    found = checks.of_cycles(audit(bench.queue, fix=False).open_dependencies)

    assert (found.status, set(found.items)) == (
        CheckStatus.PROBLEM,
        set(items),
    )
    assert "orchestrate cancel item_" in found.mend


@pytest.mark.parametrize(
    ("edges", "cycles"),
    [
        ([], 0),
        ([("a", "b"), ("b", "c"), ("a", "c")], 0),
        ([("a", "a")], 1),
        ([("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "a")], 2),
    ],
)
def test_each_cycle_is_found_once(
    edges: Sequence[tuple[str, str]], cycles: int
) -> None:
    found = checks.of_cycles(waits(*edges))

    assert (
        found.found.count(", ") + 1 == cycles
        if cycles
        else found.status is CheckStatus.OK
    )


def test_dead_dependencies_are_named(bench: Bench) -> None:
    failed, cancelled = (
        bench.lease_in(State.FAILED).item,
        bench.lease_in(State.CANCELLED).item,
    )
    first = bench.item(depends_on=(failed,))
    second = bench.item(depends_on=(cancelled, bench.item()))

    found = checks.of_dead_dependencies(
        audit(bench.queue, fix=False).open_dependencies
    )

    assert (found.status, set(found.items)) == (
        CheckStatus.PROBLEM,
        {failed, cancelled},
    )
    assert f"{first} waits for {failed} (failed)" in found.found
    assert f"{second} waits for {cancelled} (cancelled)" in found.found
    assert found.mend in {
        f"orchestrate requeue {failed} or orchestrate cancel {first}",
        f"orchestrate requeue {cancelled} or orchestrate cancel {second}",
    }


def test_long_lists_are_cut(bench: Bench, tmp_path: Path) -> None:
    items = {bench.item() for _ in range(17)}
    for item in items:
        bench.delete_entry("queue:ada", item)

    found = check(examined(bench, tmp_path), "indexes")

    assert found.found.endswith(" and 12 more")
    assert set(found.items) == items


def test_repair_is_reported_and_rest_sets_exit_code(
    bench: Bench, tmp_path: Path
) -> None:
    dead = bench.lease_in(State.FAILED).item
    bench.item(depends_on=(dead,))
    lost = bench.claimed().item
    bench.delete_lease_entry(lost)

    before, fixing, after = (
        examined(bench, tmp_path, fix=fix) for fix in (False, True, False)
    )

    assert check(before, "indexes").mend == "orchestrate doctor --fix"
    assert (fixing.fixed, check(fixing, "indexes").found) == (
        1,
        f"repaired: {lost} (in_progress, not in leases)",
    )
    assert check(after, "indexes").status is CheckStatus.OK
    assert [found.exit_code for found in (before, fixing, after)] == [5, 5, 5]
    assert check(after, "dead dependencies").status is CheckStatus.PROBLEM


def test_other_schema_version_ends_the_checks(
    bench: Bench, tmp_path: Path
) -> None:
    bench.project()
    bench.set_schema("99")

    found = examined(bench, tmp_path, fix=True)
    bench.set_schema("2")

    assert [one.name for one in found.checks] == ["schema", "root", "service"]
    assert (check(found, "schema").status, found.exit_code) == (
        CheckStatus.PROBLEM,
        5,
    )


def test_busy_namespace_is_a_note(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bench.project()
    look_at_agents = bench.queue.views.agents

    def busy(**options: int) -> object:
        bench.item(project)
        return look_at_agents(**options)

    monkeypatch.setattr(bench.queue.views, "agents", busy)

    found = check(examined(bench, tmp_path, fix=True), "counts")

    assert (found.status, found.found) == (
        CheckStatus.NOTE,
        "could not be compared while the namespace is busy",
    )


def test_mirror_with_problems_is_a_note(bench: Bench, tmp_path: Path) -> None:
    bench.queue.mirror_take("root", "here", 60_000)
    bench.queue.mirror_give(
        "root",
        "here",
        {"path": "/a/root", "troubles": {"x.json": "damaged"}},
        {},
    )

    found = check(examined(bench, tmp_path), "files")

    assert (found.status, found.found, found.mend) == (
        CheckStatus.NOTE,
        "problems in /a/root",
        "orchestrate sync status",
    )


def test_missing_service_is_a_note_if_wanted(
    bench: Bench, tmp_path: Path
) -> None:
    wanted = check(examined(bench, tmp_path, service="on"), "service")
    not_wanted = check(examined(bench, tmp_path), "service")

    assert (wanted.status, wanted.mend) == (
        CheckStatus.NOTE,
        "orchestrate server start",
    )
    assert not_wanted.status is CheckStatus.OK


def test_unwritable_root_is_a_problem() -> None:
    assert checks.of_root("/a", writable=False).mend == "chmod u+w /a"
    assert (
        checks.of_root("/a", exists=False, writable=False).mend == "mkdir /a"
    )
    assert checks.of_root("/a", writable=True).status is CheckStatus.OK


def test_dead_dependency_in_closed_project_names_reopen(
    bench: Bench, tmp_path: Path
) -> None:
    dead = bench.item(bench.project())
    waiting = bench.item(depends_on=(dead,))
    bench.queue.cancel_project(bench.queue.views.show(dead).item.project)

    found = check(examined(bench, tmp_path), "dead dependencies")

    assert found.mend == (
        f"orchestrate requeue {dead} --reopen or orchestrate cancel {waiting}"
    )


def test_agents_that_are_forgotten_soon_are_counted(
    bench: Bench, tmp_path: Path
) -> None:
    bench.item(agent="busy")
    for name in ("idle", "limited", "recent"):
        bench.agent(name).check()
    bench.queue.set_budget("limited", period="day", limit_micros=1)
    month_ago = bench.now_ms() - 31 * DAY_MS
    for name in ("idle", "limited"):
        bench.raw.zadd(f"{tag(bench.namespace)}agents", {name: month_ago})

    found = check(examined(bench, tmp_path), "idle agents")

    assert found.items == ("idle",)
    assert found.found.startswith("1 agent without items")


def test_projects_that_are_due_are_noted(bench: Bench, tmp_path: Path) -> None:
    project = bench.project()
    bench.queue.complete_project(project)
    young = check(examined(bench, tmp_path), "archive")
    bench.age_project(project, days=92)

    old = check(examined(bench, tmp_path), "archive")

    assert (young.status, old.status) == (CheckStatus.OK, CheckStatus.NOTE)
    assert young.found == "0 projects in the archive of this root"
    assert old.found.startswith("1 completed project is older")


def test_archive_is_reported_with_its_size(
    bench: Bench, tmp_path: Path
) -> None:
    folder = tmp_path / ".task-orchestrator" / "archive"
    folder.mkdir(parents=True)
    (folder / "proj_1a2b3c4d-20261201T093000Z.jsonl.gz").write_bytes(
        b"x" * 700
    )

    found = check(examined(bench, tmp_path), "archive").found

    assert found == "1 project in the archive of this root (0.7 kB)"
