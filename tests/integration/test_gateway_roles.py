"""Each role's token against every script, and what else a gateway refuses, over HTTP."""

import json
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from support import gateways
from support.gateways import Gateway, HttpClient
from taskorch.domain.role import Role
from taskorch.queue import keys, roles, scripts
from taskorch.version import __version__
from taskorch_gateway import checks

NAMESPACE = "team"
META = f"taskorch:{{{NAMESPACE}}}:meta"
DEEP = b'{"arguments": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD_BODIES = (
    b"",
    b"null",
    b"[]",
    b"{",
    b"\xff\xfe",
    DEEP,
    b'{"script": 5}',
    b'{"key": "k", "script": "check", "arguments": []}',
)
BAD_WORDS: dict[str, tuple[int, object]] = {
    "request": (0, "x"),
    "confined": (0, "0" * 16 + "@proj_00000000"),
    "number": (1, 5),
    "null": (2, None),
    "list": (2, []),
    "surrogate": (2, "\ud800"),
    "long": (2, "h" * 256),
}


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(gateway: Gateway) -> dict[Role, str]:
    return {role: gateway.token("ada", role) for role in Role}


def call(script: str, *words: object, name: str = "ada") -> dict[str, object]:
    """Return the body of a call."""
    request = os.urandom(8).hex()
    caller = [request, name, "here", "1", "", __version__]
    return {"script": script, "key": META, "arguments": [*caller, *words]}


def code_of(reply: Any) -> str:
    return str(reply.get("error", {}).get("code", ""))


def refusal_of(
    gateway: Gateway, token: str, body: dict[str, object]
) -> tuple[int, str]:
    """Return the status of a call that is refused, and the word of its error."""
    client = HttpClient(gateway, token)
    status, reply = client.post("/call", body)
    client.close()
    return status, code_of(reply)


@pytest.mark.parametrize("script", scripts.names())
@pytest.mark.parametrize("role", list(Role))
def test_role_runs_the_scripts_of_its_table(
    gateway: Gateway, tokens: dict[Role, str], role: Role, script: str
) -> None:
    client = HttpClient(gateway, tokens[role])

    status, reply = client.post("/call", call(script))

    client.close()
    is_refused = (status, code_of(reply)) == (403, "NOT_ALLOWED")
    assert is_refused != roles.may_run(role, script)


def test_roles_name_scripts_that_exist() -> None:
    named = {name for of_role in roles.SCRIPTS.values() for name in of_role}

    assert named | roles.BEYOND_A_PROJECT <= set(scripts.names())


def test_gateway_knows_where_an_origin_begins() -> None:
    stated = {
        name: header(name).partition("then field")[0]
        for name in scripts.names()
        if "of its origin" in header(name)
    }
    complete = stated.pop("complete")
    del stated["stray"]  # which no agent calls

    assert {
        name: int(re.findall(r"\b\d+\b", words)[-1])
        for name, words in stated.items()
    } == checks.WITHOUT_ORIGIN
    assert f"{checks.COMPLETE_WORDS} number of items" in complete
    source = scripts.source("complete")
    assert (
        f"WORDS = {checks.COMPLETE_WORDS + 1}, {checks.ITEM_WORDS}\n" in source
    )


def header(script: str) -> str:
    """Return the arguments of a script as its header has them."""
    text = scripts.source(script).partition("-- ARGV ")[2]
    words = text.partition("-- RETURNS")[0].replace("--", "")
    return " ".join(words.split())


def test_page_has_the_table_of_roles() -> None:
    page = (Path(__file__).parents[2] / "docs" / "gateway.md").read_text(
        encoding="utf-8"
    )
    rows = {
        line.split("|")[1].strip().strip("`"): line.split("|")[2]
        for line in page.splitlines()
        if line.startswith("| `")
    }

    def named(role: Role) -> set[str]:
        return set(rows[role].replace("`", "").replace(",", "").split())

    viewer = roles.SCRIPTS[Role.VIEWER]
    assert named(Role.WORKER) == roles.SCRIPTS[Role.WORKER]
    assert named(Role.VIEWER) == viewer
    assert (
        named(Role.ORCHESTRATOR) >= roles.SCRIPTS[Role.ORCHESTRATOR] - viewer
    )


@pytest.mark.parametrize("role", [role for role in Role if role != Role.ADMIN])
def test_role_acts_under_its_own_name(
    gateway: Gateway, tokens: dict[Role, str], role: Role
) -> None:
    client = HttpClient(gateway, tokens[role])
    script = min(roles.SCRIPTS[role])

    status, reply = client.post("/call", call(script, name="bob"))

    client.close()
    assert (status, code_of(reply)) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("progress", ("item_00000000", "", "x", "", "", "written_at", "1")),
        ("note", ("item_00000000", "x", "written_at", "1")),
        (
            "complete",
            (
                *("", "", "", "1", "item_00000000", "", "x", "{}", "", ""),
                *("made_at", "1"),
            ),
        ),
    ],
)
def test_worker_states_no_origin(
    gateway: Gateway,
    tokens: dict[Role, str],
    script: str,
    words: tuple[str, ...],
) -> None:
    refused = refusal_of(gateway, tokens[Role.WORKER], call(script, *words))

    assert refused == (403, "NOT_ALLOWED")


def test_orchestrator_reads_no_leases_of_others(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    client = HttpClient(gateway, tokens[Role.ORCHESTRATOR])

    without, _ = client.post("/call", call("records", ""))
    status, reply = client.post("/call", call("records", ":"))

    client.close()
    assert without == 200
    assert (status, code_of(reply)) == (403, "NOT_ALLOWED")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("discoveries", ("all", "after", "0-0", "", "10")),
        ("discoveries", ("proj_00000000", "after", "0-0", "", "10")),
        ("new_discoveries", ("worker", "all", "10")),
        ("new_discoveries", ("orchestrator", "own", "10")),
        ("count_new_discoveries", ("worker", "proj_00000000")),
        ("find", ("item", "", "", "10", "")),
        ("find", ("", "1a2b", "", "10", "bob")),
    ],
)
def test_worker_lists_nothing_of_others(
    gateway: Gateway,
    tokens: dict[Role, str],
    script: str,
    words: tuple[str, ...],
) -> None:
    refused = refusal_of(gateway, tokens[Role.WORKER], call(script, *words))

    assert refused == (403, "NOT_ALLOWED")


def test_orchestrator_reads_no_news_of_an_agent(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    refused = refusal_of(
        gateway,
        tokens[Role.ORCHESTRATOR],
        call("new_discoveries", "worker", "all", "10"),
    )

    assert refused == (403, "NOT_ALLOWED")


def test_worker_finds_its_own_items_alone(gateway: Gateway) -> None:
    planner = gateway.orchestrator()
    project = planner.orchestrate("project", "Shared").stdout.strip()
    mine, theirs, reviewed = (
        planner.orchestrate(
            "create", project, "It", "--assign", agent, "--review", reviewer
        ).stdout.strip()
        for agent, reviewer in (
            ("eve", "lead"),
            ("bob", "lead"),
            ("bob", "eve"),
        )
    )
    client = HttpClient(gateway, gateway.token("eve", Role.WORKER))

    def found(kind: str, digits: str) -> list[str]:
        words = (kind, digits, "", "10", "")
        _, reply = client.post("/call", call("find", *words, name="eve"))
        return [id_ for id_, _ in reply["reply"][1]]

    assert found("item", mine[5:]) == [mine]
    assert mine in found("", mine[5:9])
    assert found("item", reviewed[5:]) == [reviewed]
    assert found("item", theirs[5:]) == []
    assert theirs not in found("", theirs[5:9])
    assert found("proj", project[5:]) == []
    client.close()


@pytest.mark.parametrize("body", BAD_BODIES, ids=range(len(BAD_BODIES)))
@pytest.mark.parametrize("target", ["/call", "/wait", "/follow"])
def test_malformed_body_is_a_usage_error(
    gateway: Gateway, tokens: dict[Role, str], target: str, body: bytes
) -> None:
    client = HttpClient(gateway, tokens[Role.ADMIN])

    status, reply = client.post(target, body)

    client.close()
    assert status in (400, 404)
    assert set(reply["error"]) == {
        *("code", "message", "hint", "retryable", "details"),
    }


@pytest.mark.parametrize("word", BAD_WORDS)
def test_malformed_word_is_a_usage_error(
    gateway: Gateway, tokens: dict[Role, str], word: str
) -> None:
    client = HttpClient(gateway, tokens[Role.WORKER])
    body = call("check", "10")
    place, value = BAD_WORDS[word]
    arguments = body["arguments"]
    assert isinstance(arguments, list)
    arguments[place] = value

    status, reply = client.post("/call", body)

    client.close()
    assert (status, code_of(reply)) == (400, "USAGE")


@pytest.mark.parametrize("role", list(Role))
def test_client_names_no_other_token(
    gateway: Gateway, tokens: dict[Role, str], role: Role
) -> None:
    other = gateway.token("bob", "orchestrator")[:12]
    client = HttpClient(gateway, tokens[role])
    script = min(roles.SCRIPTS.get(role, {"purge"}))
    body = call(script)
    arguments = cast("list[str]", body["arguments"])
    arguments[0] += f":{other}"

    status, reply = client.post("/call", body)

    client.close()
    assert (status, code_of(reply)) == (403, "NOT_ALLOWED")


def test_service_of_administrator_creates_under_another_token(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    other = gateway.token("bob", "orchestrator", "--max-open-items", "1")
    client = HttpClient(gateway, tokens[Role.ADMIN])

    def created(mark: str) -> tuple[int, Any]:
        item = ("", "", "", "2", "0", "0", "", "2", "title", "An item")
        body = call("create", "", "P", "", "", "", "", *item, *item)
        arguments = cast("list[str]", body["arguments"])
        arguments[0] += f":{other[:12]}{mark}"
        return client.post("/call", body)

    first, repeated = created(""), created("+")

    client.close()
    for status, reply in (first, repeated):
        assert status == 200
        assert reply["refusal"].startswith("QUOTA ")
        assert other[:12] in reply["refusal"]


@pytest.mark.parametrize(
    "script",
    ["../keys", "prelude/call", "", "check.lua", "no_such", "__init__"],
)
def test_unknown_script_is_a_usage_error(
    gateway: Gateway, tokens: dict[Role, str], script: str
) -> None:
    client = HttpClient(gateway, tokens[Role.ADMIN])

    status, reply = client.post("/call", call(script))

    client.close()
    assert (status, code_of(reply)) == (400, "USAGE")


def test_body_of_many_megabytes_is_refused(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    client = HttpClient(gateway, tokens[Role.WORKER])

    status, _ = client.post("/call", call("check", "x" * 10_000_000))

    client.close()
    assert status == 413


def test_endless_head_is_cut(gateway: Gateway) -> None:
    header = b"X: " + b"y" * 60_000 + b"\r\n"

    with socket.create_connection(("127.0.0.1", gateway.port), 60) as flood:
        flood.sendall(b"POST /call HTTP/1.1\r\nHost: localhost\r\n")

        with pytest.raises(OSError, match=r"\w+"):
            flood.sendall(header * 1_000)


@pytest.mark.parametrize(
    "request_line", [b"GET", b"\x16\x03\x01\x02", b"POST /call HTTP/9\r\n\r\n"]
)
def test_other_protocols_leave_the_gateway_running(
    gateway: Gateway, tokens: dict[Role, str], request_line: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 60) as odd:
        odd.sendall(request_line)

    client = HttpClient(gateway, tokens[Role.WORKER])
    status, _ = client.post("/call", call("check", "10"))
    client.close()
    assert status == 200


@pytest.mark.parametrize("version", ["0.0.1", "9.1.0", "", "x"])
def test_client_of_another_version_is_refused(
    gateway: Gateway, tokens: dict[Role, str], version: str
) -> None:
    client = HttpClient(gateway, tokens[Role.WORKER])
    body = call("check", "10")
    arguments = body["arguments"]
    assert isinstance(arguments, list)
    arguments[5] = version

    status, reply = client.post("/call", body)

    client.close()
    assert (status, code_of(reply)) == (422, "OTHER_VERSION")


@pytest.mark.parametrize(
    "key",
    [
        "taskorch:{other}:meta",
        "taskorch:{team}:item:item_00000000",
        "taskorch:{team}:meta:x",
        "*",
        "",
    ],
)
def test_foreign_key_is_refused(
    gateway: Gateway, tokens: dict[Role, str], key: str
) -> None:
    client = HttpClient(gateway, tokens[Role.ADMIN])
    follow = {"key": key, "cursor": "0-0", "seconds": 0}

    replies = [
        client.post("/call", {**call("check", "10"), "key": key}),
        client.post("/wait", {"key": key, "seconds": 0}),
        client.post("/follow", follow),
    ]

    client.close()
    assert {status for status, _ in replies} <= {400, 404}


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Host", "evil.example"),
        ("Host", "[::1"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
    ],
)
def test_foreign_site_is_refused(
    gateway: Gateway, tokens: dict[Role, str], header: str, value: str
) -> None:
    client = HttpClient(gateway, tokens[Role.WORKER])

    status, _ = client.post("/call", call("check", "10"), **{header: value})

    client.close()
    assert status == 403


@pytest.mark.parametrize(
    "authorization", ["", "Basic YTpi", "Bearer", "Bearer tok_1", "bearer  x"]
)
def test_request_without_token_asks_for_one(
    gateway: Gateway, authorization: str
) -> None:
    client = HttpClient(gateway)

    status, reply = client.post(
        "/call", call("check", "10"), Authorization=authorization
    )

    client.close()
    assert (status, code_of(reply)) == (401, "TOKEN_REFUSED")


def test_repeated_request_of_one_token_acts_once(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    client = HttpClient(gateway, tokens[Role.ORCHESTRATOR])
    other = HttpClient(gateway, gateway.token("ada", Role.ORCHESTRATOR))
    body = call("project", "Once", "", "1a2b3c4d", "")

    first = client.post("/call", body)
    again = client.post("/call", body)
    foreign = other.post("/call", body)

    for each in (client, other):
        each.close()
    assert first == again
    assert json.dumps(foreign[1]) != json.dumps(first[1])


def test_confined_token_sees_one_project(gateway: Gateway) -> None:
    planner = gateway.orchestrator()
    own, other = (
        planner.orchestrate("project", title).stdout.strip()
        for title in ("Own", "Other")
    )
    mine, theirs = (
        planner.orchestrate(
            "create", project, "It", "--assign", "eve"
        ).stdout.strip()
        for project in (own, other)
    )
    token = gateway.token("eve", Role.WORKER, "--project", own)
    eve = gateway.client(token, AGENT_ID="eve")

    seen = eve.worker("check").stdout
    refused = eve.worker("--json", "get", theirs)
    popped = eve.worker("--json", "pop").data()["id"]
    then = eve.worker("pop")

    assert mine in seen
    assert theirs not in seen
    assert (refused.code, refused.error()["code"]) == (3, "NO_ITEM")
    assert popped == mine
    assert then.code == 8


def test_confined_token_runs_no_script_of_all_projects(
    gateway: Gateway,
) -> None:
    planner = gateway.orchestrator()
    project = planner.orchestrate("project", "Own").stdout.strip()
    token = gateway.token("eve", Role.ORCHESTRATOR, "--project", project)
    client = HttpClient(gateway, token)

    replies = {
        script: client.post("/call", call(script, "", "", "", name="eve"))
        for script in roles.BEYOND_A_PROJECT
    }

    client.close()
    assert {
        script
        for script, (status, reply) in replies.items()
        if (status, code_of(reply)) != (403, "NOT_ALLOWED")
    } == set()


def test_agent_waits_for_its_own_queue(
    gateway: Gateway, tokens: dict[Role, str]
) -> None:
    client = HttpClient(gateway, tokens[Role.WORKER])
    own, foreign = (
        {"key": keys.wake(NAMESPACE, name), "seconds": 0}
        for name in ("ada", "bob")
    )

    allowed, _ = client.post("/wait", own)
    status, reply = client.post("/wait", foreign)

    client.close()
    assert allowed == 200
    assert (status, code_of(reply)) == (403, "NOT_ALLOWED")


def test_confined_token_follows_no_foreign_item(gateway: Gateway) -> None:
    planner = gateway.orchestrator()
    own, other = (
        planner.orchestrate("project", title).stdout.strip()
        for title in ("Own", "Other")
    )
    item = planner.orchestrate("create", other, "It").stdout.strip()
    token = gateway.token("eve", Role.VIEWER, "--project", own)
    client = HttpClient(gateway, token)

    status, reply = client.post(
        "/follow",
        {"key": keys.reports(NAMESPACE, item), "cursor": "0-0", "seconds": 0},
    )

    client.close()
    assert (status, code_of(reply)) == (404, "NO_ITEM")


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        ("NaN", 400),
        ("-Infinity", 400),
        ("true", 400),
        ('"1"', 400),
        ("-1", 200),
        ("-" + "9" * 400, 200),
    ],
)
def test_odd_duration_of_a_wait_harms_no_one(
    gateway: Gateway, tokens: dict[Role, str], seconds: str, status: int
) -> None:
    client = HttpClient(gateway, tokens[Role.ADMIN])
    wait = '{"key": "%s", "seconds": %s}'
    follow = '{"key": "%s", "cursor": "0-0", "seconds": %s}'

    waited, _ = client.post(
        "/wait", (wait % (keys.wake(NAMESPACE, "ada"), seconds)).encode()
    )
    followed, _ = client.post(
        "/follow", (follow % (keys.events(NAMESPACE), seconds)).encode()
    )

    client.close()
    assert (waited, followed) == (status, status)
