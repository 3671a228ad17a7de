"""Agents that have no items and have not called for long are forgotten."""

import pytest
from support.backups import fill_namespace
from support.builders import Bench
from taskorch.domain.item import State
from taskorch.queue import keys, queue
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.purge import delete, find_completed

MONTH_MS = 30 * 86_400_000


def last_called(bench: Bench, agent: str, *, days: int) -> None:
    """Set the time of an agent's last call."""
    at = bench.now_ms() - days * 86_400_000
    bench.raw.zadd(f"{keys.tag(bench.namespace)}agents", {agent: at})


def first_named(bench: Bench, agent: str, *, days: int) -> None:
    """Set the time at which an agent that never called was first named."""
    at = bench.now_ms() - days * 86_400_000
    bench.raw.hset(f"{keys.tag(bench.namespace)}agent:{agent}", "named_at", at)


def names(bench: Bench) -> set[str]:
    return {agent.name for agent in bench.queue.views.agents()}


def forget(bench: Bench) -> int:
    return bench.queue.forget_agents(unseen_ms=MONTH_MS)


def test_idle_agent_is_forgotten_after_a_month(bench: Bench) -> None:
    for name, days in (("old", 31), ("recent", 29)):
        bench.agent(name).check()
        last_called(bench, name, days=days)

    forgotten = forget(bench)

    assert forgotten == 1
    assert names(bench) == {"recent"}
    assert [key for key in bench.everything() if "old" in key] == []
    assert audit(bench.queue, fix=False).findings == ()


@pytest.mark.parametrize(
    "state", [state for state in State if state is not State.PENDING]
)
def test_agent_with_item_is_not_forgotten(bench: Bench, state: State) -> None:
    lease = bench.lease_in(state)
    last_called(bench, "ada", days=400)
    last_called(bench, "bob", days=400)

    forget(bench)

    assert "ada" in names(bench)
    assert bench.queue.views.show(lease.item).item.agent == "ada"
    assert audit(bench.queue, fix=False).findings == ()


def test_agent_is_forgotten_after_purge_of_its_items(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.bring_to(item, State.COMPLETED)
    bench.queue.complete_project(project)
    last_called(bench, "ada", days=31)
    before = forget(bench)
    delete(bench.queue, find_completed(bench.queue, [project]))

    after = forget(bench)

    assert (before, after) == (0, 1)
    assert names(bench) == set()


def test_agent_never_called_is_forgotten_after_month(
    bench: Bench,
) -> None:
    item = bench.item(agent="misspelt")
    bench.queue.assign(item, "ada")
    before = forget(bench)
    first_named(bench, "misspelt", days=31)

    after = forget(bench)

    assert (before, after) == (0, 1)
    assert names(bench) == {"ada"}


def test_agent_of_an_older_version_is_forgotten_later(bench: Bench) -> None:
    item = bench.item(agent="misspelt")
    bench.queue.assign(item, "ada")
    tag = keys.tag(bench.namespace)
    bench.raw.hdel(f"{tag}agent:misspelt", "named_at")

    first = forget(bench)
    named_at = bench.raw.hget(f"{tag}agent:misspelt", "named_at")

    assert first == 0
    assert named_at


def test_agent_with_wrong_count_is_not_forgotten(bench: Bench) -> None:
    lease = bench.claimed()
    tag = keys.tag(bench.namespace)
    bench.raw.hset(f"{tag}agent:ada", "n_in_progress", "0")
    last_called(bench, "ada", days=31)

    forget(bench)

    assert lease.item in bench.members("held:ada")
    assert names(bench) == {"ada"}


def test_forgotten_agent_that_calls_is_known_again(bench: Bench) -> None:
    bench.agent().check()
    last_called(bench, "ada", days=31)
    forget(bench)

    item = bench.item()

    assert bench.claimed_next() == item
    assert names(bench) == {"ada"}


@pytest.mark.parametrize("batch", [1, 2, 3, 200])
def test_agents_are_forgotten_in_parts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(queue, "FORGET_BATCH", batch)
    for number in range(7):
        name = f"agent{number}"
        if number % 3:
            bench.agent(name).check()
        else:
            bench.item(agent=name)
        last_called(bench, name, days=31 + number)

    forgotten = forget(bench)

    assert forgotten == 4
    assert names(bench) == {"agent0", "agent3", "agent6"}


def test_busy_namespace_forgets_nobody(bench: Bench) -> None:
    fill_namespace(bench)
    before = bench.everything()
    for name in names(bench) - {"bob", "carl"}:
        last_called(bench, name, days=31)

    forgotten = forget(bench)

    assert forgotten == 0
    assert bench.everything().keys() - before.keys() == set()
