"""MCP over HTTP: the tools of a role, in the name of an access token."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from support import gateways, mcp_http
from support.builders import Bench
from support.commands import Shell, eventually
from support.gateways import Gateway
from support.mcp_http import (
    INITIALIZE,
    MODERN,
    ORCHESTRATOR,
    WORKER,
    RawClient,
    message,
)
from support.tool_client import document_of, run_async
from taskorch_orchestrator import mcp_tools as of_orchestrator
from taskorch_worker import mcp_tools as of_worker

DEEP = b'{"jsonrpc": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
BATCH = b"[" + message("ping") + b"," + message("ping", 2) + b"]"
ITEM_TOOLS = ("get", "report", "wait", "complete", "fail", "release")


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture
def ada(gateway: Gateway) -> RawClient:
    """The agent ada, as a client of 2026-07-28."""
    return RawClient(gateway, WORKER, gateway.token("ada", "worker"))


@pytest.fixture
def planner(gateway: Gateway) -> RawClient:
    """The orchestrator planner, as a client of 2026-07-28."""
    return RawClient(
        gateway, ORCHESTRATOR, gateway.token("planner", "orchestrator")
    )


def summary_of(bench: Bench, item: str) -> str:
    return bench.queue.views.show(item).item.summary


def names(tools: Any) -> set[str]:
    return {tool["name"] for tool in tools}


def test_modern_client_works_on_an_item(
    ada: RawClient, planner: RawClient
) -> None:
    items = [{"name": "a", "title": "Schema", "agent": "ada"}]
    planned = planner.call("plan", project="Shop", items=items).document

    popped = ada.call("pop").document
    item = popped["data"]["id"]
    token = popped["meta"]["tokens"][item]
    reported = ada.call(
        "report",
        item=item,
        kind="progress",
        text="Half",
        percent=50,
        token=token,
    )
    done = ada.call("complete", item=item, summary="Written", token=token)
    closed = planner.call("complete", project=planned["data"]["project"])

    assert re.fullmatch(r"[0-9]+:[0-9a-f]+", token)
    assert reported.document["data"]["state"] == "in_progress"
    assert done.result["resultType"] == "complete"
    assert done.document["data"]["state"] == "completed"
    assert closed.document["data"]["items"][0]["summary"] == "Written"


def test_package_mcp_works_on_an_item_after_handshake(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item(title="Schema")
    access = gateway.token("ada", "worker")

    async def test() -> None:
        async with mcp_http.session(gateway, WORKER, access) as ada:
            tools = await ada.session.list_tools()
            claimed = await ada.document("pop")
            token = claimed["meta"]["tokens"][item]
            done = await ada.data(
                "complete", item=item, summary="Written", token=token
            )

        assert "You are the agent ada" in ada.instructions
        assert {tool.name for tool in tools.tools} == {
            tool.name for tool in of_worker.TOOLS
        }
        assert done["state"] == "completed"

    run_async(test)
    assert summary_of(bench, item) == "Written"


def test_package_mcp_works_without_handshake(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item(title="Schema")
    access = gateway.token("ada", "worker")

    async def test() -> None:
        async with mcp_http.client(gateway, WORKER, access) as ada:
            claimed = document_of(await ada.call_tool("pop", {}))
            token = claimed["meta"]["tokens"][item]
            await ada.call_tool(
                "complete", {"item": item, "summary": "Done", "token": token}
            )
            version = ada.protocol_version

        assert version == "2026-07-28"

    run_async(test)
    assert summary_of(bench, item) == "Done"


def test_tools_are_those_of_the_commands(
    ada: RawClient, planner: RawClient
) -> None:
    of_ada = ada.modern("tools/list").result["tools"]
    of_planner = planner.modern("tools/list").result["tools"]

    assert names(of_ada) == {tool.name for tool in of_worker.TOOLS}
    assert names(of_planner) == {tool.name for tool in of_orchestrator.TOOLS}
    with_token = [
        tool for tool in of_ada if "token" in tool["inputSchema"]["properties"]
    ]
    assert names(with_token) == set(ITEM_TOOLS)


def test_token_decides_the_name_of_the_agent(
    bench: Bench, ada: RawClient
) -> None:
    item = bench.item(agent="bob")

    taken = ada.call("get", item=item)
    found = ada.modern("server/discover").result

    assert taken.document["error"]["code"] == "NOT_YOURS"
    assert "You are the agent ada" in found["instructions"]
    assert "meta.tokens" in found["instructions"]


def test_another_client_without_the_token_is_refused(
    bench: Bench, ada: RawClient
) -> None:
    item = bench.item()
    token = ada.call("pop").document["meta"]["tokens"][item]

    without = ada.call("report", item=item, kind="progress", text="x")
    wrong = ada.call("complete", item=item, summary="x", token="1:0000")
    broken = ada.call("complete", item=item, summary="x", token="?")
    right = ada.call("complete", item=item, summary="x", token=token)

    assert without.document["error"]["exit_code"] == 6
    assert wrong.document["error"]["code"] == "LEASE_LOST"
    assert broken.document["error"]["code"] == "USAGE"
    assert right.document["data"]["state"] == "completed"


@pytest.mark.parametrize(
    ("role", "path", "status"),
    [
        ("worker", ORCHESTRATOR, 403),
        ("orchestrator", WORKER, 403),
        ("viewer", WORKER, 403),
        ("viewer", ORCHESTRATOR, 200),
        ("admin", ORCHESTRATOR, 200),
        ("admin", WORKER, 200),
    ],
)
def test_role_of_token_decides_the_endpoint(
    gateway: Gateway, role: str, path: str, status: int
) -> None:
    client = RawClient(gateway, path, gateway.token("ada", role))

    answer = client.modern("tools/list")

    assert answer.status == status
    if status == 403:
        assert answer.error["code"] == "NOT_ALLOWED"


def test_viewer_reads_and_changes_nothing(
    gateway: Gateway, bench: Bench
) -> None:
    item = bench.item()
    eve = RawClient(gateway, ORCHESTRATOR, gateway.token("eve", "viewer"))

    read = eve.call("status", of=item)
    written = eve.call("mend", item=item, verb="cancel")

    assert read.document["data"]["id"] == item
    assert written.document["error"]["code"] == "NOT_ALLOWED"
    assert bench.state(item) == "queued"


@pytest.mark.parametrize("path", [WORKER, ORCHESTRATOR])
def test_request_without_token_learns_of_the_resource(
    gateway: Gateway, path: str
) -> None:
    anonymous = RawClient(gateway, path)

    answer = anonymous.modern("tools/list")
    challenge = answer.headers["www-authenticate"]
    found = re.search(r'resource_metadata="http://[^/]+(/[^"]+)"', challenge)
    assert found
    described = RawClient(gateway, found[1]).send(b"", method="GET")

    assert answer.status == 401
    assert challenge.startswith("Bearer ")
    assert described.status == 200
    assert described.message["resource"].endswith(path)
    assert described.message["bearer_methods_supported"] == ["header"]


@pytest.mark.parametrize("token", ["x", f"tok_00000000_{'0' * 64}", "tok_"])
def test_unknown_token_is_refused(gateway: Gateway, token: str) -> None:
    answer = RawClient(gateway, WORKER, token).modern("tools/list")

    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.error["code"] == "TOKEN_REFUSED"


def test_revoked_token_is_refused_within_a_second(
    gateway: Gateway, ada: RawClient
) -> None:
    before = ada.modern("tools/list")
    listed = gateway.shell.orchestrate("token", "list", "--json").data()
    (token,) = [each["id"] for each in listed if each["name"] == "ada"]

    gateway.shell.orchestrate("token", "revoke", token)

    assert before.status == 200
    eventually(lambda: ada.modern("tools/list").status == 401)


def test_revoked_token_ends_a_wait(
    gateway: Gateway, bench: Bench, ada: RawClient
) -> None:
    body, headers = ada.modern_parts(
        "tools/call", name="pop", arguments={"wait": 50}
    )
    waiting = ada.start(body, headers)
    eventually(lambda: '"verb": "claim"' in gateway.log)
    listed = gateway.shell.orchestrate("token", "list", "--json").data()
    (token,) = [each["id"] for each in listed if each["name"] == "ada"]

    gateway.shell.orchestrate("token", "revoke", token)
    eventually(lambda: ada.modern("tools/list").status == 401)
    item = bench.item()
    reply = waiting.getresponse()
    reply.read()
    waiting.close()

    assert reply.status in (200, 401)
    assert bench.state(item) == "queued"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example"},
    ],
)
def test_page_of_another_site_is_refused(
    ada: RawClient, headers: dict[str, str | None]
) -> None:
    body, sent = ada.modern_parts("tools/list")

    answer = ada.send(body, {**sent, **headers})

    assert answer.status == 403


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (DEEP, -32700),
        (b"null", -32600),
        (BATCH, -32600),
        (b'{"jsonrpc": "2.0", "id": 1}', -32600),
        (b'{"jsonrpc": "1.0", "id": 1, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600),
        (b'{"jsonrpc": "2.0", "id": [], "method": "ping"}', -32600),
    ],
    ids=range(10),
)
@pytest.mark.parametrize("version", ["2026-07-28", "2025-11-25", None])
def test_body_that_is_no_request_is_refused(
    ada: RawClient, body: bytes, code: int, version: str | None
) -> None:
    answer = ada.send(body, {"MCP-Protocol-Version": version})

    assert answer.status == 400
    assert answer.error["code"] == code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"MCP-Protocol-Version": None}, -32020),
        ({"MCP-Protocol-Version": "2025-11-25"}, -32600),
        ({"MCP-Protocol-Version": "2027-01-01"}, -32020),
        ({"Mcp-Method": None}, -32020),
        ({"Mcp-Method": "tools/list"}, -32020),
        ({"Mcp-Name": None}, -32020),
        ({"Mcp-Name": "pop"}, -32020),
        ({"Mcp-Name": "=?base64?!?="}, -32020),
        ({"Mcp-Name": "=?base64?Y2hlY2s=?="}, 0),
    ],
)
def test_headers_repeat_the_body(
    ada: RawClient, headers: dict[str, str | None], code: int
) -> None:
    answer = ada.modern(
        "tools/call", headers=headers, name="check", arguments={}
    )

    if code:
        assert answer.status == 400
        assert answer.error["code"] == code
    else:
        assert answer.status == 200


def test_unknown_version_is_told_the_known_ones(ada: RawClient) -> None:
    meta = {**MODERN, mcp_http.VERSION: "2027-01-01"}
    headers = {"MCP-Protocol-Version": "2027-01-01"}

    answer = ada.modern("tools/list", headers=headers, meta=meta)

    assert answer.status == 400
    assert answer.error["code"] == -32022
    assert answer.error["data"]["supported"] == ["2026-07-28"]


@pytest.mark.parametrize(
    ("method", "code", "status"),
    [
        ("no/method", -32601, 404),
        ("initialize", -32022, 400),
        ("tasks/get", -32601, 404),
    ],
)
def test_unserved_method_has_its_status(
    ada: RawClient, method: str, code: int, status: int
) -> None:
    answer = ada.modern(method)

    assert answer.error["code"] == code
    assert answer.status == status


@pytest.mark.parametrize(
    "version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"]
)
def test_handshake_binds_nothing(ada: RawClient, version: str) -> None:
    opened = ada.send(
        message("initialize", **{**INITIALIZE, "protocolVersion": version})
    )
    notified = ada.send(message("notifications/initialized", None))
    without_session = ada.legacy("tools/list", version)

    assert opened.result["protocolVersion"] == version
    assert opened.headers["mcp-session-id"]
    assert (notified.status, notified.body) == (202, b"")
    assert names(without_session.result["tools"]) >= {"pop", "complete"}


def test_unknown_method_after_handshake_is_no_http_error(
    ada: RawClient,
) -> None:
    answer = ada.legacy("no/method")

    assert answer.status == 200
    assert answer.error["code"] == -32601


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_post_is_allowed(ada: RawClient, method: str) -> None:
    answer = ada.send(b"", method=method)

    assert answer.status == 405
    assert answer.headers["allow"] == "POST"


def test_forms_of_request_and_reply_are_checked(ada: RawClient) -> None:
    body, headers = ada.modern_parts("tools/list")

    picture = ada.send(body, {**headers, "Accept": "image/png"})
    form = ada.send(body, {**headers, "Content-Type": "text/plain"})
    anything = ada.send(body, {**headers, "Accept": None})

    assert (picture.status, form.status) == (406, 415)
    assert anything.status == 200


def test_large_body_is_refused(ada: RawClient) -> None:
    answer = ada.call("report", text="x" * 10_000_000)

    assert answer.status == 413


def test_wait_streams_progress(ada: RawClient, bench: Bench) -> None:
    meta = {**MODERN, "progressToken": "p"}
    body, headers = ada.modern_parts(
        "tools/call", meta, name="pop", arguments={"wait": 50}
    )

    # the reply begins with the first message
    connection, reply = ada.open(body, headers)
    item = bench.item()
    answer = mcp_http.answer_of(reply)
    connection.close()

    assert answer.headers["content-type"] == "text/event-stream"
    assert [each.get("method") for each in answer.messages] == [
        "notifications/progress",
        None,
    ]
    assert answer.messages[0]["params"]["progressToken"] == "p"
    assert answer.document["data"]["id"] == item


def test_client_without_streams_gets_json(ada: RawClient) -> None:
    meta = {**MODERN, "progressToken": "p"}
    body, headers = ada.modern_parts(
        "tools/call", meta, name="pop", arguments={"wait": 1.2}
    )

    answer = ada.send(body, {**headers, "Accept": "application/json"})

    assert answer.headers["content-type"] == "application/json"
    assert answer.document["error"]["code"] == "NOTHING_TO_DO"


def test_waiting_pop_gets_a_new_item(
    gateway: Gateway, bench: Bench, ada: RawClient
) -> None:
    body, headers = ada.modern_parts(
        "tools/call", name="pop", arguments={"wait": 50}
    )
    waiting = ada.start(body, headers)
    eventually(lambda: '"verb": "claim"' in gateway.log)

    item = bench.item()
    reply = waiting.getresponse()
    content = json.loads(reply.read())
    waiting.close()

    assert item in content["result"]["content"][0]["text"]


def test_closed_stream_claims_nothing(
    gateway: Gateway, bench: Bench, ada: RawClient
) -> None:
    body, headers = ada.modern_parts(
        "tools/call", name="pop", arguments={"wait": 50}
    )
    waiting = ada.start(body, headers)
    eventually(lambda: '"verb": "claim"' in gateway.log)

    waiting.close()
    item = bench.item()

    popped = ada.call("pop", wait=10)
    assert popped.document["data"]["id"] == item
    assert popped.document["data"]["attempts"] == 1


def test_older_client_cancels_by_notification(
    gateway: Gateway, ada: RawClient
) -> None:
    session = {"Mcp-Session-Id": "of-test"}
    call = message("tools/call", 7, name="pop", arguments={"wait": 50})
    waiting = ada.start(call, session)
    eventually(lambda: '"verb": "claim"' in gateway.log)

    ada.send(
        message("notifications/cancelled", None, requestId=7),
        {"Mcp-Session-Id": "another"},
    )
    cancelled = ada.send(
        message("notifications/cancelled", None, requestId=7), session
    )
    reply = waiting.getresponse()
    content = json.loads(reply.read())
    waiting.close()

    assert cancelled.status == 202
    assert content["error"]["message"] == "The client has cancelled the call."


@pytest.mark.parametrize("id_", [{}, [7], True, None, 1.5])
def test_cancellation_of_no_request_does_nothing(
    gateway: Gateway, ada: RawClient, id_: object
) -> None:
    session = {"Mcp-Session-Id": "mine"}

    cancelled = ada.send(
        message("notifications/cancelled", None, requestId=id_), session
    )

    assert cancelled.status == 202
    assert "Traceback" not in gateway.log


def test_numbers_beyond_all_floats_are_refused(
    gateway: Gateway, ada: RawClient
) -> None:
    huge = 10**400
    report: dict[str, Any] = {
        "item": "item_1a2b3c4d",
        "kind": "progress",
        "text": "Half",
    }

    replies = [
        ada.call("pop", wait=-huge),
        ada.call("report", **report, usage={"cost": huge}),
        ada.call("report", **report, percent=huge),
    ]

    codes = {reply.document["error"]["code"] for reply in replies}
    assert codes == {"INVALID"}
    assert "Traceback" not in gateway.log


def test_confined_token_sees_its_project_alone(
    gateway: Gateway, bench: Bench
) -> None:
    mine, foreign = bench.item(), bench.item(bench.project())
    project = bench.queue.views.show(mine).item.project
    token = gateway.token("planner", "orchestrator", "--project", project)
    planner = RawClient(gateway, ORCHESTRATOR, token)

    seen = planner.call("status", of=mine)
    hidden = planner.call("status", of=foreign)

    assert seen.document["data"]["id"] == mine
    assert hidden.document["error"]["code"] == "NO_ITEM"


def test_log_holds_no_text_and_no_token(
    gateway: Gateway, bench: Bench, ada: RawClient
) -> None:
    item = bench.item(title="Secret title")
    token = ada.call("pop").document["meta"]["tokens"][item]

    ada.call("complete", item=item, summary="Secret summary", token=token)

    eventually(lambda: '"verb": "complete"' in gateway.log)
    assert "Secret" not in gateway.log
    assert not re.search(r"tok_[0-9a-f]{8}_", gateway.log)
