"""Waits, cancellations and outages of calls over MCP, and the end of a server."""

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
from functools import partial
from typing import Any, cast

import anyio
import pytest
import redis
from support import servers, tool_client
from support.builders import Bench
from support.commands import (
    TIME_LIMIT_S,
    CommandResult,
    Shell,
    eventually,
    result_of,
)
from support.proxy import ALWAYS, Proxy, proxied
from support.tool_client import (
    INITIALIZE,
    INITIALIZED,
    PING,
    McpClient,
    call_message,
    cancel_message,
    document_of,
    receive,
    run_async,
    send,
    start_server,
    until,
)
from taskorch.bundled import server
from taskorch.domain.item import State

#: Longer than a server takes to end, and shorter than a call that hangs.
HANGING_S = 30
#: Longer than any test.
HOUR_S = 3600
#: A worker that undoes a call although it has sent the result, for this long.
CROSSING = """
from taskorch.mcp import running_call
from taskorch_worker import cli
running_call.CROSSED_S = {crossed_s}
cli.main()
"""


def test_many_waits_delay_no_other_call(shell: Shell, bench: Bench) -> None:
    waits = 50

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            async with anyio.create_task_group() as group:
                for _ in range(waits):
                    group.start_soon(lambda: ada.call("pop", wait=300))
                await until(lambda: bench.blocked_clients() == waits)
                for _ in range(10):
                    await ada.data("check")
                group.cancel_scope.cancel()
            await until(lambda: not bench.blocked_clients())

    run_async(test)


def test_wait_reports_progress(shell: Shell, bench: Bench) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(
        progress: float, total: float | None, message: str | None
    ) -> None:
        told.append((progress, total, message))
        if len(told) == 1:
            bench.item()

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            result = await ada.call("pop", hear, wait=300)
            assert document_of(result)["data"]["title"] == "An item"

    run_async(test)
    passed_s, _, message = told[0]
    assert passed_s >= 1
    assert re.fullmatch(r"Waiting for \d+ s\.", str(message))


def test_cancelled_wait_claims_nothing(shell: Shell, bench: Bench) -> None:
    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await _cancelled(ada, bench)
            await until(lambda: not bench.blocked_clients())
            item = bench.item()
            assert (await ada.data("check"))["count"] == 1
            assert bench.state(item) is State.QUEUED
            assert (await ada.data("pop"))["attempts"] == 1

    run_async(test)


def test_cancelled_wait_on_bundled_server_ends(local: Shell) -> None:
    local.orchestrate("server", "start")

    async def test() -> None:
        async with (
            tool_client.worker(local) as ada,
            tool_client.orchestrate(local) as boss,
        ):
            with anyio.move_on_after(1):
                await ada.call("pop", wait=300)
            # what was sent before is taken note of
            await ada.session.send_ping()
            planned = await boss.data(
                "plan",
                project="x",
                items=[{"name": "a", "title": "A", "agent": "ada"}],
            )
            looked = await ada.data(
                "get", item=planned["items"][0]["id"], peek=True
            )
        assert looked["state"] == "queued"
        assert "history" not in looked

    run_async(test)


def test_claim_that_crossed_its_cancellation_is_released(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = _start_crossing(shell, call_message(1, "pop"), crossed_s=HOUR_S)
    _, popped = receive(process, 2)

    send(process, cancel_message(1))

    eventually(lambda: bench.state(item) is State.QUEUED)
    assert document_of(popped["result"])["data"]["state"] == "in_progress"
    assert result_of(process).code == 0


def test_cancellation_of_another_id_changes_nothing(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = start_server(shell, call_message(1, "pop"))
    receive(process, 2)

    for other in ("1", True, 1.0, None, [1]):
        send(process, {**cancel_message(1), "params": {"requestId": other}})

    assert result_of(process).code == 0
    assert bench.state(item) is State.IN_PROGRESS


def test_late_cancellation_leaves_item_in_progress(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = start_server(shell, call_message(1, "pop"))
    receive(process, 2)

    send(
        process,
        call_message(2, "report", item=item, kind="progress", text="half"),
    )
    receive(process)
    send(
        process,
        cancel_message(1),
        cancel_message(1),
        call_message(3, "complete", item=item, summary="Done"),
    )

    assert (
        document_of(receive(process)[0]["result"])["data"]["state"]
        == "completed"
    )
    assert result_of(process).code == 0
    assert [
        report.kind for report in bench.queue.views.show(item).history
    ] == [
        "progress",
        "complete",
    ]


def test_cancellation_after_pause_leaves_item_with_holder(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    process = _start_crossing(shell, call_message(1, "pop"), crossed_s=0)
    receive(process, 2)

    send(process, cancel_message(1), PING)

    assert receive(process)[0]["id"] == PING["id"]
    assert result_of(process).code == 0
    assert bench.state(item) is State.IN_PROGRESS


def test_failed_release_of_cancelled_claim_is_logged(shell: Shell) -> None:
    with servers.running(server.binary(), shell.folder.parent) as url:
        there = shell.having(TASKORCH_REDIS_URL=url)
        project = there.orchestrate("project", "x").stdout.strip()
        item = there.orchestrate(
            "create", project, "x", "--assign", "ada"
        ).stdout.strip()
        process = _start_crossing(
            there, call_message(1, "pop"), crossed_s=HOUR_S
        )
        receive(process, 2)

    send(process, cancel_message(1))
    ran = result_of(process)

    assert (ran.code, ran.stdout) == (0, "")
    assert (
        f"{item}: its call was cancelled, but it could not be released. Redis is unreachable at"
        in ran.stderr
    )


def test_cancelled_report_stays_with_its_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await _cancelled_during_script(
                ada,
                bench,
                "report",
                item=item,
                kind="progress",
                text="half",
            )
            await until(lambda: list(shell.folder.rglob("*.lease")))
            assert (await ada.data("complete", item=item, summary="Done"))[
                "state"
            ] == "completed"

    run_async(test)
    assert [
        report.kind for report in bench.queue.views.show(item).history
    ] == [
        "progress",
        "complete",
    ]


def test_server_ends_silently_without_client(shell: Shell) -> None:
    process = start_server(shell)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    receive(process)

    process.stdout.close()
    send(process, call_message(1, "check"))

    assert (process.wait(TIME_LIMIT_S), process.stderr.read()) == (0, "")
    process.stdin.close()
    process.stderr.close()


async def _cancelled(one: McpClient, bench: Bench) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: one.call("pop", wait=300))
        await until(bench.blocked_clients)
        group.cancel_scope.cancel()


async def _cancelled_during_script(
    one: McpClient, bench: Bench, tool: str, **arguments: Any
) -> None:
    """Cancel a call of a tool while Redis holds up its script."""
    bench.raw.client_pause(HOUR_S * 1000, all=False)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(one.call, tool, **arguments))
            await until(lambda: _holds_up_a_script(bench))
            group.cancel_scope.cancel()
        # its answer shows that the server has received the cancellation
        await one.session.send_ping()
    finally:
        bench.raw.client_unpause()


def _holds_up_a_script(bench: Bench) -> bool:
    return any(
        "b" in client["flags"] and client["cmd"] == "fcall"
        for client in bench.raw.client_list()
    )


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [("pop", {}), ("pop", {"wait": 300}), ("get", {"item": "{item}"})],
)
def test_claim_during_cancellation_is_released(
    shell: Shell, bench: Bench, tool: str, arguments: dict[str, Any]
) -> None:
    item = bench.item()
    given: dict[str, Any] = {
        name: item if value == "{item}" else value
        for name, value in arguments.items()
    }

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await _cancelled_during_script(ada, bench, tool, **given)
            await until(lambda: bench.queue.views.show(item).history)

    run_async(test)
    package = bench.queue.views.show(item)
    view, (released,) = package.item, package.history
    assert (released.kind, released.text) == (
        "release",
        "The call that claimed it was cancelled.",
    )
    assert (view.state, view.attempts, view.token) == (State.QUEUED, 0, 1)
    assert list(shell.folder.rglob("*.lease")) == []


def test_cancelled_call_without_new_claim_keeps_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            await ada.data("pop")
            await _cancelled_during_script(ada, bench, "get", item=item)
            assert (await ada.data("complete", item=item, summary="Done"))[
                "state"
            ] == "completed"

    run_async(test)


def test_waits_outlive_a_killed_redis(
    shell: Shell,
) -> None:
    binary, folder = server.binary(), shell.folder.parent
    there = shell.having(TASKORCH_REDIS_URL=f"unix://{folder / 's.sock'}")
    waited: list[Any] = []

    async def test() -> None:
        async with (
            tool_client.worker(there) as ada,
            tool_client.orchestrate(there) as boss,
        ):

            async def wait(
                one: McpClient, tool: str, **arguments: Any
            ) -> None:
                waited.append(document_of(await one.call(tool, **arguments)))

            async with anyio.create_task_group() as group:
                with (
                    servers.running(
                        binary, folder, "--appendonly", "yes"
                    ) as url,
                    _raw(url) as raw,
                ):
                    planned = await boss.data(
                        "plan",
                        project="x",
                        items=[{"name": "a", "title": "A", "agent": "ada"}],
                    )
                    item = planned["items"][0]["id"]
                    await ada.data("pop")
                    group.start_soon(partial(wait, ada, "pop", wait=300))
                    group.start_soon(
                        partial(
                            wait,
                            boss,
                            "wait",
                            id=planned["project"],
                            timeout=300,
                        )
                    )
                    await until(
                        lambda: (
                            cast("Any", raw).info("clients")["blocked_clients"]
                            == 2
                        )
                    )
                away = await ada.error(
                    "report", item=item, kind="progress", text="half"
                )
                with servers.running(binary, folder, "--appendonly", "yes"):
                    done = await ada.data(
                        "complete", item=item, summary="all of it"
                    )
                    await until(lambda: len(waited) == 1)
                    await boss.data(
                        "plan",
                        project="y",
                        items=[{"name": "b", "title": "B", "agent": "ada"}],
                    )
                    await until(lambda: len(waited) == 2)
        assert (away["code"], away["exit_code"], away["retryable"]) == (
            "UNREACHABLE",
            4,
            True,
        )
        assert done["state"] == "completed"

    run_async(test)
    finished, popped = (document["data"] for document in waited)
    assert finished["reached"] == "completed"
    assert popped["title"] == "B"


def _raw(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def test_call_starts_bundled_server_again_after_kill(
    local: Shell,
) -> None:
    async def test() -> None:
        async with tool_client.orchestrate(local) as boss:
            planned = await boss.data(
                "plan", project="x", items=[{"name": "a", "title": "A"}]
            )
            os.kill(
                local.orchestrate("server", "status", "--json").data()["pid"],
                signal.SIGKILL,
            )
            assert (await boss.data("status", of=planned["project"]))[
                "title"
            ] == "x"

    run_async(test)


def test_repeated_unanswered_call_acts_once(
    shell: Shell, bench: Bench
) -> None:
    plan: dict[str, Any] = {
        "project": "x",
        "items": [{"name": "a", "title": "A"}],
    }

    async def test(between: Proxy) -> None:
        async with tool_client.orchestrate(
            shell.having(TASKORCH_REDIS_URL=between.url)
        ) as boss:
            between.replies_lost = ALWAYS
            error = await boss.error("plan", **plan)
            between.replies_lost = 0
            again = await boss.data("plan", **plan)
        assert error["code"] == "UNREACHABLE"
        assert [project.id for project in bench.queue.views.projects()] == [
            again["project"]
        ]

    with proxied(bench.url) as between:
        run_async(partial(test, between))


def test_invalid_address_is_error_result(shell: Shell) -> None:
    async def test() -> None:
        async with tool_client.worker(
            shell.having(TASKORCH_REDIS_URL="http://redis")
        ) as ada:
            error = await ada.error("check")
        assert (error["code"], error["exit_code"]) == ("USAGE", 2)

    run_async(test)


def test_server_ends_although_client_reads_nothing(shell: Shell) -> None:
    process = start_server(
        shell,
        *(
            {"jsonrpc": "2.0", "id": number, "method": "tools/list"}
            for number in range(1, 900)
        ),
    )
    assert process.stdout
    pipe, sizes = process.stdout.fileno(), [b""]

    def is_full() -> bool:
        sizes.append(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
        return len(set(sizes[-100:])) == 1 and any(sizes[-1])

    eventually(is_full, within_s=TIME_LIMIT_S)

    process.send_signal(signal.SIGTERM)

    assert _ended_by_itself(process, HANGING_S).code == 0


@pytest.mark.parametrize("end", ["input", signal.SIGTERM, signal.SIGINT])
def test_server_ends_with_its_waits(
    shell: Shell, bench: Bench, end: Any
) -> None:
    process = start_server(
        shell,
        call_message(1, "pop", wait=300),
        call_message(2, "pop", wait=300),
    )
    eventually(lambda: bench.blocked_clients() == 2)

    if end != "input":
        process.send_signal(end)
    ran = result_of(process) if end == "input" else _ended_by_itself(process)

    assert ran.code == 0, ran.stderr
    assert {json.loads(line)["id"] for line in ran.stdout.splitlines()} <= {
        0,
        1,
        2,
    }
    eventually(lambda: bench.blocked_clients() == 0)


@pytest.mark.parametrize("role", ["worker", "orchestrate"])
def test_piped_requests_are_all_answered(local: Shell, role: str) -> None:
    shell, tool = (
        (local, "check")
        if role == "worker"
        else (local.lacking("AGENT_ID"), "status")
    )
    local.orchestrate("server", "start")
    ran = result_of(
        start_server(
            shell,
            *(call_message(number, tool) for number in range(1, 6)),
            role=role,
        )
    )

    answers = {
        each["id"]: each for each in map(json.loads, ran.stdout.splitlines())
    }
    assert (ran.code, set(answers)) == (0, set(range(6)))
    assert not any(
        answers[number]["result"]["isError"] for number in range(1, 6)
    )


def test_last_request_needs_no_newline(shell: Shell) -> None:
    process = start_server(shell)
    assert process.stdin
    process.stdin.write(json.dumps(call_message(1, "check")))
    ran = result_of(process)

    assert [json.loads(line)["id"] for line in ran.stdout.splitlines()] == [
        0,
        1,
    ]


def test_waits_are_answered_when_input_ends(
    shell: Shell, bench: Bench
) -> None:
    process = start_server(
        shell,
        call_message(1, "pop", wait=300),
        call_message(2, "pop", wait=300),
    )
    eventually(lambda: bench.blocked_clients() == 2, within_s=TIME_LIMIT_S)
    ran = result_of(process)

    answers = {
        each["id"]: each for each in map(json.loads, ran.stdout.splitlines())
    }
    assert (ran.code, set(answers)) == (0, {0, 1, 2})
    assert {_error_code(answers[number]) for number in (1, 2)} == {
        "INPUT_CLOSED"
    }


def test_cancelled_request_does_not_delay_the_end(
    shell: Shell, bench: Bench
) -> None:
    process = start_server(shell, call_message(1, "pop", wait=300))
    eventually(lambda: bench.blocked_clients() == 1, within_s=TIME_LIMIT_S)
    send(process, cancel_message(1), call_message(2, "check"))
    ran = result_of(process)

    assert {json.loads(line)["id"] for line in ran.stdout.splitlines()} == {
        0,
        2,
    }


def _error_code(answer: Any) -> str:
    return str(document_of(answer["result"])["error"]["code"])


@pytest.mark.parametrize("end", ["input", signal.SIGTERM])
def test_server_ends_although_redis_hangs(shell: Shell, end: Any) -> None:
    with (
        servers.running(server.binary(), shell.folder.parent) as url,
        _raw(url) as raw,
    ):
        process = start_server(
            shell.having(TASKORCH_REDIS_URL=url),
            call_message(1, "pop", wait=300),
        )
        eventually(lambda: cast("Any", raw).info("clients")["blocked_clients"])
        os.kill(cast("Any", raw).info("server")["process_id"], signal.SIGSTOP)
        assert process.stdin
        hanging = call_message(2, "check")
        hanging["params"]["_meta"] = {"progressToken": 2}
        send(process, hanging)
        assert receive(process, 2)[1]["method"] == "notifications/progress"

        process.send_signal(end) if end != "input" else process.stdin.close()

        ran = _ended_by_itself(process, HANGING_S)
        assert ran.code == 0
        assert (
            end != "input" or "after standard input was closed" in ran.stdout
        )


def _ended_by_itself(
    process: subprocess.Popen[str], within_s: float = TIME_LIMIT_S
) -> CommandResult:
    """Wait for the end of a process whose standard input stays open."""
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        code = process.wait(within_s)
        return CommandResult(
            code, process.stdout.read(), process.stderr.read()
        )
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


def _start_crossing(
    shell: Shell, message: dict[str, Any], *, crossed_s: float
) -> subprocess.Popen[str]:
    """Start a worker that undoes a call whose result it has sent this long ago."""
    process = shell.start(
        sys.executable, "-c", CROSSING.format(crossed_s=crossed_s), "mcp"
    )
    send(process, INITIALIZE, INITIALIZED, message)
    return process
