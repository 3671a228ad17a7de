"""The queue behind sentinels: all verbs, failovers, and sentinels that fail."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import failover_loss
import pytest
import redis
from support import topologies
from support.builders import Bench, need_lease
from support.commands import SOON_S, eventually
from support.connections import connect
from support.late_copies import check_late_copies
from support.topologies import Node, Sentinels
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem, State
from taskorch.queue.queue import Queue
from taskorch.queue.wait_results import Goal

#: The rights on a sentinel that docs/operations.md states.
RIGHT = "+sentinel|get-master-addr-by-name"


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with topologies.sentinels(tmp_path_factory.mktemp("sentinels")) as running:
        yield running


@pytest.fixture
def deployment(
    started: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> Sentinels:
    """All servers run, and the replicas have everything that was written.

    A busy machine may need long for a failover.
    """
    monkeypatch.setattr("taskorch.connections.FAILOVER_PATIENCE_S", SOON_S)
    for server in started.servers:
        server.start()
    started.await_agreement()
    for (
        server
    ) in started.replicas:  # the sentinels say so, too, but take their time
        topologies.command(
            server, "REPLICAOF", "127.0.0.1", started.primary.port
        )
    started.await_replicas(2)
    return started


def queue(
    deployment: Sentinels, url: str = "", wait_replicas: int = 0
) -> Queue:
    return Queue(
        connect(url or deployment.url, wait_replicas=wait_replicas),
        "team",
        Caller(agent="planner"),
    )


def test_every_verb_works_on_the_primary(deployment: Sentinels) -> None:
    bench = Bench(
        queue(deployment), deployment.primary.raw, "team", deployment.url
    )

    done = list(workflow(bench))

    assert len(done) > 40
    assert bench.inconsistencies() == []


def test_late_copy_of_a_call_never_acts(deployment: Sentinels) -> None:
    check_late_copies(
        Bench(
            queue(deployment), deployment.primary.raw, "team", deployment.url
        )
    )


def test_one_reachable_sentinel_is_enough(deployment: Sentinels) -> None:
    dead, living = topologies.free_ports(1)[0], deployment.sentinels[1].address

    project = queue(
        deployment,
        f"redis+sentinel://127.0.0.1:{dead},{living}/{topologies.SERVICE}",
    ).project("x")

    assert project.startswith("proj_")


def test_another_database_is_another_queue(
    deployment: Sentinels,
) -> None:
    project = queue(deployment, deployment.url + "/1").project("In database 1")

    assert [
        each.id
        for each in queue(deployment, deployment.url + "/1").views.projects()
    ] == [project]
    assert project not in {
        each.id for each in queue(deployment).views.projects()
    }


def test_open_queue_follows_a_planned_failover(
    deployment: Sentinels,
) -> None:
    lasting = queue(deployment)
    before = lasting.project("Before")
    deployment.fail_over()

    # The old primary takes writes until it learns of the failover: only the sentinels
    # know.
    eventually(lambda: _has(deployment.primary, lasting.project("After")))

    assert before in {each.id for each in lasting.views.projects()}


def test_sentinels_are_asked_before_a_stale_primary(
    deployment: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.transport.failover.ASK_AGAIN_S", 0)
    lasting = queue(deployment)
    lasting.project("Before")
    deployment.fail_over()

    project = lasting.project("After")

    assert _has(deployment.primary, project)


def test_next_primary_runs_a_pending_step_once(
    deployment: Sentinels,
) -> None:
    lasting = queue(deployment)
    project = lasting.project("A project")
    for number in range(5):
        lasting.create(project, NewItem(title=f"Item {number}", agent="ada"))
    _write_to_all_replicas(deployment)
    deployment.kill_primary()

    lease = need_lease(lasting.agent_queue("ada").claim())
    lasting.agent_queue("ada").complete(lease, "done")
    items = [
        lasting.create(project, NewItem(title="Another", agent="ada"))
        for _ in range(3)
    ]

    counts = lasting.views.progress(project).project.counts
    assert (counts[State.COMPLETED], counts[State.QUEUED]) == (1, 7)
    assert len(set(items)) == 3


@pytest.mark.parametrize("planned", [True, False])
def test_idle_client_finds_the_new_primary(
    deployment: Sentinels, monkeypatch: pytest.MonkeyPatch, *, planned: bool
) -> None:
    monkeypatch.setattr(
        "taskorch.transport.failover.ASK_AGAIN_S", 3600
    )  # nothing but the reply of the old primary tells it
    lasting = queue(deployment)
    before = lasting.project("Before")
    _write_to_all_replicas(deployment)
    old = deployment.primary if planned else deployment.kill_primary()
    if planned:
        deployment.fail_over()
    else:
        deployment.await_failover(old)
        old.start()
    topologies.command(
        old, "REPLICAOF", "127.0.0.1", deployment.primary.port
    )  # as the sentinels do 10 s later
    topologies.command(
        old, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"
    )

    after = lasting.project("After")

    assert {before, after} <= {each.id for each in lasting.views.projects()}
    assert _has(deployment.primary, after)


def test_planned_failover_loses_no_replicated_step(
    deployment: Sentinels,
) -> None:
    loss = failover_loss.measure(deployment, wait_replicas=2)

    assert loss.acknowledged >= failover_loss.STEPS * failover_loss.WRITERS
    assert loss.lost.total() == 0, loss.line()


def test_broken_wait_continues_on_the_next_primary(
    deployment: Sentinels,
) -> None:
    lasting, claims = queue(deployment), []
    project = lasting.project("A project")
    _write_to_all_replicas(deployment)
    waiter = threading.Thread(
        target=lambda: claims.append(
            queue(deployment).agent_queue("eve").claim(wait_s=60)
        ),
        daemon=True,
    )
    waiter.start()
    eventually(
        lambda: (
            deployment.primary.info("clients").get("blocked_clients", 0) > 0
        )
    )
    deployment.kill_primary()

    item = lasting.create(project, NewItem(title="For eve", agent="eve"))
    waiter.join(60)

    assert [claim and claim.package.item.id for claim in claims] == [item]


def test_follower_gets_events_after_a_failover(
    deployment: Sentinels,
) -> None:
    lasting = queue(deployment)
    lasting.project("Before")
    deployment.fail_over()
    eventually(lambda: _has(deployment.primary, lasting.project("After")))
    cursor = lasting.views.events(limit=1).newest

    lasting.complete_project(lasting.project("After"))

    assert lasting.views.wait_for_event(cursor, 10)


def test_wait_survives_a_failover(deployment: Sentinels) -> None:
    lasting, reached = queue(deployment), list[Goal | None]()
    item = lasting.create(
        lasting.project("A project"), NewItem(title="For eve", agent="eve")
    )
    _write_to_all_replicas(deployment)
    waiting = queue(deployment).waits()
    waiter = threading.Thread(
        target=lambda: reached.append(
            waiting.until(item, [Goal.COMPLETED], timeout_s=60).reached
        ),
        daemon=True,
    )
    waiter.start()
    eventually(
        lambda: (
            deployment.primary.info("clients").get("blocked_clients", 0) > 0
        )
    )
    deployment.kill_primary()

    lasting.agent_queue("eve").complete(Lease(item=item))
    waiter.join(60)

    assert reached == [Goal.COMPLETED]


@pytest.mark.parametrize("service", ["nobody", "main2"])
def test_service_unknown_to_sentinels_is_named(
    deployment: Sentinels, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.connections.FAILOVER_PATIENCE_S", 0.2)

    with pytest.raises(errors.Unreachable) as refusal:
        queue(
            deployment, deployment.url.replace("/main", f"/{service}")
        ).project("x")

    assert f"none knows a primary of '{service}'" in str(refusal.value)
    assert "SENTINEL MASTERS" in refusal.value.hint()


def test_sentinels_need_their_own_password(tmp_path: Path) -> None:
    with topologies.sentinels(tmp_path) as locked:
        for sentinel in locked.sentinels:
            topologies.command(
                sentinel, "ACL", "SETUSER", "watcher", "on", ">sesame", RIGHT
            )
            topologies.command(
                sentinel,
                "ACL",
                "SETUSER",
                "default",
                "-@all",
                "+auth",
                "+hello",
            )

        with pytest.raises(errors.Refused) as refusal:
            queue(
                locked,
                f"{locked.url}?sentinel_username=watcher&sentinel_password=mellon",
            ).project("x")
        project = queue(
            locked,
            f"{locked.url}?sentinel_username=watcher&sentinel_password=sesame",
        ).project("x")

    assert "sentinel_password" in refusal.value.hint()
    assert "mellon" not in str(refusal.value)
    assert project.startswith("proj_")


def test_refusing_sentinels_are_distinguished_from_unreachable_ones(
    tmp_path: Path,
) -> None:
    with topologies.sentinels(tmp_path) as locked:
        for sentinel in locked.sentinels:
            topologies.command(
                sentinel, "ACL", "SETUSER", "watcher", "on", ">sesame", "-@all"
            )

        with pytest.raises(errors.Refused) as refusal:
            queue(
                locked,
                f"{locked.url}?sentinel_username=watcher&sentinel_password=sesame",
            ).project("x")

    assert (
        "orchestrate docs operations#details-of-a-redis-of-your-own"
        in refusal.value.hint()
    )


def _has(server: Node, project: str) -> bool:
    return bool(server.raw.exists(f"taskorch:{{team}}:project:{project}"))


def _write_to_all_replicas(deployment: Sentinels) -> None:
    """Wait until the replicas have everything, so that a failover loses nothing."""

    def written() -> bool:
        with (
            suppress(
                redis.RedisError
            ),  # sentinels cut connections whenever they give a server another role
            deployment.primary.raw.pipeline(transaction=False) as pipeline,
        ):
            pipeline.set("marker", "1")
            pipeline.execute_command("WAIT", 2, 5_000)  # type: ignore[no-untyped-call]
            return bool(pipeline.execute()[1] == 2)
        return False

    eventually(written)
