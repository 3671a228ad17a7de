"""Steps that wait for replicas report a shortfall, and can safely be repeated."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from support import topologies
from support.builders import Bench, need_lease, new_schedule
from support.commands import eventually
from support.connections import connect
from support.topologies import Node, command
from taskorch.domain import errors
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.item import Caller, Delivery, ItemEdit, NewItem, State
from taskorch.domain.role import Role
from taskorch.queue import scripts
from taskorch.queue.port import REPLICATED
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests

#: How long a step waits for a replica that confirms it, on a busy machine, and for one
#: that does not.
CONFIRMED_MS, UNCONFIRMED_MS = 30_000, 200
ROOT = Path(__file__).parents[2]
SCRIPTS = Path(scripts.__file__).parent / "scripts"


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Node, Node]]:
    """A primary and its replica."""
    folder = tmp_path_factory.mktemp("pair")
    ports = topologies.free_ports(2)
    primary, replica = (_server(folder / str(port), port) for port in ports)
    with topologies.running([primary, replica]):
        command(replica, "REPLICAOF", "127.0.0.1", primary.port)
        yield primary, replica


@pytest.fixture
def servers(pair: tuple[Node, Node]) -> tuple[Node, Node]:
    """Wait until the replica has everything the primary has."""
    _, replica = pair
    eventually(
        lambda: replica.info("replication").get("master_link_status") == "up"
    )
    return pair


def _server(folder: Path, port: int) -> Node:
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    return Node(
        folder,
        port,
        *options,
        "--repl-diskless-sync-delay",
        "0",
        "--repl-timeout",
        "600",
    )


def queue(
    primary: Node,
    wanted: int,
    request: str = "",
    *,
    wait_ms: int = CONFIRMED_MS,
) -> Queue:
    connection = connect(
        f"redis://{primary.address}",
        wait_replicas=wanted,
        wait_timeout_ms=wait_ms,
    )
    return Queue(
        connection,
        "team",
        Caller(agent="planner"),
        requests=Requests(same=request),
    )


def lagging(replica: Node) -> None:
    """Make a replica acknowledge nothing."""
    command(replica, "REPLICAOF", "NO", "ONE")


def catching_up(primary: Node, replica: Node) -> None:
    command(replica, "REPLICAOF", "127.0.0.1", primary.port)


def test_returned_step_is_on_the_replica(
    servers: tuple[Node, Node],
) -> None:
    primary, replica = servers

    for _ in range(20):
        project = queue(primary, 1).project("Replicated")
        assert replica.raw.exists(f"taskorch:{{team}}:project:{project}")


def in_review(mine: Queue, project: str) -> str:
    """Return an item that its agent has completed, for a review."""
    new = NewItem(title="Reviewed", agent="eve", reviewer="lead")
    item = mine.create(project, new)
    eve = mine.agent_queue("eve")
    eve.complete(need_lease(eve.claim()), "done")
    return item


def test_every_acknowledged_step_waits(servers: tuple[Node, Node]) -> None:
    primary, replica = servers
    before = queue(primary, 1)
    project = before.project("A project")
    unassigned, dependency = (
        before.create(project, NewItem(title=title))
        for title in ("Unassigned", "Dependency")
    )
    for title in ("Reported", "Completed", "Failed", "Released", "Asked"):
        before.create(project, NewItem(title=title, agent="ada"))
    good, poor = (in_review(before, project) for _ in range(2))
    before.schedules().create(new_schedule("old"))
    reported, completed, failed, released, asked = (
        need_lease(before.agent_queue("ada").claim()) for _ in range(5)
    )
    before.agent_queue("ada").blocker(asked, "Really?")
    token = before.access_tokens().create("ada", Role.WORKER)
    mine = queue(primary, 1, wait_ms=UNCONFIRMED_MS)
    ada = mine.agent_queue("ada")
    lagging(replica)
    told = {}

    steps: dict[str, Callable[[], object]] = {
        "project": lambda: mine.project("B"),
        "create": lambda: mine.create(project, NewItem(title="C")),
        "depend": lambda: mine.depend(unassigned, [dependency]),
        "edit": lambda: mine.edit([unassigned], ItemEdit(priority=0)),
        "assign": lambda: mine.assign(dependency, "bob"),
        "progress": lambda: ada.progress(reported, "Half"),
        "discover": lambda: ada.discover(reported, "It rains"),
        "note": lambda: ada.note(reported.item, "For later"),
        "blocker": lambda: ada.blocker(reported, "Which colour?"),
        "withdraw": lambda: ada.withdraw(asked),
        "agent_comment": lambda: ada.comment(reported, "Nearly there"),
        "answer": lambda: mine.answer(reported.item, "Blue"),
        "comment": lambda: mine.comment(reported.item, "Not too dark"),
        "renew": lambda: ada.renew(reported),
        "complete": lambda: ada.complete(completed, "done"),
        "fail": lambda: ada.fail(failed, "broken"),
        "release": lambda: ada.release(released),
        "accept": lambda: mine.accept(good),
        "send_back": lambda: mine.send_back(poor, "Add tests"),
        "set_budget": lambda: mine.set_budget(
            project, period="day", limit_micros=1
        ),
        "create_schedule": lambda: mine.schedules().create(
            new_schedule("new")
        ),
        "remove_schedule": lambda: mine.schedules().remove("old"),
        "cancel": lambda: mine.cancel(dependency),
        "requeue": lambda: mine.requeue(dependency),
        "close_project": lambda: mine.complete_project(project, force=True),
        "reopen_project": lambda: mine.reopen_project(project),
        "edit_access_token": lambda: mine.access_tokens().edit(
            token.id, AccessTokenEdit(role=Role.VIEWER)
        ),
        "revoke_access_token": lambda: mine.access_tokens().revoke(token.id),
    }
    for verb, step in steps.items():
        with pytest.raises(errors.NotReplicated) as refusal:
            step()
        told[verb] = refusal.value.details
    catching_up(primary, replica)

    assert set(told) == REPLICATED
    assert all(
        (details["reached"], details["wanted"]) == (0, 1)
        for details in told.values()
    )
    bench = Bench(queue(primary, 0), primary.raw, "team", "")
    states = {
        each.id: each.state
        for each in bench.queue.views.list(project=project).items
    }
    assert states[completed.item] is State.COMPLETED
    assert "broken" in {
        report.text for report in bench.queue.views.show(failed.item).history
    }
    assert bench.inconsistencies() == []


def test_claim_and_reading_wait_for_no_replica(
    servers: tuple[Node, Node],
) -> None:
    primary, replica = servers
    before = queue(primary, 1)
    item = before.create(
        before.project("A project"), NewItem(title="An item", agent="eve")
    )
    mine = queue(primary, 1, wait_ms=UNCONFIRMED_MS)
    lagging(replica)

    lease = need_lease(mine.agent_queue("eve").claim())
    shown = mine.agent_queue("eve").get(lease)
    mine.agent_queue("eve").check()
    catching_up(primary, replica)

    assert lease.item == shown.package.item.id == item


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in SCRIPTS.glob("*.lua"))
)
def test_script_that_acts_waits_or_is_listed(name: str) -> None:
    document = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    _, _, rest = document.partition("These do not wait for replicas")
    listed = set(re.findall(r"`(\w+)`", rest.partition("\n- ")[0]))

    assert scripts.load(name).acts == (name in REPLICATED | listed)
    assert not REPLICATED & listed


def test_repeated_request_acts_once_and_waits_again(
    servers: tuple[Node, Node],
) -> None:
    primary, replica = servers
    mine = queue(primary, 1)
    project = mine.project("A project")
    lagging(replica)
    with pytest.raises(errors.NotReplicated) as refusal:
        queue(primary, 1, wait_ms=UNCONFIRMED_MS).create(
            project, NewItem(title="Once")
        )
    request = refusal.value.request
    with pytest.raises(errors.NotReplicated) as again:
        queue(primary, 1, request, wait_ms=UNCONFIRMED_MS).create(
            project, NewItem(title="Once")
        )
    catching_up(primary, replica)
    eventually(
        lambda: replica.info("replication").get("master_link_status") == "up"
    )

    item = queue(primary, 1, request).create(project, NewItem(title="Once"))

    assert again.value.request == request != ""
    assert [each.id for each in mine.views.list(project=project).items] == [
        item
    ]
    assert replica.raw.exists(f"taskorch:{{team}}:item:{item}")


def test_message_states_how_many_replicas_have_it(
    servers: tuple[Node, Node],
) -> None:
    primary, _ = servers
    queue(primary, 1).project("Confirmed by the one replica")

    with pytest.raises(errors.NotReplicated) as refusal:
        queue(primary, 2, wait_ms=2_000).project("Too much wanted")

    assert (
        refusal.value.exit_code,
        refusal.value.retryable,
        refusal.value.word,
    ) == (
        4,
        True,
        "NOT_REPLICATED",
    )
    assert "The step was done, but only 1 of 2 replicas have it" in str(
        refusal.value
    )
    assert "not done twice" in refusal.value.hint()


def test_refused_step_ignores_the_replicas(
    servers: tuple[Node, Node],
) -> None:
    primary, _ = servers

    with pytest.raises(errors.NoProject):
        queue(primary, 2).create("proj_nowhere", NewItem(title="x"))


def test_user_without_wait_learns_the_step_is_done(
    servers: tuple[Node, Node],
) -> None:
    primary, _ = servers
    command(
        primary,
        "ACL",
        "SETUSER",
        "hasty",
        "on",
        ">sesame",
        "~*",
        "+@all",
        "-wait",
    )
    mine = connect(
        f"redis://hasty:sesame@{primary.address}",
        wait_replicas=1,
        wait_timeout_ms=UNCONFIRMED_MS,
    )

    with pytest.raises(errors.NotReplicated, match="no permissions"):
        Queue(mine, "hasty", Caller(agent="planner")).project("Done")

    assert (
        len(
            Queue(
                connect(f"redis://{primary.address}"),
                "hasty",
                Caller(agent="p"),
            ).views.projects()
        )
        == 1
    )


def test_cluster_waits_on_the_node_of_the_script(tmp_path: Path) -> None:
    with topologies.cluster(tmp_path) as cluster:
        mine = [
            Queue(
                connect(
                    cluster.url, wait_replicas=1, wait_timeout_ms=CONFIRMED_MS
                ),
                namespace,
                Caller(agent="planner"),
            )
            for namespace in ("one", "two", "three", "four")
        ]
        projects = [each.project("Replicated") for each in mine]
        cluster.nodes[3].kill()

        failing = [
            namespace
            for namespace in ("one", "two", "three", "four")
            if _fails(cluster.url, namespace)
        ]

    assert len(set(projects)) == 4
    assert 0 < len(failing) < 4


def test_step_is_done_although_replicas_lack_functions(
    tmp_path: Path,
) -> None:
    with topologies.cluster(tmp_path) as cluster:
        for replica in cluster.nodes[3:]:
            replica.kill()

        is_refused = _fails(cluster.url, "one")

        caller = Caller(agent="planner")
        projects = Queue(connect(cluster.url), "one", caller).views.projects()

    assert is_refused
    assert [project.title for project in projects] == ["x"]


def _fails(url: str, namespace: str) -> bool:
    try:
        Queue(
            connect(url, wait_replicas=1, wait_timeout_ms=2_000),
            namespace,
            Caller(agent="planner"),
        ).project("x")
    except errors.NotReplicated:
        return True
    return False


@pytest.mark.parametrize("verb", ["complete", "complete_and_claim", "fail"])
def test_settling_without_replicas_gives_back_next_item(
    servers: tuple[Node, Node], verb: str
) -> None:
    primary, replica = servers
    before = queue(primary, 1)
    agent = queue(primary, 1, wait_ms=UNCONFIRMED_MS).agent_queue(verb)
    project = before.project("A project")
    for title in ("First", "Second"):
        before.create(project, NewItem(title=title, agent=verb))
    lease = need_lease(agent.claim())
    settle: Mapping[str, Callable[[], object]] = {
        "complete": lambda: agent.complete(lease, "Done", next=True),
        "complete_and_claim": lambda: agent.complete_and_claim(
            lease, Delivery(summary="Done"), count=1
        ),
        "fail": lambda: agent.fail(lease, "Bad", next=True, retry=False),
    }
    lagging(replica)

    with pytest.raises(errors.NotReplicated):
        settle[verb]()
    catching_up(primary, replica)

    first, second = queue(primary, 0).views.list(project=project).items
    assert first.state in (State.COMPLETED, State.FAILED)
    assert (second.state, second.attempts) == (State.QUEUED, 0)
