"""The queue on a cluster: all verbs, failovers, and slots that move."""

import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
import redis
from support import topologies
from support.builders import Bench, need_lease
from support.commands import SOON_S, eventually
from support.connections import connect
from support.late_copies import check_late_copies
from support.topologies import Cluster
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Caller, NewItem, State
from taskorch.queue import keys, scripts
from taskorch.queue.queue import Queue
from taskorch.transport.failover import raw_client

OPERATIONS = 200


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with topologies.cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let calls follow a failover that takes long on a busy machine."""
    monkeypatch.setattr("taskorch.connections.FAILOVER_PATIENCE_S", SOON_S)


def queue(cluster: Cluster, namespace: str) -> Queue:
    return Queue(connect(cluster.url), namespace, Caller(agent="planner"))


def bench(cluster: Cluster, namespace: str) -> Bench:
    return Bench(
        queue(cluster, namespace),
        cluster.primary_of(namespace).raw,
        namespace,
        cluster.url,
    )


def command(client: redis.Redis, *words: str | int) -> object:
    return cast(Any, client).execute_command(*words)


@pytest.mark.parametrize("namespace", ["one", "two", "three", "four"])
def test_every_verb_works_on_every_node(
    cluster: Cluster, namespace: str
) -> None:
    there = bench(cluster, namespace)

    done = list(workflow(there))

    assert len(done) > 40
    assert there.inconsistencies() == []


def test_late_copy_of_a_call_never_acts(cluster: Cluster) -> None:
    check_late_copies(bench(cluster, "late"))


def test_namespaces_spread_over_the_nodes(cluster: Cluster) -> None:
    nodes = {
        cluster.primary_of(namespace).port
        for namespace in ("one", "two", "three", "four", "five", "six")
    }

    assert len(nodes) > 1


def test_cluster_node_is_distinguished_from_one_server(
    cluster: Cluster,
) -> None:
    node = cluster.other_primary("one")

    with pytest.raises(errors.Usage) as refusal:
        Queue(
            connect(f"redis://{node.address}"), "one", Caller(agent="planner")
        ).project("x")

    assert "Use redis+cluster://host:port" in str(refusal.value)


def test_moved_slot_is_followed(cluster: Cluster) -> None:
    lasting = queue(cluster, "moved")
    before = lasting.project("Before")
    target = cluster.move_slot_atomically("moved")

    after = lasting.project("After")

    assert target.raw.exists(f"taskorch:{{moved}}:project:{after}")
    assert {each.id for each in lasting.views.projects()} == {before, after}


@pytest.mark.parametrize("way", ["key by key", "at once"])
def test_operations_stay_whole_while_the_slot_moves(
    cluster: Cluster, way: str
) -> None:
    namespace = f"reshard-{way.replace(' ', '-')}"
    project = queue(cluster, namespace).project("A project")
    failures, done = [], threading.Semaphore(0)

    def work(agent: str) -> None:
        own = queue(cluster, namespace)
        for _ in range(OPERATIONS // 4 // 3):
            try:
                item = own.create(
                    project, NewItem(title="An item", agent=agent)
                )
                done.release()
                lease = need_lease(own.agent_queue(agent).claim())
                assert lease.item == item
                done.release()
                own.agent_queue(agent).complete(lease, "done")
                done.release()
            except Exception as error:  # noqa: BLE001  whatever it is, the test is to tell it
                failures.append(error)

    workers = [
        threading.Thread(target=work, args=[f"agent{number}"])
        for number in range(4)
    ]
    for worker in workers:
        worker.start()
    for _ in range(20):  # operations are under way
        assert done.acquire(timeout=60)
    target = (
        cluster.move_slot_by_key(
            namespace, between=lambda: done.acquire(timeout=0.01)
        )
        if way == "key by key"
        else cluster.move_slot_atomically(namespace)
    )
    for worker in workers:
        worker.join(120)

    there = bench(cluster, namespace)
    counts = there.queue.views.progress(project).project.counts
    assert failures == []
    assert cluster.primary_of(namespace) is target
    assert (counts[State.COMPLETED], sum(counts.values())) == (
        OPERATIONS // 4 // 3 * 4,
        OPERATIONS // 4 // 3 * 4,
    )
    assert there.inconsistencies() == []


def test_script_is_fenced_before_it_writes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = queue(cluster, "fenced")
    project = patient.project("A project")
    item = patient.create(project, NewItem(title="An item", agent="ada"))
    refused: list[errors.TaskOrchestratorError] = []
    monkeypatch.setattr("taskorch.connections.FAILOVER_PATIENCE_S", 0.0001)
    impatient = queue(cluster, "fenced")

    def between() -> None:
        for step in (
            lambda: impatient.create(
                project, NewItem(title="Another", agent="ada")
            ),
            lambda: impatient.agent_queue("ada").claim(),
            lambda: impatient.cancel(item),
        ):
            with pytest.raises(errors.Stalled) as refusal:
                step()
            refused.append(refusal.value)

    cluster.move_slot_by_key("fenced", between)

    there = bench(cluster, "fenced")
    assert len(refused) > 20
    assert {error.details["why"] for error in refused} == {"TRYAGAIN"}
    assert "is moving the keys of this namespace" in refused[0].hint()
    assert [
        each.state for each in there.queue.views.list(project=project).items
    ] == [State.QUEUED]
    assert there.inconsistencies() == []


def test_importing_node_fences_scripts_too(cluster: Cluster) -> None:
    there = bench(cluster, "asking")
    lease = there.claimed()
    target, complete = (
        cluster.other_primary("asking"),
        scripts.load("complete"),
    )
    words = (
        "EVAL",
        complete.text,
        1,
        keys.meta("asking"),
        "00112233445566aa",
        "ada",
        *("", "", "", ""),
        *("", "", "", 1),
        lease.item,
    )
    refused: list[str] = []

    def follow_to_the_target() -> None:
        with closing(
            redis.Redis(
                port=target.port,
                single_connection_client=True,
                decode_responses=True,
            )
        ) as client:
            command(client, "ASKING")
            with pytest.raises(redis.ResponseError) as refusal:
                command(client, *words, lease.shown(), "done", "{}")
        refused.append(str(refusal.value))

    cluster.move_slot_by_key("asking", follow_to_the_target)

    assert len(refused) > 5
    assert [told for told in refused if "non local key" not in told] == []
    assert bench(cluster, "asking").state(lease.item) is State.IN_PROGRESS
    assert bench(cluster, "asking").inconsistencies() == []


def test_promoted_replica_runs_a_pending_step_once(
    cluster: Cluster,
) -> None:
    lasting = queue(cluster, "dying")
    project = lasting.project("A project")
    lasting.create(project, NewItem(title="An item", agent="ada"))
    cluster.fail_over("dying")  # the next primary has all of it
    killed = cluster.kill_primary("dying")

    lease = need_lease(lasting.agent_queue("ada").claim())
    lasting.agent_queue("ada").complete(lease, "done")
    lasting.create(project, NewItem(title="Another", agent="ada"))

    counts = lasting.views.progress(project).project.counts
    assert (counts[State.COMPLETED], counts[State.QUEUED]) == (1, 1)
    killed.start()
    cluster.await_failover("dying", killed)


def test_idle_client_finds_the_new_primary(cluster: Cluster) -> None:
    lasting = queue(cluster, "idle")
    before = lasting.project("Before")
    cluster.fail_over("idle")  # the next primary has all of it
    lasting.project("The client is connected to that one")
    killed = cluster.kill_primary("idle")
    cluster.await_failover("idle", killed)
    killed.start()
    eventually(lambda: killed.info("replication").get("role") == "slave")

    after = lasting.project("After")

    assert {before, after} <= {each.id for each in lasting.views.projects()}


def test_client_follows_a_planned_failover(cluster: Cluster) -> None:
    lasting = queue(cluster, "planned")
    before = lasting.project("Before")
    cluster.fail_over("planned")
    cluster.cut_connections()

    after = lasting.project("After")

    assert {before, after} == {each.id for each in lasting.views.projects()}


def test_wait_follows_a_moved_slot(cluster: Cluster) -> None:
    lasting, claims = queue(cluster, "waiting"), []
    project = lasting.project("A project")
    waiter = threading.Thread(
        target=lambda: claims.append(
            queue(cluster, "waiting").agent_queue("eve").claim(wait_s=60)
        ),
        daemon=True,
    )
    waiter.start()
    there = cluster.primary_of("waiting")
    eventually(lambda: there.info("clients").get("blocked_clients", 0) > 0)
    cluster.move_slot_atomically("waiting")

    item = lasting.create(project, NewItem(title="For eve", agent="eve"))
    waiter.join(60)

    assert [claim and claim.package.item.id for claim in claims] == [item]


def test_functions_are_installed_on_a_new_node(
    cluster: Cluster,
) -> None:
    lasting = queue(cluster, "forgetful")
    lasting.project("Before")
    for node in cluster.primaries:
        node.raw.function_flush()
        node.raw.script_flush()

    assert lasting.project("After").startswith("proj_")


def test_lone_node_address_names_the_cluster_address(cluster: Cluster) -> None:
    node = cluster.other_primary("alone")

    with pytest.raises(errors.Usage, match=r"redis\+cluster://"):
        Queue(
            connect(f"redis://{node.address}"),
            "alone",
            Caller(agent="planner"),
        ).project("x")


def test_unreachable_cluster_is_named(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.connections.FAILOVER_PATIENCE_S", 0.2)
    nobody = topologies.free_ports(1)[0]

    with pytest.raises(errors.Unreachable, match=f"127.0.0.1:{nobody}"):
        Queue(
            connect(f"redis+cluster://127.0.0.1:{nobody}"),
            "x",
            Caller(agent="planner"),
        ).project("x")
    assert valkey_url.startswith("unix://")


def test_rq_is_refused_on_a_cluster(cluster: Cluster) -> None:
    with pytest.raises(errors.Usage, match="RQ does not run on a cluster"):
        raw_client(cluster.url)
