"""The HTTP API as a program uses it: a gateway as a real process, and plain HTTP."""

import json
import re
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from support import gateways
from support.api_client import ApiClient
from support.builders import PLAN
from support.commands import Shell, eventually
from support.gateways import Gateway, HttpClient
from taskorch.domain import limits
from taskorch_gateway.api.table import PREFIX, VERBS
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
#: Commands that concern the machine of the caller, or all of Redis.
OF_THE_MACHINE = {
    "orchestrate": {
        *("status", "logs", "watch", "prime", "setup", "init", "trust"),
        *("server", "service", "gateway", "token", "acl", "sync", "doctor"),
        *(
            "export",
            "import",
            "purge",
            "docs",
            "mcp",
            "audit",
            "board",
            "notify",
        ),
    },
    "worker": {"get-notes", "run", "logs", "whoami", "hook", "mcp"},
}
#: Verbs that are options of commands.
OF_OPTIONS = {"handoff", "withdraw"}


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture
def planner(gateway: Gateway) -> Iterator[ApiClient]:
    client = ApiClient(gateway, gateway.token("planner", "orchestrator"))
    yield client
    client.close()


@pytest.fixture
def ada(gateway: Gateway) -> Iterator[ApiClient]:
    client = ApiClient(gateway, gateway.token("ada", "worker"))
    yield client
    client.close()


def created(planner: ApiClient, project: str, **arguments: object) -> str:
    """Return the id of a new item for ada."""
    given: dict[str, Any] = {"title": "It", "assign": "ada", **arguments}
    document = planner.post("orchestrator/create", project=project, **given)
    return str(document["data"]["id"])


def opened(planner: ApiClient) -> str:
    document = planner.post("orchestrator/project", title="Build")
    return str(document["data"]["id"])


def test_workflow_over_the_api(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    bob = ApiClient(gateway, gateway.token("bob", "worker"))
    project = opened(planner)
    first = created(planner, project, title="Schema", priority=1)
    second = created(
        planner, project, title="Audit", assign="bob", depends_on=[first]
    )

    assert ada.get("worker/check")["data"]["count"] == 1
    claim = ada.post("worker/pop", lease="30m")
    token = claim["meta"]["tokens"][first]
    own = {"item": first, "token": token}
    ada.post("worker/progress", **own, text="Half way", percent=50)
    ada.post("worker/discover", **own, text="It rains", impact="Wet")
    asked = ada.post("worker/blocker", **own, text="Which door?")
    assert planner.get("orchestrator/inbox")["data"][0]["id"] == first
    planner.post("orchestrator/answer", item=first, text="The left one")
    answered = ada.post("worker/wait", **own)
    ada.post("worker/notes", item=first, text="mine")
    noted = ada.get("worker/notes", f"item={first}")
    done = ada.post(
        *("worker/complete",), **own, summary="Done", deliverables={"a": "b"}
    )
    seen = bob.get("worker/discoveries", f"item={second}")
    held = bob.post("worker/get", item=second)
    bob.post("worker/ack", item=second, token=held["meta"]["tokens"][second])
    closed = planner.post("orchestrator/complete", project=project)

    bob.close()
    assert claim["data"]["id"] == first
    assert asked["data"]["question"] == 1
    assert answered["data"]["answers"][0]["text"] == "The left one"
    assert [note["text"] for note in noted["data"]] == ["mine"]
    assert done["data"]["state"] == "completed"
    assert [found["text"] for found in seen["data"]] == ["It rains"]
    assert closed["data"]["status"] == "completed"
    assert closed["data"]["items"][0]["deliverables"] == {"a": "b"}


def test_apply_fills_variables_of_plan(planner: ApiClient) -> None:
    planner.post(
        "orchestrator/apply",
        project="Release ${version} of ${branch}",
        items=[{"name": "a", "title": "A"}],
        variables={"version": {}, "branch": "main"},
        set={"version": "2"},
    )

    (project,) = planner.get("orchestrator/projects")["data"]
    assert project["title"] == "Release 2 of main"


def test_schedule_is_added_run_and_removed(planner: ApiClient) -> None:
    added = planner.post(
        "orchestrator/schedule/add",
        schedule="nightly",
        plan=PLAN.replace("Nightly", "${what}") + "variables: {what: {}}",
        cron="0 6 * * 1-5",
        tz="Europe/Berlin",
        set={"what": "Nightly"},
    )
    ran = [
        planner.post("orchestrator/schedule/run", "k", schedule="nightly")
        for _ in range(2)
    ]
    listed = planner.get("orchestrator/schedule/list")["data"]
    planner.post("orchestrator/schedule/remove", schedule="nightly")

    (project,) = planner.get("orchestrator/projects")["data"]
    assert added["data"]["name"] == "nightly"
    assert ran[0] == ran[1]
    assert ran[0]["data"]["project"] == project["id"]
    assert project["title"] == "Nightly"
    (schedule,) = listed
    assert schedule["next_at"] == added["data"]["next_at"]
    assert (schedule["runs"], schedule["zone"]) == (1, "Europe/Berlin")
    assert schedule["last_project"] == project["id"]
    assert planner.get("orchestrator/schedule/list")["data"] == []


@pytest.mark.parametrize(
    ("wrong", "refusal"),
    [
        ({"cron": "0 0 30 2 *"}, (422, "INVALID")),
        ({"tz": "Mars/X"}, (422, "INVALID")),
        ({"plan": "project: ["}, (422, "BAD_PLAN")),
        ({"plan": "\ufeff" + PLAN, "set": {"a": "b"}}, (422, "BAD_PLAN")),
        ({"schedule": "a b"}, (422, "INVALID")),
    ],
)
def test_wrong_schedule_is_refused(
    planner: ApiClient, wrong: dict[str, object], refusal: tuple[int, str]
) -> None:
    given: dict[str, Any] = {
        "schedule": "nightly",
        "plan": PLAN,
        "cron": "0 6 * * *",
        **wrong,
    }

    refused = planner.refusal("orchestrator/schedule/add", **given)

    assert refused == refusal
    assert planner.get("orchestrator/schedule/list")["data"] == []


@pytest.mark.parametrize(
    ("variables", "given"),
    [
        ({"version": {}}, {}),
        ({"version": {}}, {"version": "1", "branch": "main"}),
        ({}, {"version": "1"}),
        ({"version": {"unknown": "x"}}, {"version": "1"}),
        ({"version": {}, "unused": "x"}, {"version": "1"}),
        ({"a b": "x"}, {}),
    ],
)
def test_wrong_variables_of_plan_create_nothing(
    planner: ApiClient, variables: dict[str, Any], given: dict[str, str]
) -> None:
    refused = planner.refusal(
        "orchestrator/apply",
        project="Release ${version}",
        items=[{"name": "a", "title": "A"}],
        variables=variables,
        set=given,
    )

    assert refused == (422, "BAD_PLAN")
    assert planner.get("orchestrator/projects")["data"] == []


def test_wrong_usage_changes_nothing(
    planner: ApiClient, ada: ApiClient
) -> None:
    item = created(planner, opened(planner))
    token = ada.post("worker/pop")["meta"]["tokens"][item]
    report = {"item": item, "token": token, "text": "Half"}
    wrong: list[dict[str, Any]] = [
        {"cost": -1},
        {"cost": 1e9},
        {"cost": "1"},
        {"tokens_in": -1},
        {"tokens_out": 1.5},
        {"cache_read": 10**13},
        {"model": "large"},
        {"model": "a b", "cost": 1},
    ]

    statuses = [
        ada.attempt("worker/progress", **report, **each)[0] for each in wrong
    ]

    assert set(statuses) <= {400, 422}
    shown = planner.get("orchestrator/show", f"item={item}")["data"]
    assert shown["usage"] is None


def test_budget_of_zero_stops_pop(planner: ApiClient, ada: ApiClient) -> None:
    project = opened(planner)
    item = created(planner, project)
    budget = {"owner": project, "per": "total"}
    planner.post("orchestrator/budget", **budget, limit=0)

    nothing = ada.post("worker/pop")
    planner.post("orchestrator/budget", **budget, remove=True)
    claimed = ada.post("worker/pop")["data"]

    assert nothing["data"] is None
    assert nothing["meta"]["error"]["code"] == "OVER_BUDGET"
    assert claimed["id"] == item


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"limit": -1}, 422),
        ({"limit": 1e12}, 422),
        ({"limit": "1"}, 400),
        ({"tokens": -1}, 422),
        ({"limit": 1, "per": "week"}, 400),
        ({}, 400),
        ({"limit": 1, "remove": True}, 400),
        ({"limit": 1, "owner": "nobody"}, 404),
        ({"limit": 1, "owner": "proj_ffffffff"}, 404),
        ({"limit": 1, "owner": "a b"}, 422),
    ],
)
def test_wrong_budget_is_refused(
    planner: ApiClient, wrong: dict[str, object], status: int
) -> None:
    created(planner, opened(planner))
    given: dict[str, Any] = {"owner": "ada", "per": "day", **wrong}

    refused, _ = planner.attempt("orchestrator/budget", **given)

    assert refused == status
    assert planner.get("orchestrator/budget")["data"] == []


@pytest.mark.parametrize("verb", ["run", "remove"])
def test_unknown_schedule_is_not_found(planner: ApiClient, verb: str) -> None:
    refused = planner.refusal(f"orchestrator/schedule/{verb}", schedule="x")

    assert refused == (404, "NO_SCHEDULE")


def test_every_verb_of_an_orchestrator_succeeds(
    planner: ApiClient, ada: ApiClient
) -> None:
    plan = [
        {"name": "a", "title": "A", "agent": "ada"},
        {"name": "b", "title": "B", "depends_on": ["a"], "priority": 1},
    ]
    checked = planner.post(
        "orchestrator/apply", project="P", items=plan, dry_run=True
    )
    applied = planner.post("orchestrator/apply", project="P", items=plan)
    project = applied["data"]["project"]
    a, b = (item["id"] for item in applied["data"]["items"])
    planner.post(
        *("orchestrator/edit",), items=[a, b], label=["x"], clear=["context"]
    )
    edited = planner.post("orchestrator/edit", items=[b], title="C")
    lone = created(planner, project, assign="", not_before="30m")
    planner.post("orchestrator/depend", item=lone, dependencies=[a])
    ready = planner.post(
        "orchestrator/depend", item=lone, dependencies=[a], remove=True
    )
    unassigned = planner.get("orchestrator/unassigned", f"project={project}")
    planner.post(
        "orchestrator/assign", items=[lone], agent="bob", context={"a": "b"}
    )
    planner.post("orchestrator/assign", items=[b, lone], agent="ada")
    planner.post("orchestrator/comment", item=a, text="Hello")
    handoff = planner.get("orchestrator/handoff", f"item={a}")
    ada.post("worker/discover", item=a, text="It rains")
    unread = planner.post("orchestrator/discoveries")
    read = planner.post("orchestrator/discoveries", project=project)
    planner.post("orchestrator/cancel", id=b, reason="No")
    requeued = planner.post("orchestrator/requeue", item=b)
    planner.post("orchestrator/reap")
    lists = {
        name: planner.get(f"orchestrator/{name}")["data"]
        for name in ("agents", "stuck", "inbox", "list", "projects")
    }
    planner.post("orchestrator/cancel", id=project)
    reopened = planner.post("orchestrator/reopen", project=project)
    closed = planner.post("orchestrator/complete", project=project, force=True)

    assert checked["data"]["created"]
    assert edited["data"]["changes"][0]["field"] == "title"
    assert ready["data"]["state"] == "pending"
    assert {item["id"] for item in unassigned["data"]} == {b, lone}
    assert a in str(handoff["data"])
    assert (len(unread["data"]), len(read["data"])) == (1, 0)
    assert requeued["data"]["state"] == "waiting"
    assert {item["id"] for item in lists["list"]} == {a, b, lone}
    assert reopened["data"]["status"] == "active"
    assert closed["data"]["status"] == "completed"


def test_every_verb_of_a_worker_succeeds(
    planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    items = [created(planner, project) for _ in range(4)]
    claims = ada.post("worker/pop", count=3, lease="30m")
    tokens = claims["meta"]["tokens"]
    first, second, third, fourth = items
    own = {"item": first, "token": tokens[first]}
    ada.post("worker/renew", **own)
    held = ada.post("worker/get", **own)
    ada.post("worker/blocker", **own, text="Which?", needs="A door")
    withdrawn = ada.post("worker/withdraw", **own, question=1)
    ada.post("worker/notes", item=first, text="mine")
    ada.post("worker/discover", **own, text="It rains")
    unread = ada.post("worker/discoveries", item=first)
    briefing = ada.get("worker/prime")
    failed = ada.post(
        "worker/fail", **own, reason="No door", next=True, lease="10m"
    )
    released = ada.post(
        "worker/release", item=second, token=tokens[second], reason="Later"
    )
    delivered = ada.post("worker/ack", item=third, token=tokens[third])

    assert [claim["id"] for claim in claims["data"]] == items[:3]
    assert held["meta"]["tokens"] == {first: tokens[first]}
    assert withdrawn["data"]["state"] == "in_progress"
    assert [found["text"] for found in unread["data"]] == ["It rains"]
    assert briefing["data"]["held_count"] == 3
    assert not any(each["lease"] for each in briefing["data"]["held"])
    assert failed["data"]["state"] == "delayed"
    assert failed["data"]["next"]["id"] == fourth
    assert released["data"]["state"] == "queued"
    assert delivered["data"]["state"] == "completed"


def test_two_programs_with_one_token_are_two_holders(
    planner: ApiClient, ada: ApiClient
) -> None:
    item = created(planner, opened(planner))
    old = ada.post("worker/pop")["meta"]["tokens"][item]

    without = ada.refusal("worker/progress", item=item, text="Mine?")
    peeked = ada.get("worker/get", f"item={item}")
    new = ada.post("worker/get", item=item, takeover=True)
    stale = ada.refusal("worker/complete", item=item, token=old, summary="x")
    token = new["meta"]["tokens"][item]
    done = ada.post("worker/complete", item=item, token=token, summary="x")

    assert without == (409, "HELD")
    assert peeked["data"]["lease"] is None
    assert "tokens" not in peeked["meta"]
    assert stale == (409, "LEASE_LOST")
    assert done["data"]["state"] == "completed"


def test_report_claims_a_queued_item(
    planner: ApiClient, ada: ApiClient
) -> None:
    item = created(planner, opened(planner))

    reported = ada.post("worker/progress", item=item, text="Begun")

    token = reported["meta"]["tokens"][item]
    ada.post("worker/release", item=item, token=token, reason="Not mine")


def test_complete_claims_the_next_item(
    planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    first, second = created(planner, project), created(planner, project)
    token = ada.post("worker/pop")["meta"]["tokens"][first]

    done = ada.post(
        "worker/complete", item=first, token=token, summary="x", next=True
    )

    assert done["data"]["next"]["id"] == second
    assert list(done["meta"]["tokens"]) == [second]


def test_item_of_another_agent_is_refused(
    gateway: Gateway, planner: ApiClient
) -> None:
    item = created(planner, opened(planner))
    bob = ApiClient(gateway, gateway.token("bob", "worker"))

    refusal = bob.refusal("worker/get", item=item)

    bob.close()
    assert refusal == (403, "NOT_YOURS")


def test_nothing_to_do_is_empty_data(ada: ApiClient) -> None:
    popped = ada.post("worker/pop")

    assert popped["data"] is None
    assert popped["meta"]["error"]["code"] == "NOTHING_TO_DO"


def test_same_key_acts_once(planner: ApiClient) -> None:
    first = planner.post("orchestrator/project", "k", title="Once")
    again = planner.post("orchestrator/project", "k", title="Once")
    other = planner.post("orchestrator/project", "l", title="Once")

    assert first == again
    assert other["data"]["id"] != first["data"]["id"]
    assert len(planner.get("orchestrator/projects")["data"]) == 2


def test_same_key_at_the_same_time_acts_once(
    gateway: Gateway, planner: ApiClient
) -> None:
    token = gateway.token("planner", "orchestrator")
    clients = [ApiClient(gateway, token) for _ in range(6)]

    def project(client: ApiClient) -> str:
        document = client.post("orchestrator/project", "k", title="Once")
        return str(document["data"]["id"])

    with ThreadPoolExecutor(6) as threads:
        ids = set(threads.map(project, clients))

    for client in clients:
        client.close()
    assert len(ids) == 1
    assert len(planner.get("orchestrator/projects")["data"]) == 1


def test_key_outlives_a_killed_gateway(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    items = [created(planner, project) for _ in range(2)]
    first = ada.post("worker/pop", "k")["meta"]["tokens"]
    gateway.kill()
    gateway.start()
    for client in (planner, ada):
        client.close()

    again = ada.post("worker/pop", "k")["meta"]["tokens"]

    assert list(first) == items[:1]
    assert again == first


def test_key_covers_all_steps_of_pop(
    planner: ApiClient, ada: ApiClient
) -> None:
    plan = [
        {"name": f"n{number}", "title": "It", "agent": "ada"}
        for number in range(2 * limits.BATCH_STEPS + 2)
    ]
    planner.post("orchestrator/apply", project="P", items=plan)
    count = limits.BATCH_STEPS + 1
    first = ada.post("worker/pop", "k", count=count)["meta"]["tokens"]

    again = ada.post("worker/pop", "k", count=count)["meta"]["tokens"]

    assert len(first) == count
    assert again == first


def test_plan_keeps_every_character(planner: ApiClient) -> None:
    title = "Schéma 🙂 \u007f \u2028 'x': #"
    plan = [{"name": "a", "title": title}]

    applied = planner.post("orchestrator/apply", project="P", items=plan)

    item = applied["data"]["items"][0]["id"]
    shown = planner.get("orchestrator/show", f"item={item}")["data"]
    assert shown["title"] == title


def test_key_is_for_one_verb_and_one_token(
    gateway: Gateway, planner: ApiClient
) -> None:
    other = ApiClient(gateway, gateway.token("planner", "orchestrator"))
    project = planner.post("orchestrator/project", "k", title="A")["data"]

    foreign = other.post("orchestrator/project", "k", title="B")["data"]
    item = planner.post(
        "orchestrator/create", "k", project=project["id"], title="It"
    )["data"]

    other.close()
    assert foreign["id"] != project["id"]
    assert item["id"].startswith("item_")


def test_repeated_claim_returns_the_same_item(
    planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    items = [created(planner, project) for _ in range(2)]

    first = ada.post("worker/pop", "k")
    again = ada.post("worker/pop", "k")
    other = ada.post("worker/pop", "l")

    assert first["meta"]["tokens"] == again["meta"]["tokens"]
    assert [first["data"]["id"], other["data"]["id"]] == items


def test_repeated_completion_claims_one_next_item(
    planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    first, _, _ = (created(planner, project) for _ in range(3))
    own = {
        "item": first,
        "token": ada.post("worker/pop")["meta"]["tokens"][first],
    }

    replies = [
        ada.post("worker/complete", "k", **own, summary="x", next=True)
        for _ in range(2)
    ]

    assert replies[0]["meta"]["tokens"] == replies[1]["meta"]["tokens"]


def test_repeated_refusal_stays_a_refusal(
    planner: ApiClient, ada: ApiClient
) -> None:
    empty = ada.post("worker/pop", "k")
    created(planner, opened(planner))

    again = ada.post("worker/pop", "k")

    assert empty["data"] is again["data"] is None


def test_repeated_waiting_pop_returns_the_same_item(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    with ThreadPoolExecutor(1) as waiting:
        popped = waiting.submit(ada.post, "worker/pop", "k", wait=50)
        eventually(lambda: '"verb": "claim"' in gateway.log)
        items = [created(planner, project) for _ in range(2)]
        first = popped.result(30)

    again = ada.post("worker/pop", "k", wait=50)
    other = ada.post("worker/pop", "l", wait=50)

    assert first["meta"]["tokens"] == again["meta"]["tokens"]
    assert [first["data"]["id"], other["data"]["id"]] == items


def test_repeat_of_an_empty_wait_is_empty_immediately(
    planner: ApiClient, ada: ApiClient
) -> None:
    empty = ada.post("worker/pop", "k", wait=0.2)
    item = created(planner, opened(planner))
    started = monotonic()

    again = ada.post("worker/pop", "k", wait=50)

    assert empty["data"] is again["data"] is None
    assert monotonic() - started < 20
    assert ada.post("worker/pop", "l", wait=50)["data"]["id"] == item


@pytest.mark.parametrize("wait", [0, 50])
def test_repeat_after_the_completion_claims_nothing(
    planner: ApiClient, ada: ApiClient, wait: float
) -> None:
    project = opened(planner)
    item, _ = (created(planner, project) for _ in range(2))
    token = ada.post("worker/pop", "k", wait=wait)["meta"]["tokens"][item]
    ada.post("worker/ack", item=item, token=token)

    again = ada.post("worker/pop", "k", wait=wait)

    assert again["data"] is None


def test_waiting_pop_gets_a_new_item(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    with ThreadPoolExecutor(1) as waiting:
        popped = waiting.submit(ada.post, "worker/pop", wait=50)
        eventually(lambda: '"verb": "claim"' in gateway.log)

        item = created(planner, project)

        assert popped.result(30)["data"]["id"] == item


def test_waiting_pop_ends_with_empty_data(ada: ApiClient) -> None:
    popped = ada.post("worker/pop", wait=0.5)

    assert popped["data"] is None


def post_of(access: str, verb: str, **arguments: object) -> bytes:
    """Return the request of a verb that acts, with an access token."""
    body = json.dumps(arguments).encode()
    head = (
        f"POST {PREFIX}/{verb} HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {access}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_gone_client_claims_nothing(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    pop = post_of(gateway.token("ada", "worker"), "worker/pop", wait=50)
    with socket.create_connection(("127.0.0.1", gateway.port)) as gone:
        gone.sendall(pop)
        eventually(lambda: '"verb": "claim"' in gateway.log)

    item = created(planner, project)

    assert ada.post("worker/pop", wait=10)["data"]["id"] == item


def test_next_item_of_gone_client_is_given_back(
    gateway: Gateway, planner: ApiClient
) -> None:
    project = opened(planner)
    first, second = created(planner, project), created(planner, project)
    token = gateway.token("ada", "worker")
    ada = ApiClient(gateway, token)
    claim = ada.post("worker/pop")
    own = {"item": first, "token": claim["meta"]["tokens"][first]}
    done = post_of(token, "worker/complete", **own, summary="Done", next=True)

    with socket.create_connection(("127.0.0.1", gateway.port)) as gone:
        gone.sendall(done)

    eventually(lambda: '"verb": "complete"' in gateway.log)
    popped = ada.post("worker/pop", wait=10)["data"]
    ada.close()
    assert popped["id"] == second


def test_token_revoked_during_a_wait_claims_nothing(
    gateway: Gateway, planner: ApiClient, ada: ApiClient
) -> None:
    project = opened(planner)
    token = gateway.token("ada", "worker")
    revoked = ApiClient(gateway, token)
    with ThreadPoolExecutor(1) as waiting:
        popped = waiting.submit(revoked.refusal, "worker/pop", wait=50)
        eventually(lambda: '"verb": "claim"' in gateway.log)
        gateway.shell.orchestrate("token", "revoke", token[:12])
        other = HttpClient(gateway, token)
        eventually(lambda: other.get(f"{PREFIX}/whoami")[0] == 401)

        item = created(planner, project)
        refusal = popped.result(30)

    for client in (revoked, other):
        client.close()
    assert refusal == (401, "TOKEN_REFUSED")
    assert ada.post("worker/pop")["data"]["id"] == item


def test_wait_for_answer_ends_with_the_answer(
    planner: ApiClient, ada: ApiClient
) -> None:
    item = created(planner, opened(planner))
    claim = ada.post("worker/pop")
    own = {"item": item, "token": claim["meta"]["tokens"][item]}
    ada.post("worker/blocker", **own, text="Which?")
    early = ada.post("worker/wait", **own, timeout=0.2)
    with ThreadPoolExecutor(1) as waiting:
        answered = waiting.submit(ada.post, "worker/wait", **own, timeout=50)

        planner.post("orchestrator/answer", item=item, text="That one")

        answers = answered.result(30)["data"]["answers"]
    assert [each["text"] for each in answers] == ["That one"]
    assert early["data"] is None
    assert early["meta"]["error"]["code"] == "WAIT_OVER"
    assert "0.2 s" in early["meta"]["error"]["message"]


def test_wait_for_any_event_misses_none(
    gateway: Gateway, planner: ApiClient
) -> None:
    project = opened(planner)
    viewer = ApiClient(gateway, gateway.token("eve", "viewer"))
    query = f"id={project}&until=completed&until=any"
    early = viewer.get("orchestrator/wait", f"{query}&timeout=0.2")
    cursor = early["meta"]["error"]["details"]["cursor"]
    item = created(planner, project)
    with ThreadPoolExecutor(1) as waiting:
        late = waiting.submit(
            viewer.get, "orchestrator/wait", f"{query}&timeout=50"
        )
        waited = viewer_reads(gateway, f"{query}&since={cursor}")
        eventually(lambda: late.done() or bool(created(planner, project)))
        outcome = late.result(30)["data"]

    viewer.close()
    assert outcome["reached"] == "any"
    assert item in {event["item"] for event in waited["events"]}


def viewer_reads(gateway: Gateway, query: str) -> Any:
    client = ApiClient(gateway, gateway.token("eve", "viewer"))
    document = client.get("orchestrator/wait", query)
    client.close()
    return document["data"]


#: A stream sends a comment later than that.
SOON_S = 10
#: How long a test reads a stream for a line: comments keep it open without end.
READ_S = 60


class Stream:
    """A stream of events that a client reads."""

    def __init__(
        self, gateway: Gateway, query: str = "", last: str = "", *options: str
    ) -> None:
        """Open it with a token of its own, which is created with options."""
        token = gateway.token("eve", "viewer", *options)
        self._socket = socket.create_connection(("127.0.0.1", gateway.port))
        self._socket.settimeout(30)
        lines = [
            f"GET {PREFIX}/events{query} HTTP/1.1",
            "Host: localhost",
            "Connection: close",
            f"Authorization: Bearer {token}",
            *([f"Last-Event-ID: {last}"] if last else []),
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._lines = self._socket.makefile(encoding="utf-8")
        self.read_until(": ")
        self.token = token

    def read_until(self, start: str) -> str:
        """Return the rest of the next line that begins with a text, within READ_S."""
        stop_at = monotonic() + READ_S
        for line in self._lines:
            if line.startswith(start):
                return line.removeprefix(start).strip()
            if monotonic() > stop_at:
                raise AssertionError(f"No line began with {start!r} in time.")
        raise AssertionError("The stream has ended.")

    def event(self) -> Any:
        """Return the next event."""
        return json.loads(self.read_until("data: "))

    def ends(self) -> bool:
        """Return whether the stream ends before its next event."""
        return not any(line.startswith(("data:", ":")) for line in self._lines)

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()


def test_stream_continues_behind_the_last_event(
    gateway: Gateway, planner: ApiClient
) -> None:
    stream = Stream(gateway)
    project = opened(planner)
    first = stream.event()
    stream.close()
    item = created(planner, project)

    again = Stream(gateway, last=first["cursor"])
    missed = again.event()
    planner.post("orchestrator/comment", item=item, text="Now")

    assert (first["verb"], first["project"]) == ("project", project)
    assert (missed["verb"], missed["item"]) == ("create", item)
    assert again.read_until('data: {"cursor": ')
    again.close()


def test_stream_of_a_project_leaves_others_out(
    gateway: Gateway, planner: ApiClient
) -> None:
    own, other = opened(planner), opened(planner)
    stream = Stream(gateway, f"?project={own}")
    created(planner, other)

    item = created(planner, own)

    assert stream.event()["item"] == item
    stream.close()


def test_confined_stream_passes_many_events_of_others(
    gateway: Gateway, planner: ApiClient
) -> None:
    stream = Stream(gateway)
    own = opened(planner)
    first = stream.event()
    stream.close()
    items = [{"name": f"n{number}", "title": "It"} for number in range(50)]
    for _ in range(4):
        planner.post("orchestrator/apply", project="Other", items=items)
    item = created(planner, own)

    confined = Stream(gateway, "", first["cursor"], "--project", own)

    assert confined.event()["item"] == item
    confined.close()


def test_stream_names_a_gap(gateway: Gateway, planner: ApiClient) -> None:
    opened(planner)

    stream = Stream(gateway, last="1-1")

    assert stream.read_until("event: ") == "gap"
    assert stream.event() == {"cursor": "1-1"}
    stream.close()


def test_idle_stream_of_revoked_token_ends(gateway: Gateway) -> None:
    stream = Stream(gateway)

    gateway.shell.orchestrate("token", "revoke", stream.token[:12])
    revoked_at = monotonic()

    assert stream.ends()
    assert monotonic() - revoked_at < SOON_S
    stream.close()


@pytest.mark.parametrize("role", ["worker"])
def test_stream_is_for_those_who_may_read_events(
    gateway: Gateway, role: str
) -> None:
    client = ApiClient(gateway, gateway.token("eve", role))

    status, _ = client.http.get(f"{PREFIX}/events")
    malformed, _ = client.http.get(f"{PREFIX}/events?since=x")

    client.close()
    assert (status, malformed) == (403, 422)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("projects?limit=5", ["projects", "--limit", "5"]),
        ("list?project={project}", ["list", "{project}"]),
        ("show?item={item}", ["show", "{item}"]),
        ("progress?id={project}", ["progress", "{project}"]),
        ("progress?id={item}", ["progress", "{item}"]),
        ("inbox", ["inbox"]),
        ("stuck?silent_for=1ms", ["stuck", "--silent-for", "1ms"]),
        ("unassigned", ["unassigned"]),
        ("discoveries", ["discoveries"]),
        ("handoff?item={item}", ["show", "{item}", "--handoff"]),
    ],
)
def test_document_is_that_of_the_command(
    gateway: Gateway,
    planner: ApiClient,
    ada: ApiClient,
    verb: str,
    words: list[str],
) -> None:
    project = opened(planner)
    known = {"project": project, "item": created(planner, project)}
    ada.post("worker/blocker", item=known["item"], text="Which?")
    created(planner, project, assign="")

    document = planner.get(f"orchestrator/{verb.format_map(known)}")
    command = gateway.shell.orchestrate(
        "--json", *(word.format_map(known) for word in words)
    )

    assert without_ages(document) == without_ages(command.json())


def without_ages(document: Any) -> Any:
    """Return a document without what changes from one moment to the next."""
    text = re.sub(r'"silent_ms": \d+', "", json.dumps(document))
    return re.sub(r"silent for [^.\"]+", "", text)


def test_api_has_every_command_of_a_queue() -> None:
    served = {
        "orchestrate": {
            row.verb.name.partition("/")[0]
            for row in VERBS
            if row.group == "orchestrator"
        },
        "worker": {row.verb.name for row in VERBS if row.group == "worker"},
    }

    for group in (orchestrate, worker):
        name = str(group.name)
        others = set(group.commands) - OF_THE_MACHINE[name]
        assert others == served[name] - OF_OPTIONS


def test_commands_of_the_page_run(gateway: Gateway, tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```bash\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    variables = {
        "API": f"{gateway.url}{PREFIX}",
        "PLANNER": gateway.token("planner", "orchestrator"),
        "ADA": gateway.token("ada", "worker"),
    }

    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        env={**gateway.shell.environment(), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(blocks) > 4
    assert ran.returncode == 0, ran.stderr
    assert "curl:" not in ran.stderr
    assert '"status": "completed"' in re.sub(r":(?=\S)", ": ", ran.stdout)


def test_page_has_the_table_of_verbs() -> None:
    page = PAGE.read_text(encoding="utf-8")

    rows = re.findall(r"^\| (GET|POST) \| `([^`]+)` \|", page, re.MULTILINE)

    assert [
        (row.method, row.path.removeprefix(PREFIX)) for row in VERBS
    ] == rows
