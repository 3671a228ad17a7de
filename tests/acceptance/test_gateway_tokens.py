"""What access tokens allow, use up and leave behind, with real processes."""

import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest
from support import gateways
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.gateways import Gateway, HttpClient
from taskorch.domain.item import NewItem
from taskorch.version import __version__

WRONG = "0" * 64
#: The time within which waits end, with room for a busy machine. It is below the 55 s
#: after which a client would ask again.
SOON_S = 30
HOUR_MS = 3_600_000
#: A gateway that asks only once about a token.
TRUSTING = """
from taskorch_gateway import authentication
from taskorch_orchestrator import cli
authentication.FRESH_S = 3600
cli.main()
"""


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture
def second(shell: Shell) -> Iterator[Gateway]:
    """Return another gateway of the same queue."""
    folder = shell.folder.parent / "second"
    folder.mkdir()
    with gateways.running(shell.within(folder)) as running:
        yield running


def call(
    shell: Shell, script: str, *words: str, name: str
) -> dict[str, object]:
    """Return the body of a call in the namespace of a shell."""
    tag = f"taskorch:{{{shell.variables['TASKORCH_NAMESPACE']}}}:"
    caller = [os.urandom(8).hex(), name, "here", "1", "", __version__]
    return {
        "script": script,
        "key": f"{tag}meta",
        "arguments": [*caller, *words],
    }


def wait_of(shell: Shell, agent: str) -> dict[str, object]:
    """Return the body of a wait for an item of an agent."""
    tag = f"taskorch:{{{shell.variables['TASKORCH_NAMESPACE']}}}:"
    return {"key": f"{tag}wake:{agent}", "seconds": 50}


# The audit log ------------------------------------------------------------------------


def test_audit_lists_steps_and_refused_calls(gateway: Gateway) -> None:
    planner, ada = gateway.orchestrator(), gateway.worker("ada")
    project = planner.orchestrate("project", "Secret").stdout.strip()
    item = planner.orchestrate(
        *("create", project, "Secret", "--assign", "ada")
    ).stdout.strip()
    ada.worker("pop")
    ada.worker("ack", item)
    ada.orchestrate("--json", "project", "Not mine")
    token = ada.variables["TASKORCH_TOKEN"]
    gateway.client(f"{token[:12]}_{WRONG}", AGENT_ID="ada").worker("check")
    admin = gateway.client(gateway.token("root", "admin"))

    def outcomes() -> set[tuple[str, str]]:
        listed = admin.orchestrate("--json", "audit").data()
        return {(line["verb"], line["outcome"]) for line in listed}

    eventually(lambda: ("", "TOKEN_REFUSED") in outcomes())

    assert outcomes() == {
        ("project", "done"),
        ("create", "done"),
        ("claim", "done"),
        ("complete", "done"),
        ("project", "NOT_ALLOWED"),
        ("", "TOKEN_REFUSED"),
    }
    (claimed,) = gateway.shell.orchestrate(
        *("--json", "audit", "--verb", "claim", "--since", "1h")
    ).data()
    assert (claimed["token"], claimed["name"], claimed["ids"]) == (
        *(token[:12], "ada", [item]),
    )
    shown = gateway.shell.orchestrate("audit", "--token", token[:12])
    assert "complete" in shown.stdout
    assert "Secret" not in shown.stdout


@pytest.mark.parametrize("role", ["orchestrator", "viewer"])
def test_audit_needs_an_administrator(gateway: Gateway, role: str) -> None:
    client = gateway.client(gateway.token("eve", role), ORCHESTRATOR_ID="eve")

    refused = client.orchestrate("--json", "audit")

    assert refused.code == 7
    assert refused.error()["code"] == "NOT_ALLOWED"


@pytest.mark.parametrize("over", ["redis", "gateway"])
def test_audit_follows_new_lines(gateway: Gateway, over: str) -> None:
    reader = gateway.shell
    if over == "gateway":
        reader = gateway.client(gateway.token("root", "admin"))
    planner = gateway.orchestrator()
    planner.orchestrate("project", "Before")
    following = reader.start(
        BIN / "orchestrate", "--json", "audit", "--follow"
    )
    assert following.stdout
    first = json.loads(following.stdout.readline())

    planner.orchestrate("projects")
    project = planner.orchestrate("project", "After").stdout.strip()
    second = json.loads(following.stdout.readline())
    following.terminate()
    following.communicate(timeout=60)

    assert first["verb"] == "project"
    assert second["ids"] == [project]


@pytest.mark.parametrize(
    "options",
    [
        ("--token", "tok_1"),
        ("--name", "a b"),
        ("--since", "yesterday"),
        ("--limit", "0"),
    ],
)
def test_audit_refuses_bad_options(
    shell: Shell, options: tuple[str, ...]
) -> None:
    assert shell.orchestrate("audit", *options).code in (2, 3, 5)


# Quotas -------------------------------------------------------------------------------


def test_quota_of_open_items_is_reported(gateway: Gateway) -> None:
    token = gateway.token("planner", "orchestrator", "--max-open-items", "1")
    planner = gateway.client(token, ORCHESTRATOR_ID="planner")
    project = planner.orchestrate("project", "Few").stdout.strip()
    item = planner.orchestrate("create", project, "One").stdout.strip()

    refused = planner.orchestrate("--json", "create", project, "Two")
    planner.orchestrate("cancel", item)
    again = planner.orchestrate("create", project, "Three")

    assert refused.code == 5
    error = refused.error()
    assert (error["code"], error["details"]["most"]) == ("QUOTA", 1)
    assert "cancel some" in error["hint"]
    assert again.code == 0
    listed = gateway.shell.orchestrate("token", "list").stdout
    assert "1/1" in listed


def test_quota_of_bytes_names_the_time(gateway: Gateway) -> None:
    token = gateway.token("planner", "orchestrator", "--max-bytes", "1k")
    planner = gateway.client(token, ORCHESTRATOR_ID="planner")
    project = planner.orchestrate("project", "Small").stdout.strip()

    refused = planner.orchestrate(
        *("--json", "create", project, "Large", "-d", "x" * 1000)
    )

    assert refused.code == 5
    assert "T00:00:00Z" in refused.error()["hint"]


def test_quota_of_agents_is_reported(gateway: Gateway) -> None:
    token = gateway.token("planner", "orchestrator", "--max-agents", "1")
    planner = gateway.client(token, ORCHESTRATOR_ID="planner")
    project = planner.orchestrate("project", "One").stdout.strip()
    planner.orchestrate("create", project, "x", "--assign", "ada")

    refused = planner.orchestrate(
        *("--json", "create", project, "x", "--assign", "bob")
    )

    assert refused.code == 5
    assert refused.error()["details"]["what"] == "agents"


@pytest.mark.parametrize(
    "options",
    [
        ("--max-open-items", "-1"),
        ("--max-open-items", "many"),
        ("--max-bytes", "1T"),
        ("--max-bytes", "-5"),
        ("--max-agents", "1.5"),
        ("--max-open-items", "99999999999999"),
        ("--expires", "0s"),
        ("--expires", "366d"),
        ("--expires", "soon"),
        ("--role", "king"),
        ("--project", "proj_00000000"),
    ],
)
def test_token_with_bad_options_is_not_created(
    shell: Shell, options: tuple[str, ...]
) -> None:
    created = shell.orchestrate(
        *("token", "create", "ada", "--role", "worker", *options)
    )

    assert created.code in (2, 3, 5)
    assert shell.orchestrate("--json", "token", "list").data() == []


def test_edited_quota_and_role_are_obeyed(gateway: Gateway) -> None:
    token = gateway.token("planner", "orchestrator", "--max-agents", "1")
    planner = gateway.client(token, ORCHESTRATOR_ID="planner")
    project = planner.orchestrate("project", "One").stdout.strip()
    edit = ("token", "edit", token[:12])
    create = ("create", project, "x", "--assign")
    assert planner.orchestrate(*create, "ada").code == 0
    assert planner.orchestrate(*create, "bob").code == 5

    edited = gateway.shell.orchestrate(*edit, "--max-agents", "2")
    allowed = planner.orchestrate(*create, "bob")
    gateway.shell.orchestrate(*edit, "--role", "viewer")

    assert (edited.code, allowed.code) == (0, 0)
    eventually(lambda: planner.orchestrate(*create, "bob").code == 7)
    assert planner.orchestrate("projects").code == 0


@pytest.mark.parametrize("verb", ["edit", "rotate", "revoke"])
def test_whole_token_as_id_is_not_repeated(shell: Shell, verb: str) -> None:
    created = shell.orchestrate("token", "create", "ada", "--role", "worker")
    token = created.stdout.strip()

    refused = shell.orchestrate("token", verb, token)

    assert refused.code == 2
    assert "tok_1a2b3c4d" in refused.stderr
    assert token[13:30] not in refused.stdout + refused.stderr


# Tokens that are refused --------------------------------------------------------------


def test_refused_tokens_get_the_same_reply(gateway: Gateway) -> None:
    valid = gateway.token("ada", "worker")
    revoked = gateway.token("ada", "worker")
    expired = gateway.token("ada", "worker", "--expires", "1ms")
    gateway.shell.orchestrate("token", "revoke", revoked[:12])
    body = call(gateway.shell, "check", "10", name="ada")

    replies = []
    for token in (
        *(revoked, expired, f"{valid[:12]}_{WRONG}", f"tok_00000000_{WRONG}"),
        "malformed",
    ):
        client = HttpClient(gateway, token)
        replies.append(client.post("/call", body))
        client.close()

    assert {status for status, _ in replies} == {401}
    assert len({json.dumps(reply) for _, reply in replies}) == 1


def test_failing_client_leaves_others_of_its_address(
    gateway: Gateway,
) -> None:
    valid = gateway.token("ada", "worker")
    body = call(gateway.shell, "check", "10", name="ada")
    guessing = HttpClient(gateway, f"{valid[:12]}_{WRONG}")
    statuses = [guessing.post("/call", body)[0] for _ in range(15)]
    malformed = HttpClient(gateway, "x")
    refused, reply = malformed.post("/call", body)
    client = HttpClient(gateway, gateway.token("ada", "worker"))

    served, _ = client.post("/call", body)

    for each in (guessing, malformed, client):
        each.close()
    assert (statuses[0], statuses[-1]) == (401, 429)
    assert (refused, reply["error"]["code"]) == (429, "RATE_LIMITED")
    assert served == 200


def test_secret_is_nowhere_but_with_the_client(
    gateway: Gateway, bench: Bench
) -> None:
    raw = bench.raw
    raw.config_set("slowlog-log-slower-than", 0)
    with raw.monitor() as monitor:  # type: ignore[no-untyped-call]
        planner, ada = gateway.orchestrator(), gateway.worker("ada")
        project = planner.orchestrate("project", "Build").stdout.strip()
        planner.orchestrate("create", project, "x", "--assign", "ada")
        ada.worker("pop")
        wrong = ada.variables["TASKORCH_TOKEN"][:-1] + "g"
        gateway.client(wrong, AGENT_ID="ada").worker("check")
        raw.echo("the end")
        seen = ""
        while "the end" not in seen:
            seen += str(monitor.next_command())
    slow = str(raw.slowlog_get(1000))
    raw.config_set("slowlog-log-slower-than", 10_000)

    everything = seen + slow + str(bench.everything()) + gateway.log
    for token in (
        *(planner.variables["TASKORCH_TOKEN"], wrong),
        ada.variables["TASKORCH_TOKEN"],
    ):
        assert token[:12] in everything
        assert token[13:] not in everything
        assert token[13:45] not in everything


# Waits that a token ends --------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("worker", "pop", "--wait", "300"),
        ("orchestrate", "watch", "--json"),
        ("orchestrate", "discoveries", "PROJECT", "--follow"),
        ("orchestrate", "wait", "ITEM", "--timeout", "300"),
    ],
)
def test_revoked_token_ends_its_open_wait(
    gateway: Gateway, second: Gateway, bench: Bench, words: tuple[str, ...]
) -> None:
    project = bench.project()
    item = bench.item(project, agent="bob")
    role = "worker" if words[0] == "worker" else "orchestrator"
    token = second.token("ada", role)
    client = second.client(token, AGENT_ID="ada", ORCHESTRATOR_ID="ada")
    named = {"PROJECT": project, "ITEM": item}
    command, *rest = (named.get(word, word) for word in words)
    waiting = client.start(BIN / command, *rest)
    eventually(lambda: waits(second) > 0)

    gateway.shell.orchestrate("token", "revoke", token[:12])
    revoked_at = monotonic()
    ended = result_of(waiting)

    assert ended.code == 7, ended.stderr
    assert "orchestrate token create" in ended.stdout + ended.stderr
    assert monotonic() - revoked_at < SOON_S


def waits(gateway: Gateway) -> int:
    """Return the number of connections with which a gateway is reached."""
    port = f"{gateway.port:04X}"
    with Path("/proc/net/tcp").open(encoding="ascii") as table:
        return sum(
            row.split()[1].endswith(f":{port}") and row.split()[3] == "01"
            for row in table.readlines()[1:]
        )


def test_expired_token_ends_its_open_wait(gateway: Gateway) -> None:
    token = gateway.token("ada", "worker", "--expires", "5s")
    client = gateway.client(token, AGENT_ID="ada")
    started = monotonic()

    ended = client.worker("pop", "--wait", "80")

    assert ended.code == 7, ended.stderr
    assert monotonic() - started < 5 + SOON_S


def test_rotated_token_keeps_its_new_client(gateway: Gateway) -> None:
    ada = gateway.worker("ada")
    token = ada.variables["TASKORCH_TOKEN"]
    assert ada.worker("check").code == 0

    rotated = gateway.shell.orchestrate("token", "rotate", token[:12])
    renewed = ada.having(TASKORCH_TOKEN=rotated.stdout.strip())

    eventually(lambda: ada.worker("check").code == 7)
    assert renewed.worker("check").code == 0


# Waits of several gateways ------------------------------------------------------------


def test_items_wake_waiting_clients_of_both_gateways(
    gateway: Gateway, second: Gateway, bench: Bench
) -> None:
    token = gateway.token("ada", "worker")
    bodies = wait_of(gateway.shell, "ada")
    clients = [HttpClient(gateway, token), HttpClient(second, token)]
    with ThreadPoolExecutor() as pool:
        waiting = [
            pool.submit(client.post, "/wait", bodies) for client in clients
        ]
        eventually(lambda: all(waits(each) for each in (gateway, second)))
        project = bench.project()
        bench.queue.create_many(project, [NewItem(title="x", agent="ada")] * 2)
        replies = [each.result(SOON_S) for each in waiting]

    for client in clients:
        client.close()
    assert replies == [(200, {"reply": True})] * 2


@pytest.mark.parametrize("by", ["gateway", "redis"])
def test_passed_wake_token_reaches_the_other_gateway(
    gateway: Gateway, second: Gateway, bench: Bench, by: str
) -> None:
    token = gateway.token("ada", "worker")
    bench.item(delay_ms=3_600_000)
    bench.raw.delete(f"taskorch:{{{bench.namespace}}}:wake:ada")
    waiting_client = HttpClient(second, token)
    leaving = HttpClient(gateway, token)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(
            waiting_client.post, "/wait", wait_of(gateway.shell, "ada")
        )
        eventually(lambda: waits(second) > 0)
        if by == "gateway":
            leaving.post(
                "/call", call(gateway.shell, "claim", "", "1", "1", name="ada")
            )
        else:
            bench.agent("ada").claim()
        replied = waiting.result(SOON_S)

    waiting_client.close()
    leaving.close()
    assert replied == (200, {"reply": True})


def test_client_leaving_during_look_passes_token_on(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    tag = f"taskorch:{{{bench.namespace}}}:"
    program = (sys.executable, "-c", TRUSTING)
    with gateways.running(shell, program=program) as gateway:
        client = HttpClient(gateway, gateway.token("ada", "worker"))
        client.post("/call", call(shell, "check", "10", name="ada"))
        bench.raw.client_pause(HOUR_MS, all=False)
        client.send("/wait", wait_of(shell, "ada"))
        eventually(lambda: looks_hang(bench))
        client.close()
        # its answer shows that the gateway knows of what came before
        other = HttpClient(gateway)
        assert other.get("/healthz")[0] == 200
        other.close()
        bench.raw.client_unpause()

        eventually(lambda: bench.raw.xlen(f"{tag}signals") > 0)

    assert bench.raw.llen(f"{tag}wake:ada") == 1


def looks_hang(bench: Bench) -> bool:
    """Return whether Redis holds up the looks of gateways for wake tokens."""
    return any(
        "b" in client["flags"] and client["cmd"] == "blpop"
        for client in bench.raw.client_list()
    )


def test_items_reach_waiting_clients_of_all_processes(
    shell: Shell, bench: Bench
) -> None:
    with gateways.running(shell, "--workers", "2") as gateway:
        ada = gateway.worker("ada")
        popping = [
            ada.having(AGENT_SESSION=str(number)).start(
                BIN / "worker", "pop", "--wait", "60"
            )
            for number in range(4)
        ]
        eventually(lambda: gateway.log.count('"verb": "claim"') == 4)
        project = bench.project()
        items = bench.queue.create_many(
            project, [NewItem(title="x", agent="ada")] * 4
        )
        popped = [result_of(each) for each in popping]
        gateway.stop()

    assert [each.code for each in popped] == [0] * 4
    for item in items:
        assert sum(item.id in each.stdout for each in popped) == 1


# Viewers and projects -----------------------------------------------------------------


def test_viewer_runs_no_script_that_writes(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item()
    viewer = gateway.token("eve", "viewer")
    client = HttpClient(gateway, viewer)
    before = bench.everything()
    replies = [
        client.post("/call", call(gateway.shell, script, word, name="eve"))
        for script, word in (("expect", item), ("upgrade", "50"))
    ]
    client.close()

    assert {status for status, _ in replies} == {403}
    after = bench.everything()
    for changing in ("audit_log", f"access_token:{viewer[:12]}"):
        before.pop(changing, None)
        after.pop(changing, None)
    assert after == before


def test_confined_client_watches_its_project(
    gateway: Gateway, bench: Bench
) -> None:
    own, foreign = bench.project(), bench.project()
    token = gateway.token("eve", "orchestrator", "--project", own)
    eve = gateway.client(token, ORCHESTRATOR_ID="eve")
    watching = eve.start(BIN / "orchestrate", "watch", "--json")
    assert watching.stdout
    watching.stdout.readline()

    bench.item(foreign)
    item = bench.item(own)
    event = json.loads(watching.stdout.readline())
    bench.queue.cancel(item)
    bench.item(foreign)
    cancelled = json.loads(watching.stdout.readline())
    watching.terminate()
    watching.communicate(timeout=60)

    assert (event["verb"], event["item"]) == ("create", item)
    assert (cancelled["verb"], cancelled["item"]) == ("cancel", item)


def test_confined_client_uses_short_ids(
    gateway: Gateway, bench: Bench
) -> None:
    own = bench.project()
    item, foreign = bench.item(own), bench.item()
    token = gateway.token("eve", "viewer", "--project", own)
    eve = gateway.client(token, ORCHESTRATOR_ID="eve")

    shown = eve.orchestrate("show", item[5:11])
    missing = eve.orchestrate("--json", "show", foreign[5:11])
    agents = eve.orchestrate("agents")

    assert item in shown.stdout
    assert missing.code == 3
    assert agents.code in (0, 8)
