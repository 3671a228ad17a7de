"""The tool `delegate`, and the tasks of MCP, over HTTP and over standard input."""

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import mcp_types as mcp
import pytest
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from pydantic import Field
from support import gateways, mcp_http
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.gateways import Gateway
from support.mcp_http import (
    MODERN,
    ORCHESTRATOR,
    TASKS,
    WITH_TASKS,
    RawClient,
)
from support.tool_client import receive, run_async, send
from taskorch.domain.item import Lease

UNKNOWN = f"item_00000000.0.{'0' * 32}"


class TaskClient:
    """A client that sends requests of 2026-07-28."""

    def ask(
        self, method: str, meta: Mapping[str, Any] = WITH_TASKS, **params: Any
    ) -> Any:
        """Return the message that answers a request."""
        raise NotImplementedError

    def delegate(
        self, meta: Mapping[str, Any] = WITH_TASKS, **arguments: Any
    ) -> Any:
        """Return the result of the tool `delegate`, for the agent ada."""
        given = {"agent": "ada", "title": "Schema", **arguments}
        answer = self.ask("tools/call", meta, name="delegate", arguments=given)
        return answer["result"]

    def task(self, id_: str) -> Any:
        """Return a task."""
        answer = self.ask("tasks/get", taskId=id_)
        assert "result" in answer, answer
        assert answer["result"]["resultType"] == "complete"
        return answer["result"]

    def code(self, method: str, id_: object, **params: Any) -> int:
        """Return the code of the error of a method."""
        answer = self.ask(method, taskId=id_, **params)
        return int(answer["error"]["code"])


class HttpTaskClient(TaskClient):
    """A client of a gateway."""

    def __init__(self, gateway: Gateway, name: str) -> None:
        token = gateway.token(name, "orchestrator")
        self._client = RawClient(gateway, ORCHESTRATOR, token)

    def ask(
        self, method: str, meta: Mapping[str, Any] = WITH_TASKS, **params: Any
    ) -> Any:
        return self._client.modern(method, meta=meta, **params).message


class LineTaskClient(TaskClient):
    """A client of `orchestrate mcp`."""

    def __init__(self, shell: Shell, name: str) -> None:
        session = shell.lacking("AGENT_ID").having(ORCHESTRATOR_ID=name)
        self.process = session.start(BIN / "orchestrate", "mcp")
        self._id = 0

    def ask(
        self, method: str, meta: Mapping[str, Any] = WITH_TASKS, **params: Any
    ) -> Any:
        self._id += 1
        request = {"jsonrpc": "2.0", "id": self._id, "method": method}
        send(self.process, {**request, "params": {**params, "_meta": meta}})
        (answer,) = receive(self.process)
        assert answer["id"] == self._id
        return answer


@pytest.fixture
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture(params=["http", "stdio"])
def planner(
    request: pytest.FixtureRequest, shell: Shell
) -> Iterator[TaskClient]:
    if request.param == "http":
        with gateways.running(shell) as running:
            yield HttpTaskClient(running, "planner")
        return
    client = LineTaskClient(shell, "planner")
    yield client
    client.process.communicate()


def item_of(task: Any) -> str:
    return str(task["taskId"]).partition(".")[0]


def claimed(bench: Bench, task: Any) -> Lease:
    return bench.claimed(item_of(task))


def document(result: Any) -> Any:
    (content,) = result["content"]
    return json.loads(content["text"])


def test_task_follows_its_item_to_completion(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate(requirements=["Tests"])
    waiting = planner.task(created["taskId"])
    lease = claimed(bench, created)
    bench.agent().progress(lease, "Half", percent=50)
    working = planner.task(created["taskId"])
    bench.agent().complete(lease, "Written", deliverables={"file": "a.sql"})
    done = planner.task(created["taskId"])

    assert created["resultType"] == "task"
    assert created["status"] == "working"
    assert created["ttlMs"] is None
    assert created["pollIntervalMs"] > 0
    assert "result" not in created
    assert waiting["statusMessage"] == "queued, 0%"
    assert working["statusMessage"] == "in_progress, 50%"
    assert done["status"] == "completed"
    assert done["createdAt"] == created["createdAt"]
    assert done["result"]["isError"] is False
    data = document(done["result"])["data"]
    assert data["summary"] == "Written"
    assert data["deliverables"] == {"file": "a.sql"}


def test_question_becomes_an_input_request(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    id_ = created["taskId"]
    lease = claimed(bench, created)
    bench.agent().blocker(lease, "Which door?", needs="a choice")

    asking = planner.task(id_)
    ignored = planner.ask(
        "tasks/update",
        taskId=id_,
        inputResponses={
            "question-7": {"action": "accept", "content": {"answer": "x"}},
            "other": {"action": "accept", "content": {"answer": "x"}},
            "question-1": {"action": "cancel"},
        },
    )
    still = planner.task(id_)
    updated = planner.ask(
        "tasks/update",
        taskId=id_,
        inputResponses={
            "question-1": {"action": "accept", "content": {"answer": "Left"}}
        },
    )
    working = planner.task(id_)

    assert asking["status"] == "input_required"
    form = asking["inputRequests"]["question-1"]
    assert form["method"] == "elicitation/create"
    assert form["params"]["message"] == "Which door?\na choice"
    assert ignored["result"]["resultType"] == "complete"
    assert still["status"] == "input_required"
    assert set(updated["result"]) == {"resultType", "_meta"}
    assert working["status"] == "working"
    history = bench.queue.views.show(item_of(created)).history
    assert [each.text for each in history if each.kind == "answer"] == ["Left"]


def test_declined_question_lets_the_agent_continue(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    bench.agent().blocker(claimed(bench, created), "Which door?")

    planner.ask(
        "tasks/update",
        taskId=created["taskId"],
        inputResponses={"question-1": {"action": "decline"}},
    )

    assert bench.state(item_of(created)) == "in_progress"


def in_review(planner: TaskClient, bench: Bench, summary: str) -> Any:
    """Return a task whose item waits for its reviewer."""
    created = planner.delegate(accept=["It reads well", {"review": "planner"}])
    bench.agent().complete(
        claimed(bench, created), summary, deliverables={"file": "a.sql"}
    )
    return planner.task(created["taskId"])


def decide(planner: TaskClient, task: Any, **content: Any) -> Any:
    """Fill the form of a review; return the answer."""
    (key,) = task["inputRequests"]
    return planner.ask(
        "tasks/update",
        taskId=task["taskId"],
        inputResponses={key: {"action": "accept", "content": content}},
    )


def test_review_is_a_form_that_accepts(
    planner: TaskClient, bench: Bench
) -> None:
    task = in_review(planner, bench, "4 tables")

    answer = decide(planner, task, decision="accept", text="Good")
    done = planner.task(task["taskId"])
    again = decide(planner, task, decision="send-back", text="Late")

    assert task["status"] == "input_required"
    ((_, form),) = task["inputRequests"].items()
    assert form["method"] == "elicitation/create"
    assert form["params"]["message"] == (
        "ada has completed 'Schema'; planner reviews it.\n4 tables\nfile: a.sql"
    )
    schema = form["params"]["requestedSchema"]
    assert schema["properties"]["decision"]["enum"] == ["accept", "send-back"]
    assert set(answer["result"]) == set(again["result"])
    assert done["status"] == "completed"
    assert document(done["result"])["data"]["summary"] == "4 tables"
    assert bench.state(item_of(task)) == "completed"


def test_review_is_a_form_that_sends_back(
    planner: TaskClient, bench: Bench
) -> None:
    task = in_review(planner, bench, "4 tables")

    decide(planner, task, decision="send-back", text="Where are the views?")
    working = planner.task(task["taskId"])
    bench.agent().complete(claimed(bench, task), "4 tables, 2 views")
    again = planner.task(task["taskId"])
    decide(planner, task, decision="accept")  # the form of the first review
    still = planner.task(task["taskId"])
    decide(planner, again, decision="accept")

    assert working["status"] == "working"
    history = bench.queue.views.show(item_of(task)).history
    assert "Where are the views?" in [each.text for each in history]
    assert again["inputRequests"].keys() != task["inputRequests"].keys()
    assert still["status"] == "input_required"
    assert planner.task(task["taskId"])["status"] == "completed"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"decision": "maybe"},
        {"decision": ["accept"]},
        {"decision": "send-back"},
        {"decision": "send-back", "text": " "},
        {"decision": "accept", "text": 7},
    ],
)
def test_unclear_decision_is_an_invalid_parameter(
    planner: TaskClient, bench: Bench, content: dict[str, Any]
) -> None:
    task = in_review(planner, bench, "4 tables")

    answer = decide(planner, task, **content)

    assert answer["error"]["code"] == -32602
    assert bench.state(item_of(task)) == "review"


@pytest.mark.parametrize(
    "response", [{"action": "decline"}, {"action": "cancel"}, {}, "accept"]
)
def test_dismissed_review_stays_open(
    planner: TaskClient, bench: Bench, response: object
) -> None:
    task = in_review(planner, bench, "4 tables")
    (key,) = task["inputRequests"]

    planner.ask(
        "tasks/update", taskId=task["taskId"], inputResponses={key: response}
    )

    assert planner.task(task["taskId"])["status"] == "input_required"


def test_review_of_another_orchestrators_task_is_unknown(
    gateway: Gateway, bench: Bench
) -> None:
    planner = HttpTaskClient(gateway, "planner")
    other = HttpTaskClient(gateway, "other")
    task = in_review(planner, bench, "4 tables")

    answer = decide(other, task, decision="accept")

    assert answer["error"]["code"] == -32602
    assert bench.state(item_of(task)) == "review"


def test_task_in_review_can_be_cancelled(
    planner: TaskClient, bench: Bench
) -> None:
    task = in_review(planner, bench, "4 tables")

    planner.ask("tasks/cancel", taskId=task["taskId"])

    assert planner.task(task["taskId"])["status"] == "cancelled"


def test_cancelled_task_stays_cancelled(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    id_ = created["taskId"]

    answer = planner.ask("tasks/cancel", taskId=id_)
    cancelled = planner.task(id_)
    bench.queue.requeue(item_of(created))
    after = planner.task(id_)

    assert set(answer["result"]) == {"resultType", "_meta"}
    assert cancelled["status"] == after["status"] == "cancelled"
    assert "result" not in cancelled
    assert bench.state(item_of(created)) == "queued"


def test_failed_item_is_a_completed_task_with_error(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    id_ = created["taskId"]
    bench.agent().fail(claimed(bench, created), "No luck", retry=False)

    failed = planner.task(id_)
    planner.ask("tasks/cancel", taskId=id_)
    bench.queue.cancel(item_of(created))
    after_cancel = planner.task(id_)
    bench.queue.requeue(item_of(created))
    bench.claimed(item_of(created))
    after_requeue = planner.task(id_)

    for task in (failed, after_cancel, after_requeue):
        assert task["status"] == "completed"
        assert task["result"]["isError"] is True
        data = document(task["result"])["data"]
        assert (data["state"], data["reason"]) in (
            ("failed", "No luck"),
            ("cancelled", "No luck"),
        )


def test_completed_task_stays_completed_after_requeue(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    id_ = created["taskId"]
    bench.agent().complete(claimed(bench, created), "Written")
    bench.queue.requeue(item_of(created), reopen=True)
    bench.agent().blocker(claimed(bench, created), "Which door?")

    task = planner.task(id_)
    planner.ask(
        "tasks/update",
        taskId=id_,
        inputResponses={
            "question-1": {"action": "accept", "content": {"answer": "Left"}}
        },
    )
    planner.ask("tasks/cancel", taskId=id_)
    other = id_.replace(".0.", ".2.")

    assert task["status"] == "completed"
    assert document(task["result"])["data"]["summary"] == "Written"
    assert bench.state(item_of(created)) == "blocked"
    assert planner.code("tasks/get", other) == -32602


def test_task_is_answered_beyond_its_history(
    planner: TaskClient, bench: Bench
) -> None:
    created = planner.delegate()
    bench.agent().complete(claimed(bench, created), "Written")
    bench.queue.requeue(item_of(created), reopen=True)
    bench.agent().progress(claimed(bench, created), "Again")
    history = f"taskorch:{{{bench.namespace}}}:progress:{item_of(created)}"
    bench.raw.xtrim(history, maxlen=1, approximate=False)

    task = planner.task(created["taskId"])

    assert task["status"] == "completed"
    assert task["result"]["isError"] is True
    assert "history" in document(task["result"])["data"]["reason"]


def test_task_is_known_after_export_and_import(
    planner: TaskClient, shell: Shell
) -> None:
    first = planner.delegate(title="First")
    second = planner.delegate(title="Second")
    shell.orchestrate("cancel", item_of(first))
    shell.orchestrate("requeue", item_of(first))
    copy = shell.having(TASKORCH_NAMESPACE=f"test-{os.urandom(4).hex()}")

    shell.orchestrate("export", "backup.jsonl")
    imported = copy.orchestrate("import", "backup.jsonl")
    client = LineTaskClient(copy, "planner")
    statuses = [
        client.task(each["taskId"])["status"] for each in (first, second)
    ]
    client.process.communicate()

    assert imported.code == 0, imported.stderr
    assert statuses == ["cancelled", "working"]


@pytest.mark.parametrize(
    "method", ["tasks/get", "tasks/update", "tasks/cancel"]
)
def test_unknown_task_is_an_invalid_parameter(
    planner: TaskClient, bench: Bench, method: str
) -> None:
    created = planner.delegate()
    item = item_of(created)
    params: dict[str, Any] = {}
    if method == "tasks/update":
        params["inputResponses"] = {}
    plain = bench.item()

    codes = {
        planner.code(method, id_, **params)
        for id_ in (
            *(UNKNOWN, "", "x", item, f"{item}.0.{'0' * 32}", 7, None),
            f"{plain}.0.{'0' * 32}",
        )
    }

    assert codes == {-32602}
    assert bench.state(item) == "queued"


@pytest.mark.parametrize(
    "method", ["tasks/get", "tasks/update", "tasks/cancel"]
)
def test_task_needs_the_declared_extension(
    planner: TaskClient, method: str
) -> None:
    answer = planner.ask(method, MODERN, taskId=UNKNOWN)

    assert answer["error"]["code"] == -32021
    assert answer["error"]["data"] == {
        "requiredCapabilities": {"extensions": {TASKS: {}}}
    }


def test_server_declares_the_extension(planner: TaskClient) -> None:
    discovered = planner.ask("server/discover", MODERN)["result"]

    assert discovered["capabilities"]["extensions"] == {TASKS: {}}


def test_task_of_another_orchestrator_is_unknown(gateway: Gateway) -> None:
    planner = HttpTaskClient(gateway, "planner")
    other = HttpTaskClient(gateway, "other")
    task = planner.delegate()["taskId"]

    assert other.code("tasks/get", task) == -32602
    assert other.code("tasks/cancel", task) == -32602
    assert planner.task(task)["status"] == "working"


def test_task_survives_the_gateway(shell: Shell) -> None:
    with gateways.running(shell) as gateway:
        token = gateway.token("planner", "orchestrator")
        client = RawClient(gateway, ORCHESTRATOR, token)
        given = {"agent": "ada", "title": "Schema"}
        created = client.call("delegate", WITH_TASKS, **given).result
        gateway.kill()
        gateway.start()

        task = client.modern(
            "tasks/get", meta=WITH_TASKS, taskId=created["taskId"]
        )

    assert task.result["status"] == "working"


def test_other_clients_get_an_ordinary_result(
    planner: TaskClient, bench: Bench
) -> None:
    result = planner.delegate(MODERN, project="Shop", timeout=0.2)

    found = document(result)
    assert result["resultType"] == "complete"
    assert not result["isError"]
    assert found["data"]["state"] == "queued"
    assert found["meta"]["hint"] == (
        f"It is not done yet: the tool wait with id={found['data']['id']}"
    )
    project = bench.queue.views.projects()[0]
    assert project.title == "Shop"


def test_delegate_waits_for_the_agent(gateway: Gateway, bench: Bench) -> None:
    planner = RawClient(
        gateway, ORCHESTRATOR, gateway.token("planner", "orchestrator")
    )
    body, headers = planner.modern_parts(
        "tools/call",
        name="delegate",
        arguments={"agent": "ada", "title": "Schema", "timeout": 50},
    )
    waiting = planner.start(body, headers)
    eventually(lambda: '"verb": "expect"' in gateway.log)
    claim = bench.agent().claim(wait_s=30)
    assert claim
    assert claim.lease

    bench.agent().complete(claim.lease, "Written")
    reply = waiting.getresponse()
    content = json.loads(reply.read())
    waiting.close()

    data = document(content["result"])["data"]
    assert (data["state"], data["summary"]) == ("completed", "Written")
    assert len(bench.queue.views.projects()) == 1


class CreatedTask(mcp.Result):
    """A task in place of a result."""

    result_type: Literal["task"] = Field(alias="resultType")
    task_id: str = Field(alias="taskId")
    status: str


class TaskParams(mcp.RequestParams):
    """The parameters of `tasks/get`."""

    task_id: str = Field(alias="taskId")


class GetTask(mcp.Request[TaskParams, Literal["tasks/get"]]):
    """A request for a task."""

    method: Literal["tasks/get"] = "tasks/get"
    params: TaskParams


class FoundTask(mcp.Result):
    """The answer to it."""

    status: str
    result: dict[str, Any] | None = None
    input_requests: dict[str, Any] = Field(
        default_factory=dict, alias="inputRequests"
    )


class UpdateParams(TaskParams):
    """The parameters of `tasks/update`."""

    input_responses: dict[str, Any] = Field(alias="inputResponses")


class UpdateTask(mcp.Request[UpdateParams, Literal["tasks/update"]]):
    """The responses to the forms of a task."""

    method: Literal["tasks/update"] = "tasks/update"
    params: UpdateParams


class TaskExtension(ClientExtension):
    """The extension as a client of the package mcp implements it."""

    identifier = TASKS

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.statuses: list[str] = []

    def claims(self) -> list[ResultClaim[Any]]:
        return [
            ResultClaim(
                result_type="task", model=CreatedTask, resolve=self._finish
            )
        ]

    async def _finish(
        self, created: CreatedTask, context: ClaimContext
    ) -> mcp.CallToolResult:
        for _ in range(2):
            params = TaskParams(taskId=created.task_id)
            found = await context.session.send_request(
                GetTask(params=params), FoundTask
            )
            self.statuses.append(found.status)
            if found.result:
                return mcp.CallToolResult.model_validate(found.result)
            lease = self._bench.claimed(created.task_id.partition(".")[0])
            self._bench.agent().complete(lease, "Written")
        raise AssertionError(self.statuses)


def delegated(
    gateway: Gateway, extension: TaskExtension, **arguments: object
) -> str:
    """Delegate an item by the client of the package; return the text of its result."""
    token = gateway.token("planner", "orchestrator")
    texts: list[str] = []

    async def delegate() -> None:
        async with mcp_http.client(
            gateway, ORCHESTRATOR, token, extension
        ) as planner:
            result = await planner.call_tool(
                "delegate", {"agent": "ada", "title": "Schema", **arguments}
            )
        (content,) = result.content
        texts.append(content.text)  # type: ignore[union-attr]

    run_async(delegate)
    return texts[0]


def test_package_mcp_resolves_a_task(gateway: Gateway, bench: Bench) -> None:
    extension = TaskExtension(bench)

    result = delegated(gateway, extension)

    assert extension.statuses == ["working", "completed"]
    assert "Written" in result


class ReviewingExtension(TaskExtension):
    """A client whose person sends the first delivery back, and accepts the second."""

    async def _finish(
        self, created: CreatedTask, context: ClaimContext
    ) -> mcp.CallToolResult:
        decisions = iter((
            {"decision": "send-back", "text": "Where are the views?"},
            {"decision": "accept"},
        ))  # fmt: skip
        while len(self.statuses) < 10:
            found = await context.session.send_request(
                GetTask(params=TaskParams(taskId=created.task_id)), FoundTask
            )
            self.statuses.append(found.status)
            if found.result:
                return mcp.CallToolResult.model_validate(found.result)
            for key in found.input_requests:
                response = {"action": "accept", "content": next(decisions)}
                params = UpdateParams(
                    taskId=created.task_id, inputResponses={key: response}
                )
                await context.session.send_request(
                    UpdateTask(params=params), mcp.Result
                )
            if found.status == "working":
                lease = self._bench.claimed(created.task_id.partition(".")[0])
                self._bench.agent().complete(lease, "4 tables")
        raise AssertionError(self.statuses)


def test_package_mcp_reviews_a_task(gateway: Gateway, bench: Bench) -> None:
    extension = ReviewingExtension(bench)

    result = delegated(gateway, extension, accept=[{"review": "planner"}])

    assert extension.statuses == [
        "working",
        "input_required",
        "working",
        "input_required",
        "completed",
    ]
    assert "4 tables" in result


@pytest.mark.parametrize(
    ("state", "hint"),
    [
        ("review", "the tool answer with kind=accept, item={item} or"),
        (
            "blocked",
            "It waits for an answer: the tool answer with item={item}",
        ),
    ],
)
def test_result_of_waiting_item_names_the_next_step(
    gateway: Gateway, bench: Bench, state: str, hint: str
) -> None:
    planner = RawClient(
        gateway, ORCHESTRATOR, gateway.token("planner", "orchestrator")
    )
    body, headers = planner.modern_parts(
        "tools/call",
        name="delegate",
        arguments={
            "agent": "ada",
            "title": "Schema",
            "timeout": 50,
            "accept": [{"review": "lead"}],
        },
    )
    waiting = planner.start(body, headers)
    claim = bench.agent().claim(wait_s=30)
    assert claim
    assert claim.lease

    if state == "review":
        bench.agent().complete(claim.lease, "Written")
    else:
        bench.agent().blocker(claim.lease, "Which door?")
    content = json.loads(waiting.getresponse().read())
    waiting.close()

    found = document(content["result"])
    assert found["data"]["state"] == state
    assert hint.format(item=claim.lease.item) in found["meta"]["hint"]
