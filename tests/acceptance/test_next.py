"""`--next` settles an item and claims the next one; an item is delivered once."""

import signal

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.tool_client import document_of, run_async
from support.topologies import Node
from taskorch.domain.item import State

SETTLES = {
    "complete": ("text",),
    "ack": (),
    "fail": ("text",),
}


def claim(shell: Shell, item: str) -> str:
    assert shell.worker("get", item).code == 0
    return item


@pytest.mark.parametrize("verb", SETTLES)
def test_next_item_is_printed_as_by_pop(
    shell: Shell, bench: Bench, verb: str
) -> None:
    first = claim(shell, bench.item())
    second = bench.item(title="The second")

    ran = shell.worker(verb, first, *SETTLES[verb], "--next")

    receipt, package = ran.stdout.split("\n", 1)
    assert ran.code == 0
    assert receipt.startswith(f"{first} is ")
    assert package.startswith(
        f"=== Work Item: {second} ===\nTitle: The second"
    )
    assert "in_progress, 0%, yours until" in package
    assert shell.worker("complete", second, "done").code == 0


@pytest.mark.parametrize("verb", SETTLES)
def test_next_without_ready_item_reports_it(
    shell: Shell, bench: Bench, verb: str
) -> None:
    first = claim(shell, bench.item())

    ran = shell.worker(verb, first, *SETTLES[verb], "--next")

    assert ran.code == 0
    assert ran.stdout.startswith(f"{first} is ")
    assert ran.stderr.startswith("No item is ready for you.")


def test_next_waits_for_an_item(shell: Shell, bench: Bench) -> None:
    first = claim(shell, bench.item())
    process = shell.start(
        BIN / "worker", "complete", first, "done", "--next", "--wait", "60"
    )
    eventually(lambda: bench.blocked_clients() == 1)

    second = bench.item()

    ran = result_of(process)
    assert ran.code == 0
    assert f"=== Work Item: {second} ===" in ran.stdout
    assert bench.state(first) is State.COMPLETED


def test_next_item_is_part_of_the_document(shell: Shell, bench: Bench) -> None:
    first = claim(shell, bench.item())
    second = bench.item()

    done = shell.worker("--json", "complete", first, "done", "--next").data()
    last = shell.worker("--json", "complete", second, "done", "--next").data()

    assert (done["id"], done["state"]) == (first, "completed")
    assert done["next"]["id"] == second
    assert done["next"]["lease"]["token"] == 1
    assert last["next"] is None


def test_lease_is_that_of_the_next_item(shell: Shell, bench: Bench) -> None:
    first = claim(shell, bench.item())
    second = bench.item()

    shell.worker("complete", first, "done", "--next", "--lease", "1m")

    item = bench.queue.views.show(second).item
    assert item.holder
    assert item.lease_expires_at - item.holder.since == 60_000


def test_refused_step_claims_no_next_item(shell: Shell, bench: Bench) -> None:
    first = claim(shell, bench.item())
    bench.queue.cancel(first)
    second = bench.item()

    ran = shell.worker("complete", first, "done", "--next")

    assert ran.code == 6
    assert bench.state(second) is State.QUEUED


@pytest.mark.parametrize("option", [("--wait", "5"), ("--lease", "5m")])
def test_options_of_next_item_need_next(
    shell: Shell, bench: Bench, option: tuple[str, str]
) -> None:
    first = claim(shell, bench.item())

    ran = shell.worker("complete", first, "done", *option)

    assert ran.code == 2
    assert "add --next" in ran.stderr
    assert bench.state(first) is State.IN_PROGRESS


def test_command_of_run_claims_no_next_item(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.item(), bench.item()

    ran = shell.worker(
        *("run", "--once", "--wait", "5", "--", "sh", "-c"),
        f"{BIN}/worker complete {first} done --next; echo exit $?",
    )

    summary = bench.queue.views.show(first).item.summary
    assert ran.code == 0, ran
    assert summary == "exit 5"
    assert bench.state(second) is State.QUEUED


def test_second_delivery_with_other_text_is_refused(
    shell: Shell, bench: Bench
) -> None:
    item = claim(shell, bench.item())
    shell.worker(
        "complete", item, "first\n\x1b[2Jtext", "--deliverable", "a=1"
    )

    same = shell.worker("complete", item, "first\n\x1b[2Jtext")
    other = shell.worker("complete", item, "second")
    more = shell.worker("--json", "ack", item, "--deliverable", "b=2")

    assert (same.code, other.code, more.code) == (0, 5, 5)
    assert r'already completed with "first\n\x1b[2Jtext"' in other.stderr
    assert f"worker get {item} --peek" in other.stderr
    assert more.error()["code"] == "ALREADY_COMPLETED"
    assert bench.queue.views.show(item).item.deliverables == {"a": "1"}


@pytest.mark.parametrize("summary", ["", "  \n"])
def test_blank_summary_is_refused(
    shell: Shell, bench: Bench, summary: str
) -> None:
    item = claim(shell, bench.item())

    ran = shell.worker("complete", item, summary)

    assert ran.code == 5
    assert f"The summary of {item} is empty." in ran.stderr
    assert f"worker ack {item}" in ran.stderr
    assert bench.state(item) is State.IN_PROGRESS
    assert shell.worker("ack", item).code == 0


def test_missing_deliverables_are_named(shell: Shell, bench: Bench) -> None:
    expected = ("schema", "docs/api.md", "te\x1b[2Jsts")
    item = claim(shell, bench.item(deliverables_expected=expected))

    ran = shell.worker(
        "complete", item, "done", "--deliverable", "page=docs/api.md"
    )
    again = shell.worker("--json", "complete", item, "done")

    assert (ran.code, ran.stdout) == (0, f"{item} is completed.\n")
    assert ran.stderr == (
        "Expected, but not among the deliverables of "
        f"{item}: schema, te\\x1b[2Jsts\n"
    )
    assert again.data()["missing_deliverables"] == ["schema", "te\x1b[2Jsts"]


def test_tools_claim_the_next_item(shell: Shell, bench: Bench) -> None:
    first = claim(shell, bench.item())
    second, third = bench.item(), bench.item()

    async def test() -> None:
        async with tool_client.worker(shell) as ada:
            done = await ada.call(
                "complete", item=first, summary="done", next=True
            )
            document = document_of(done)
            assert document["data"]["next"]["id"] == second
            assert "text" in document["meta"]
            failed = await ada.data(
                "fail", item=second, reason="no luck", next=True
            )
            assert failed["next"]["id"] == third
            last = await ada.data("complete", item=third, summary="done")
            assert "next" not in last

    run_async(test)
    assert bench.state(third) is State.COMPLETED


def test_document_keeps_receipt_when_wait_fails(
    shell: Shell, node: Node
) -> None:
    there = shell.having(TASKORCH_REDIS_URL=f"redis://{node.address}")
    project = there.orchestrate("project", "A project").stdout.strip()
    item = there.orchestrate(
        "create", project, "An item", "--assign", "ada"
    ).stdout.strip()
    there.worker("get", item)
    # time to see that it waits, and to kill Redis
    words = ("complete", item, "done", "--next", "--wait", "15", "--json")
    process = there.start(BIN / "worker", *words)
    eventually(lambda: node.raw.info("clients")["blocked_clients"])

    node.kill()
    ran = result_of(process)

    assert ran.code == 4
    receipt, error = ran.json()["data"], ran.json()["meta"]["error"]
    assert (receipt["id"], receipt["state"]) == (item, "completed")
    assert receipt["next"] is None
    assert (error["code"], error["retryable"]) == ("UNREACHABLE", True)


def test_document_keeps_receipt_when_wait_is_interrupted(
    shell: Shell, bench: Bench
) -> None:
    item = claim(shell, bench.item())
    words = ("complete", item, "done", "--next", "--wait", "60", "--json")
    process = shell.start(BIN / "worker", *words)
    eventually(lambda: bench.blocked_clients() == 1)

    process.send_signal(signal.SIGINT)
    ran = result_of(process)

    assert (ran.code, ran.json()["data"]["id"]) == (130, item)
    assert ran.json()["meta"] == {}
