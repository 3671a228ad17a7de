"""Reviews by the commands of both roles, over MCP and over the HTTP API's table."""

import pytest
from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.tool_client import document_of, run_async
from taskorch.domain.acceptance import RunCheck
from taskorch.domain.item import State

HOSTILE = "The tests\nfail\x1b[2J"


@pytest.fixture
def item(bench: Bench) -> str:
    """An item that ada has completed, and that lead is to review."""
    item = bench.item(reviewer="lead")
    bench.agent().complete(
        bench.claimed(item), "4 tables", deliverables={"schema": "a.sql"}
    )
    return item


def test_worker_learns_that_its_item_is_in_review(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(reviewer="lead")

    done = shell.worker("complete", item, "4 tables")
    again = shell.worker("complete", item, "4 tables")
    other = shell.worker("complete", item, "5 tables")

    assert done.stdout == (
        f"{item} is in review: it is completed when its reviewer accepts it.\n"
    )
    assert again.stdout == f"{item} was in review already; nothing changed.\n"
    assert other.code == 5
    assert f"orchestrate send-back {item} TEXT" in other.stderr


def test_inbox_shows_reviews_and_dead_letters(
    shell: Shell, bench: Bench, item: str
) -> None:
    dead = bench.lease_in(State.FAILED).item

    inbox = shell.orchestrate("inbox").stdout.splitlines()
    document = shell.orchestrate("--json", "inbox").json()

    assert inbox[:4] == [
        f"{item} ada has completed it, for review by lead: An item",
        "    4 tables",
        f"{dead} of ada has failed: An item",
        f"    {document['meta']['reasons'][dead]}",
    ]


def test_accept_completes_the_item(
    shell: Shell, bench: Bench, item: str
) -> None:
    accepted = shell.orchestrate("accept", item, "Well done")
    again = shell.orchestrate("accept", item)

    assert accepted.stdout == f"Accepted. {item} is completed.\n"
    assert again.stdout == f"{item} was completed already; nothing changed.\n"
    assert "accepted by orchestrator: Well done" in (
        shell.orchestrate("show", item).stdout
    )
    assert bench.state(item) is State.COMPLETED


def test_agent_reads_reason_of_return_first(shell: Shell, item: str) -> None:
    sent = shell.orchestrate("send-back", item, HOSTILE)

    claimed = shell.worker("pop").stdout.splitlines()
    document = shell.worker("--json", "get", item).data()

    assert sent.stdout == f"Sent back to ada. {item} is queued.\n"
    assert claimed[:4] == [
        f"=== Work Item: {item} ===",
        "Title: An item",
        "Returned by orchestrator: The tests",
        "    | fail\\x1b[2J",
    ]
    assert document["returned"]["text"] == HOSTILE
    assert document["returned"]["by"] == "orchestrator"
    assert document["reviewer"] == "lead"


def test_reviewing_agent_lists_and_decides(
    shell: Shell, bench: Bench, item: str
) -> None:
    lead = shell.having(AGENT_ID="lead")

    listed = lead.worker("reviews").stdout
    sent = lead.worker("send-back", item, "Once more")
    bench.agent().complete(bench.claimed(item), "5 tables")
    accepted = lead.worker("accept", item)
    nothing = lead.worker("reviews")

    assert listed.splitlines()[:3] == [
        f"=== Review: {item} ===",
        "Title: An item",
        "Agent: ada",
    ]
    assert "Summary: 4 tables" in listed
    assert "schema: a.sql" in listed
    assert sent.stdout == f"Sent back to ada. {item} is queued.\n"
    assert accepted.stdout == f"Accepted. {item} is completed.\n"
    assert "Nothing waits for your review." in nothing.stdout + nothing.stderr


@pytest.mark.parametrize(
    ("agent", "word"), [("bob", "NOT_REVIEWER"), ("ada", "NOT_REVIEWER")]
)
def test_other_agents_cannot_decide(
    shell: Shell, bench: Bench, item: str, agent: str, word: str
) -> None:
    refused = shell.having(AGENT_ID=agent).worker("--json", "accept", item)

    assert refused.code == 7
    assert refused.error()["code"] == word
    assert bench.state(item) is State.REVIEW


def test_reviewer_sees_results_of_checks(shell: Shell, bench: Bench) -> None:
    check = RunCheck(run=("test", "-d", "."))
    item = bench.item(reviewer="lead", checks=(check,))
    shell.worker("complete", item, "Done")

    listed = shell.having(AGENT_ID="lead").worker("reviews")

    assert "run test -d .: passed, exit status 0" in listed.stdout


def test_own_work_is_refused(shell: Shell, bench: Bench) -> None:
    item = bench.item(reviewer="ada")
    bench.agent().complete(bench.claimed(item), "done")

    refused = shell.worker("--json", "accept", item)

    assert refused.code == 7
    assert refused.error()["code"] == "OWN_WORK"


def test_wait_until_review_prints_the_delivery(
    shell: Shell, item: str
) -> None:
    waited = shell.orchestrate("wait", item, "--until", "review")

    assert waited.code == 0
    assert waited.stdout.splitlines()[:2] == [
        f"{item} is in review, 100%.",
        "Summary: 4 tables",
    ]


def test_agent_waits_for_the_decision(
    shell: Shell, bench: Bench, item: str
) -> None:
    over = shell.worker("wait", item, "--timeout", "0.1")
    bench.queue.send_back(item, "Once more")
    sent_back = shell.worker("wait", item)

    assert over.code == 8
    assert "in review, without a decision" in over.stderr
    assert sent_back.stdout.splitlines()[:2] == [
        f"{item} is queued.",
        "Returned by planner: Once more",
    ]


def test_views_of_orchestrator_show_reviews(shell: Shell, item: str) -> None:
    prime = shell.orchestrate("prime").stdout
    status = shell.orchestrate("status").stdout
    stuck = shell.orchestrate("stuck").stdout

    assert f"orchestrate show {item}" in prime
    assert "Items in review: 1" in prime
    assert "for review by lead" in status
    assert f"orchestrate accept {item}" in stuck


@pytest.mark.usefixtures("item")
def test_prime_of_reviewer_names_its_reviews(shell: Shell) -> None:
    prime = shell.having(AGENT_ID="lead").worker("prime").stdout

    assert "1 item waits for your review: worker reviews" in prime


def test_tools_of_both_roles_decide(
    shell: Shell, bench: Bench, item: str
) -> None:
    lead = shell.having(AGENT_ID="lead")

    async def test() -> None:
        async with tool_client.worker(lead) as reviewer:
            (waiting,) = await reviewer.data("check", reviews=True)
            assert waiting["review"] == item
            assert waiting["summary"] == "4 tables"
            returned = await reviewer.data(
                "report", item=item, kind="send-back", text="Once more"
            )
            assert returned["state"] == "queued"
            refused = await reviewer.call("report", item=item, kind="accept")
            assert document_of(refused)["error"]["code"] == "WRONG_STATE"
        bench.agent().complete(bench.claimed(item), "done again")
        async with tool_client.orchestrate(shell) as boss:
            accepted = await boss.data(
                "answer", item=item, kind="accept", text="Well done"
            )
            assert accepted["state"] == "completed"

    run_async(test)
