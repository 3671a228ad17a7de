"""Each role's user of Redis against every script: what it may do, and nothing by halves."""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Any, cast

import pytest
import redis
from support import servers
from support.builders import Bench, new_schedule
from support.commands import eventually
from support.connections import connect
from support.gateway_client import ClientConnection
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Caller, State
from taskorch.domain.role import Role
from taskorch.queue import keys, redis_users, roles, scripts
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    ScriptError,
)
from taskorch.queue.queue import Queue
from taskorch.queue.wait_results import Goal
from taskorch_orchestrator.schedule import runs

NAMESPACE = "team"
META = keys.meta(NAMESPACE)
PRELUDE = scripts.source("prelude/call") + scripts.source("prelude/schedules")


@pytest.fixture(scope="module", params=list(servers.binaries()))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[redis.Redis]:
    folder = tmp_path_factory.mktemp("roles")
    with servers.running(servers.binaries()[request.param], folder) as url:
        yield redis.Redis.from_url(url, decode_responses=True)


@pytest.fixture
def bench(server: redis.Redis) -> Bench:
    """An empty namespace, seen by an administrator who has installed the library."""
    server.flushall()
    url = f"unix://{server.connection_pool.connection_kwargs['path']}"
    queue = Queue(connect(url), NAMESPACE, Caller(agent="planner"))
    queue.views.projects()
    return Bench(queue, server, NAMESPACE, url)


def set_user(bench: Bench, rule: Sequence[str], name: str = "user") -> str:
    """Set a user, and return its address."""
    words = ("ACL", "SETUSER", name, "reset", "on", ">sesame", *rule)
    bench.raw.execute_command(*words)  # type: ignore[no-untyped-call]
    return bench.url.replace("://", f"://{name}:sesame@")


def user(bench: Bench, role: Role, agent: str = "") -> Connection:
    """Return a connection of the user of a role."""
    name = f"{role}-{agent}"
    return connect(
        set_user(bench, redis_users.rule(role, NAMESPACE, agent), name)
    )


def queue_of(bench: Bench, role: Role, agent: str) -> Queue:
    """Return the queue for an agent, through its own user."""
    named = agent if role is Role.WORKER else ""
    return Queue(user(bench, role, named), NAMESPACE, Caller(agent=agent))


class UsersOfRoles(ConnectionWrapper):
    """Sends each call through the user of the first role that may run the script."""

    def __init__(self, bench: Bench, preferred: Sequence[Role]) -> None:
        super().__init__(bench.queue.connection)
        self._bench = bench
        self._preferred = preferred
        self._users: dict[tuple[Role, str], Connection] = {}
        self.called: set[tuple[Role, str]] = set()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        role = next(
            role
            for role in (*self._preferred, Role.ADMIN)
            if roles.may_run(role, script.name)
        )
        self.called.add((role, script.name))
        agent = (
            str(arguments[1]).partition(",")[0] if role is Role.WORKER else ""
        )
        return self._of(role, agent).run_script(script, key, arguments)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        agent = lists[0].rpartition(":")[2]
        return self._of(Role.WORKER, agent).wait_for_wake(lists, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        viewer = self._of(Role.VIEWER, "")
        return viewer.wait_for_entry(key, cursor, timeout_s)

    def _of(self, role: Role, agent: str) -> Connection:
        if (role, agent) not in self._users:
            self._users[role, agent] = user(self._bench, role, agent)
        return self._users[role, agent]


@pytest.mark.parametrize(
    "first", [Role.WORKER, Role.ORCHESTRATOR, Role.VIEWER]
)
def test_rights_of_roles_suffice_for_the_workflow(
    bench: Bench, first: Role
) -> None:
    others = [Role.WORKER, Role.ORCHESTRATOR, Role.VIEWER]
    users = UsersOfRoles(bench, [first, *others])
    queue = Queue(users, NAMESPACE, Caller(agent="planner"))

    done = list(workflow(Bench(queue, bench.raw, NAMESPACE, bench.url)))

    assert len(done) > 40
    assert {script for role, script in users.called if role is first} == (
        roles.SCRIPTS[first] & {script for _, script in users.called}
    )


class Recorder(ConnectionWrapper):
    """Keeps the arguments of the first call of each script."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.calls: dict[str, Sequence[Argument]] = {}

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.calls.setdefault(script.name, arguments)
        return super().run_script(script, key, arguments)


def recorded(bench: Bench) -> dict[str, Sequence[Argument]]:
    """Return the arguments of a call of each script, after a workflow of all of them."""
    recorder = Recorder(bench.queue.connection)
    queue = Queue(recorder, NAMESPACE, Caller(agent="planner"))
    for _ in workflow(Bench(queue, bench.raw, NAMESPACE, bench.url)):
        pass
    made_up = ("", "", "", "", "", "", *["1"] * 9)
    return {
        name: recorder.calls.get(name, made_up) for name in scripts.names()
    }


def call(
    connection: Connection,
    script: str,
    words: Sequence[Argument] = ("",) * 6,
    name: str = "ada",
) -> str:
    """Call a script under a name, as a new request; return the error, or ""."""
    request = os.urandom(8).hex()
    try:
        connection.run_script(
            scripts.load(script), META, (request, name, *words[2:])
        )
    except ScriptError as refusal:
        return str(refusal)
    except errors.TaskOrchestratorError as refusal:
        return str(refusal.details["reason"])
    return ""


def dump(raw: redis.Redis) -> dict[str, object]:
    return {name: raw.dump(name) for name in cast(Any, raw).keys("*")}


@pytest.mark.parametrize("role", list(Role))
def test_role_runs_the_scripts_of_its_table(bench: Bench, role: Role) -> None:
    calls = recorded(bench)
    agent = "ada" if role is Role.WORKER else ""
    connection = user(bench, role, agent)

    refused = set()
    for script, words in calls.items():
        before = dump(bench.raw)
        error = call(connection, script, words)
        if error.startswith("NOT_ALLOWED"):
            refused.add(script)
            assert dump(bench.raw) == before, script

    assert refused == {
        script for script in scripts.names() if not roles.may_run(role, script)
    }


def test_worker_acts_under_its_own_name(bench: Bench) -> None:
    calls = recorded(bench)
    connection = user(bench, Role.WORKER, "ada")
    before = dump(bench.raw)

    refusals = {
        call(connection, script, calls[script], "bob").partition(" ")[0]
        for script in roles.SCRIPTS[Role.WORKER]
    }

    assert refusals == {"NOT_ALLOWED"}
    assert dump(bench.raw) == before


def test_worker_cannot_finish_the_work_of_another(bench: Bench) -> None:
    lease = bench.claimed(agent="bob")
    ada = Queue(
        user(bench, Role.WORKER, "ada"), NAMESPACE, Caller(agent="bob")
    )

    with pytest.raises(errors.NotAllowed) as refusal:
        ada.agent_queue("bob").complete(lease, "Done")

    assert "another name than bob" in str(refusal.value)
    assert refusal.value.exit_code == 7
    assert bench.queue.views.show(lease.item).item.state is State.IN_PROGRESS


def test_worker_reviews_only_as_the_reviewer(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    bench.agent().complete(bench.claimed(item), "done")
    ada = queue_of(bench, Role.WORKER, "ada")
    bob = queue_of(bench, Role.WORKER, "bob")

    with pytest.raises(errors.NotReviewer):
        bob.accept(item)
    with pytest.raises(errors.NotReviewer):
        ada.send_back(item, "no")
    assert bob.views.reviews() == ()

    assert bench.state(item) is State.REVIEW


def test_viewer_lists_all_reviews(bench: Bench) -> None:
    item = bench.item(reviewer="lead")
    bench.agent().complete(bench.claimed(item), "done")

    found = queue_of(bench, Role.VIEWER, "screen").views.reviews()

    assert [each.id for each in found] == [item]


def test_orchestrator_without_a_name_uses_any(bench: Bench) -> None:
    any_name = queue_of(bench, Role.ORCHESTRATOR, "zoe")
    own = user(bench, Role.ORCHESTRATOR, "mia")

    any_name.project("Zoe's")
    Queue(own, NAMESPACE, Caller(agent="mia")).project("Mia's")
    with pytest.raises(errors.NotAllowed):
        Queue(own, NAMESPACE, Caller(agent="zoe")).project("Zoe's")

    assert len(bench.queue.views.projects()) == 2


def test_viewer_lists_schedules_and_removes_none(bench: Bench) -> None:
    bench.queue.schedules().create(new_schedule("nightly"))
    viewer = queue_of(bench, Role.VIEWER, "guest")

    listed = viewer.schedules().list()
    with pytest.raises(errors.NotAllowed):
        viewer.schedules().remove("nightly")

    assert [each.name for each in listed] == ["nightly"]
    assert len(bench.queue.schedules().list()) == 1
    viewer.connection.close()


def test_viewer_runs_no_script_that_writes() -> None:
    assert roles.SCRIPTS[Role.VIEWER] <= scripts.READS


def test_viewer_waits_for_an_item(bench: Bench) -> None:
    lease = bench.claimed()
    viewer = queue_of(bench, Role.VIEWER, "guest")
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            viewer.waits().until, lease.item, {Goal.COMPLETED}, timeout_s=30
        )
        eventually(lambda: bench.blocked_clients() == 1)
        bench.agent().complete(lease)
        waited = waiting.result(20)

    assert waited.reached is Goal.COMPLETED
    viewer.connection.close()


@pytest.mark.parametrize(
    ("role", "name"),
    [
        (Role.WORKER, "notes:bob:x"),
        (Role.ORCHESTRATOR, "notes:ada:x"),
        (Role.VIEWER, "notes:ada:x"),
        (Role.WORKER, "access_token:x"),
        (Role.ORCHESTRATOR, "access_token:x"),
        (Role.VIEWER, "access_token:x"),
        (Role.WORKER, "schedule:x"),
    ],
)
def test_role_reads_no_secret_keys(
    bench: Bench, role: Role, name: str
) -> None:
    agent = "ada" if role is Role.WORKER else ""
    rule = redis_users.rule(role, NAMESPACE, agent)
    raw = redis.Redis.from_url(set_user(bench, rule))

    with pytest.raises(redis.exceptions.NoPermissionError):
        raw.hgetall(keys.tag(NAMESPACE) + name)
    raw.close()


def test_worker_takes_no_wake_token_of_another(bench: Bench) -> None:
    connection = user(bench, Role.WORKER, "ada")

    assert not connection.wait_for_wake([keys.wake(NAMESPACE, "ada")], 0.01)
    with pytest.raises(errors.Refused):
        connection.wait_for_wake([keys.wake(NAMESPACE, "bob")], 0.01)


def test_worker_takes_items_from_its_pools_alone(bench: Bench) -> None:
    item = bench.pool_item()
    rule = redis_users.rule(Role.WORKER, NAMESPACE, "ada", ["backend"])
    connection = connect(set_user(bench, rule, "pooled"))
    ada = Queue(connection, NAMESPACE, Caller(agent="ada"))

    with pytest.raises(errors.NotAllowed, match="the pool python"):
        ada.agent_queue("ada", pools=["backend", "python"]).claim()
    claim = ada.agent_queue("ada", pools=["backend"]).claim(wait_s=60)

    assert claim
    assert claim.package.item.id == item
    assert bench.queue.views.agents()[0].pools == ("backend",)


@pytest.mark.parametrize("role", [Role.WORKER, Role.ORCHESTRATOR])
def test_only_administrators_name_an_access_token(
    bench: Bench, role: Role
) -> None:
    token = bench.queue.access_tokens().create("ada", role)
    behind = ClientConnection(user(bench, role, "ada"), token.id)
    queue = Queue(behind, NAMESPACE, Caller(agent="ada"))
    before = dump(bench.raw)

    with pytest.raises(errors.NotAllowed):
        queue.agent_queue("ada").discoveries()

    assert dump(bench.raw) == before


def schedule_of_client(bench: Bench) -> str:
    """Add the schedule "nightly" as the client of a gateway; return its token."""
    token = bench.queue.access_tokens().create("eve", Role.ORCHESTRATOR)
    behind = ClientConnection(bench.queue.connection, token.id)
    client = Queue(behind, NAMESPACE, Caller(agent="eve"))
    client.schedules().create(new_schedule("nightly"))
    return token.id


def test_service_runs_schedule_under_its_token(bench: Bench) -> None:
    token = schedule_of_client(bench)
    address = set_user(bench, redis_users.service_rule(NAMESPACE), "service")
    service = Queue(connect(address), NAMESPACE, Caller(agent="service"))

    runs.run_due(service)

    (schedule,) = bench.queue.schedules().list()
    assert (schedule.last_error, schedule.access_token) == ("", token)
    assert len(bench.members(f"open_items:{token}")) == 1


def test_orchestrator_runs_no_schedule_under_its_token(bench: Bench) -> None:
    token = schedule_of_client(bench)
    bob = queue_of(bench, Role.ORCHESTRATOR, "bob")

    runs.run_due(bob)

    (schedule,) = bench.queue.schedules().list()
    assert "only a gateway names an access token" in schedule.last_error
    assert bench.members(f"open_items:{token}") == []
    assert bench.queue.views.projects() == ()


@pytest.mark.parametrize("role", [Role.WORKER, Role.ORCHESTRATOR])
def test_user_adds_no_schedule_under_a_token(bench: Bench, role: Role) -> None:
    token = bench.queue.access_tokens().create("ada", Role.ORCHESTRATOR)
    behind = queue_of(bench, role, "ada").under_token(token.id)

    with pytest.raises(errors.NotAllowed):
        behind.schedules().create(new_schedule("nightly"))

    assert bench.queue.schedules().list() == ()


def listed(name: str) -> set[str]:
    """Return the texts of a list in the prelude."""
    found = re.search(rf"local {name} = \{{(.*?)\}}", PRELUDE, flags=re.DOTALL)
    assert found
    return set(re.findall(r"'([^']+)'", found[1]))


def made_up(name: str) -> str:
    return re.sub("<[a-z]+>", "1" if name == keys.FENCE else "x", name)


def test_prelude_asks_for_every_kind_of_key() -> None:
    kinds = (
        listed("KINDS")
        | listed("KINDS_OF_ADMINISTRATORS")
        | listed("KINDS_OF_ORCHESTRATORS")
    )

    assert kinds == {
        made_up(name)
        for name in (*(key.name for key in keys.KEYS), keys.FENCE)
    }


def test_rules_grant_every_command_of_scripts() -> None:
    granted = {*redis_users.READING, *redis_users.WRITING}

    assert {name.upper() for name in granted} == listed("COMMANDS")


@pytest.mark.parametrize("kind", sorted(listed("KINDS") - {"meta"}))
def test_missing_kind_of_key_prevents_all_writes(
    bench: Bench, kind: str
) -> None:
    key = f"{keys.tag(NAMESPACE)}{kind}"
    rule = [
        word
        for word in redis_users.rule(Role.ORCHESTRATOR, NAMESPACE)
        # "queue:*" grants "queue:pool:x", too
        if not (word.startswith("~") and fnmatchcase(key, word[1:]))
    ]
    queue = Queue(
        connect(set_user(bench, rule)), NAMESPACE, Caller(agent="planner")
    )
    before = dump(bench.raw)

    with pytest.raises(errors.Refused):
        queue.project("x")

    assert dump(bench.raw) == before
