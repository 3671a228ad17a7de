"""Each role's token against every verb of the HTTP API, and what the API refuses."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from support import gateways
from support.api_client import ApiClient, smallest
from support.commands import eventually
from support.gateways import Gateway, HttpClient
from taskorch.domain.role import Role
from taskorch.queue import scripts
from taskorch_gateway.api.table import PREFIX, VERBS, VerbRow

DEEP = b'{"title": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BAD_BODIES = {
    "not JSON": b"{",
    "not UTF-8": b'{"title": "\xff"}',
    "UTF-16": '{"title": "A"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"title": "A"}',
    "list": b"[]",
    "null": b"null",
    "deep": DEEP,
    "21 levels": b'{"title": ' + b"[" * 20 + b"]" * 20 + b"}",
    "twice": b'{"title": "A", "title": "B"}',
    "NaN": b'{"title": NaN}',
    "infinite": b'{"title": "A", "description": 1e999}',
    "surrogate": b'{"title": "\\ud800"}',
    "number": b'{"title": 5}',
    "null title": b'{"title": null}',
    "unknown": b'{"title": "A", "titel": "B"}',
    "missing": b"{}",
    "empty": b"",
}
BAD_QUERIES = {
    "not UTF-8": "project=%ff",
    "unknown": "projekt=x",
    "twice": "limit=1&limit=2",
    "text": "limit=x",
    "choice": "state=lost",
    "order": "sort=random",
    "priority": "priority=high",
}


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, "api", folder) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(gateway: Gateway) -> dict[Role, str]:
    return {role: gateway.token("ada", role) for role in Role}


@pytest.fixture
def planner(gateway: Gateway, tokens: dict[Role, str]) -> Iterator[ApiClient]:
    client = ApiClient(gateway, tokens[Role.ORCHESTRATOR])
    yield client
    client.close()


def answer(client: HttpClient, row: VerbRow) -> tuple[int, Any]:
    """Return the reply of a verb with the arguments that it requires."""
    arguments = smallest(row)
    if row.method == "GET":
        return client.get(f"{row.path}?{urlencode(arguments, doseq=True)}")
    return client.post(row.path, arguments)


def code_of(reply: Any) -> str:
    return str(reply.get("error", {}).get("code", ""))


@pytest.mark.parametrize(
    "row", VERBS, ids=lambda row: f"{row.method} {row.path}"
)
@pytest.mark.parametrize("role", list(Role))
def test_role_calls_the_verbs_of_its_table(
    gateway: Gateway, tokens: dict[Role, str], role: Role, row: VerbRow
) -> None:
    client = HttpClient(gateway, tokens[role])

    status, reply = answer(client, row)

    client.close()
    is_refused = (status, code_of(reply)) == (403, "NOT_ALLOWED")
    assert is_refused != (role in row.roles)
    assert status < 500


def test_table_names_scripts_that_exist() -> None:
    assert {row.script for row in VERBS} <= set(scripts.names())


@pytest.mark.parametrize("body", BAD_BODIES)
def test_malformed_body_changes_nothing(planner: ApiClient, body: str) -> None:
    before = planner.get("orchestrator/projects")

    status, reply = planner.http.post(
        f"{PREFIX}/orchestrator/project", BAD_BODIES[body]
    )

    assert (status, code_of(reply)) == (400, "USAGE")
    assert planner.get("orchestrator/projects") == before


@pytest.mark.parametrize("query", BAD_QUERIES)
def test_malformed_query_is_a_usage_error(
    planner: ApiClient, query: str
) -> None:
    status, reply = planner.http.get(
        f"{PREFIX}/orchestrator/list?{BAD_QUERIES[query]}"
    )

    assert (status, code_of(reply)) == (400, "USAGE")


def test_body_of_many_megabytes_is_refused(planner: ApiClient) -> None:
    status, _ = planner.attempt("orchestrator/project", title="x" * 10_000_000)

    assert status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "orchestrator/frobnicate", 404),
        ("POST", "worker/../orchestrator/create", 404),
        ("GET", "", 404),
        ("GET", "orchestrator/create", 405),
        ("POST", "orchestrator/list", 405),
        ("DELETE", "orchestrator/create", 405),
        ("HEAD", "orchestrator/list", 405),
        ("PUT", "whoami", 405),
    ],
)
def test_unknown_verb_is_refused(
    planner: ApiClient, method: str, path: str, status: int
) -> None:
    answered, reply = planner.http.request(method, f"{PREFIX}/{path}", b"")

    assert answered == status
    assert method == "HEAD" or code_of(reply) == "NO_VERB"


@pytest.mark.parametrize("token", ["", "tok_1", f"tok_00000000_{'0' * 64}"])
def test_client_without_token_sees_the_description_alone(
    gateway: Gateway, token: str
) -> None:
    client = HttpClient(gateway, token)

    described, _ = client.get(f"{PREFIX}/openapi.json")
    refused = {
        client.get(f"{PREFIX}/{path}")[0]
        for path in ("whoami", "events", "orchestrator/list")
    }

    client.close()
    assert described == 200
    assert refused == {401}


@pytest.mark.parametrize(
    ("token", "refusals"), [("", {401}), ("tok_1", {401, 429})]
)
def test_no_operation_is_open_without_token(
    gateway: Gateway, token: str, refusals: set[int]
) -> None:
    client = HttpClient(gateway, token)
    _, description = client.get(f"{PREFIX}/openapi.json")

    answers = {
        (method, path): client.request(method.upper(), path, b"{}")[0]
        for path, operations in description["paths"].items()
        for method in operations
        if not path.endswith("openapi.json")
    }

    client.close()
    assert len(answers) > 40
    assert {
        path: got for path, got in answers.items() if got not in refusals
    } == {}


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
def test_malformed_key_is_refused(planner: ApiClient, key: str) -> None:
    headers = {"Idempotency-Key": key.encode("utf-8").decode("latin-1")}

    status, reply = planner.http.post(
        f"{PREFIX}/orchestrator/project", {"title": "A"}, **headers
    )

    assert (status, code_of(reply)) == (400, "USAGE")


@pytest.mark.parametrize("token", ["3", "x:y", "0:a", "3:" + "a" * 65])
def test_malformed_token_of_a_claim_is_refused(
    gateway: Gateway, tokens: dict[Role, str], token: str
) -> None:
    ada = ApiClient(gateway, tokens[Role.WORKER])

    refusal = ada.refusal("worker/renew", item="item_00000000", token=token)

    ada.close()
    assert refusal == (400, "USAGE")


@pytest.mark.parametrize("wait", [-1, 56, 1e300])
def test_wait_beyond_its_bounds_is_refused(
    gateway: Gateway, tokens: dict[Role, str], wait: float
) -> None:
    ada = ApiClient(gateway, tokens[Role.WORKER])

    refusal = ada.refusal("worker/pop", wait=wait)

    ada.close()
    assert refusal == (422, "INVALID")


def test_confined_token_does_not_see_other_projects(gateway: Gateway) -> None:
    planner = ApiClient(gateway, gateway.token("planner", "orchestrator"))
    own, other = (
        planner.post("orchestrator/project", title=title)["data"]["id"]
        for title in ("Own", "Other")
    )
    confined = ApiClient(
        gateway, gateway.token("eve", "orchestrator", "--project", own)
    )

    seen = confined.get("orchestrator/projects")["data"]
    refusal = confined.refusal(
        "orchestrator/create", project=other, title="It"
    )

    for client in (planner, confined):
        client.close()
    assert [project["id"] for project in seen] == [own]
    assert refusal == (404, "NO_PROJECT")


def test_logs_have_no_text_and_no_token(
    gateway: Gateway, planner: ApiClient, tokens: dict[Role, str]
) -> None:
    planner.post("orchestrator/project", title="Confidential")

    eventually(lambda: json.dumps("project") in gateway.log)
    assert "Confidential" not in gateway.log
    assert not any(token in gateway.log for token in tokens.values())
