"""The verdict of a chaos run finds exactly the violations in prepared ledgers."""

import dataclasses
from typing import Any

import pytest
from chaos import verdict
from chaos.ledger import DONE, Call, calls
from chaos.verdict import Evidence, check_invariants
from taskorch.domain.frozen import replace
from taskorch.domain.item import Findings, Item, Lease, Project, Report, State
from taskorch.domain.mirror_record import MirrorRecord, RecordCursor
from taskorch.domain.usage import ModelUsage
from taskorch.queue.metrics import Counters

ITEM, OTHER = "item_1", "item_2"
AGENT, RIVAL = "agent-1", "agent-2"


def call(
    verb: str,
    token: int = 0,
    *,
    who: str = AGENT,
    answer: str = DONE,
    **fields: Any,
) -> Call:
    """Return an acknowledged call that got the token that it showed."""
    shown = {"token": token, "claim": f"claim-{token}"} if token else {}
    known = {
        "item": ITEM,
        "got_token": token,
        "got_claim": shown.get("claim", ""),
        **shown,
        **fields,
    }
    return Call(
        id=f"{verb}-{who}-{token}", who=who, verb=verb, answer=answer, **known
    )


def claim(token: int, *, who: str = AGENT, **fields: Any) -> Call:
    return replace(call("claim", token, who=who, **fields), token=0, claim="")


def report(made_by: Call, *, token: int = 0) -> Report:
    """Return the history entry of a call, written while `token` was the newest."""
    return Report(
        id="1-0",
        at=1,
        kind=made_by.verb,
        agent="ada",
        attempt=1,
        token=token or made_by.token,
        text=made_by.id,
    )


def record(
    state: State,
    *reports: Report,
    id: str = ITEM,  # noqa: A002
    **fields: Any,
) -> MirrorRecord:
    """Return an item at the end of a run, with its history."""
    return MirrorRecord(
        cursor=RecordCursor(),
        more=False,
        findings=Findings(),
        item=_item(id=id, state=state, **fields),
        project=Project(
            id="proj_1",
            title="",
            description="",
            status="active",
            orchestrator="",
            created_at=0,
            completed_at=0,
            counts={},
        ),
        reports=reports,
        discoveries=(),
        sequence=1,
        event="",
        session="",
        lease=Lease(item=id),
    )


def _item(**fields: Any) -> Item:
    known: dict[str, Any] = {
        "token": 1,
        "attempts": 1,
        "max_attempts": 30,
        "title": f"item {fields['id']}",
        **fields,
    }
    texts = (
        "project",
        "description",
        "agent",
        "summary",
        "assigned_by",
    )
    lists = (
        "requirements",
        "resources",
        "deliverables_expected",
        "criteria",
        "depends_on",
        "questions",
    )
    numbers = (
        *(
            "lease_expires_at",
            "percent",
            "not_before_at",
            "created_at",
            "assigned_at",
            "started_at",
            "completed_at",
        ),
        "priority",
    )
    empty: dict[str, Any] = {
        **dict.fromkeys(texts, ""),
        **dict.fromkeys(lists, ()),
        **dict.fromkeys(numbers, 0),
        "context": {},
        "deliverables": {},
        "holder": None,
    }
    return Item(**{**empty, **known})


def evidence(
    made: list[Call], *records: MirrorRecord, **fields: Any
) -> Evidence:
    return Evidence(
        calls=made, records={each.item.id: each for each in records}, **fields
    )


def failures(found: Evidence, *, failover: bool = False) -> set[str]:
    """Return the invariants whose violation is a failure."""
    verdict_ = check_invariants(found, failover=failover)
    return {each.invariant for each in verdict_ if each.is_failure}


def worked() -> tuple[list[Call], MirrorRecord]:
    """Return a correct run: one worker loses the item, another one completes it."""
    progress, done = call("progress", 1), call("complete", 2, who=RIVAL)
    made = [
        call("create"),
        claim(1, since=1000, expires_at=2000),
        progress,
        claim(2, who=RIVAL, since=2000),
        done,
    ]
    return made, record(
        State.COMPLETED, report(progress), report(done), token=2
    )


def test_correct_run_has_no_failure() -> None:
    made, item = worked()

    assert failures(evidence(made, item)) == set()


def test_acknowledged_item_that_is_missing_is_lost() -> None:
    made, item = worked()

    lost = call("create", item=OTHER)

    assert failures(evidence([*made, lost], item)) == {
        "acknowledged creates lost"
    }


def test_unacknowledged_creation_may_be_missing() -> None:
    made, item = worked()

    assert (
        failures(
            evidence(
                [*made, call("create", item="", answer="UNREACHABLE")], item
            )
        )
        == set()
    )


def test_call_that_made_two_items_created_twice() -> None:
    made, item = worked()

    twin = record(State.COMPLETED, id=OTHER, title=item.item.title)

    assert failures(evidence(made, item, twin)) == {"items created twice"}


def test_assigned_item_without_agent_lost_its_assignment() -> None:
    made = [call("create"), call("assign")]

    assert "acknowledged assignments lost" in failures(
        evidence(made, record(State.PENDING))
    )


def test_acknowledged_completion_of_open_item_is_lost() -> None:
    made, item = worked()

    found = failures(evidence(made, record(State.QUEUED, *item.reports)))

    assert found == {"acknowledged completions lost", "items not finished"}


def test_acknowledged_report_missing_in_history_is_lost() -> None:
    made, item = worked()

    found = failures(evidence(made, replace(item, reports=item.reports[1:])))

    assert found == {"items with acknowledged reports lost"}


def test_two_acknowledged_completions_are_a_failure() -> None:
    made, item = worked()

    second = call("complete", 2, who=AGENT)

    assert failures(evidence([*made, second], item)) == {
        "items completed twice"
    }


def test_completion_after_return_is_not_a_second_one() -> None:
    made, item = worked()
    returned = report(call("send_back", answer=""), token=2)
    again = report(call("complete", 3, answer=""))

    found = failures(
        evidence(made, replace(item, reports=(*item.reports, returned, again)))
    )

    assert found == set()


def test_acknowledged_acceptance_of_open_item_is_lost() -> None:
    made, item = worked()
    accepted = call("accept", answer=DONE)

    found = failures(
        evidence([*made, accepted], record(State.REVIEW, *item.reports))
    )

    assert "acknowledged acceptances lost" in found


def test_repeated_completion_is_not_a_second_one() -> None:
    made, item = worked()

    second = call("complete", 2, who=AGENT, remark="repeat")

    assert failures(evidence([*made, second], item)) == set()


def test_two_completions_in_history_are_a_failure() -> None:
    made, item = worked()

    again = report(call("complete", 3, answer=""))

    assert failures(
        evidence(made, replace(item, reports=(*item.reports, again)))
    ) == {"items completed twice"}


def test_request_with_two_entries_acted_twice() -> None:
    made, item = worked()
    once, again = (
        replace(item.reports[0], request="a request", id=id_)
        for id_ in ("1-0", "2-0")
    )

    assert (
        failures(
            evidence(made, replace(item, reports=(once, item.reports[1])))
        )
        == set()
    )
    assert failures(
        evidence(made, replace(item, reports=(once, again, item.reports[1])))
    ) == {"items reported on twice by one request"}


def test_lease_given_twice_is_a_failure() -> None:
    made, item = worked()

    found = failures(evidence([*made, claim(1, who=RIVAL)], item))

    assert found == {
        "leases given to two processes",
        "token numbers given twice",
    }


def test_token_number_given_twice_is_tolerated_after_failover() -> None:
    made, item = worked()
    again = claim(1, who=RIVAL, got_claim="another")

    assert failures(evidence([*made, again], item)) == {
        "token numbers given twice"
    }
    assert failures(evidence([*made, again], item), failover=True) == set()


def test_claim_before_lease_expired_is_a_failure() -> None:
    made, item = worked()
    made[2] = replace(made[2], expires_at=2500)

    assert failures(evidence(made, item)) == {"items held by two at a time"}


@pytest.mark.parametrize("verb", ["release", "fail"])
def test_claim_after_item_was_given_up_is_correct(verb: str) -> None:
    made, item = worked()
    made[1] = replace(made[1], expires_at=9000)
    given_up = call(verb, 1)
    reports = (item.reports[0], report(given_up), item.reports[1])

    assert (
        failures(evidence([*made, given_up], replace(item, reports=reports)))
        == set()
    )


def test_report_after_a_newer_token_is_stale() -> None:
    made, item = worked()
    made[2] = replace(made[2], answer="")

    reports = (report(made[2], token=2), item.reports[1])

    assert failures(evidence(made, replace(item, reports=reports))) == {
        "stale writes accepted"
    }


def test_receipt_with_newer_token_is_a_stale_write() -> None:
    made, item = worked()

    renewed = call("renew", 1, got_token=2, got_claim="claim-2")

    assert failures(evidence([*made, renewed], item)) == {
        "stale writes accepted"
    }


def test_receipt_with_other_claim_is_always_stale() -> None:
    made, item = worked()

    renewed = call("renew", 2, got_claim="another")

    assert failures(evidence([*made, renewed], item), failover=True) == {
        "stale writes accepted"
    }


def test_descending_tokens_show_a_stale_write() -> None:
    made, item = worked()
    late = call("progress", 1, answer="")

    reports = (
        item.reports[0],
        report(call("progress", 2, who=RIVAL)),
        report(late),
        item.reports[1],
    )

    assert failures(evidence(made, replace(item, reports=reports))) == {
        "stale writes accepted"
    }


def test_report_under_given_up_token_is_stale() -> None:
    made, item = worked()
    given_up, late = call("release", 1), call("progress", 1, answer="")

    reports = (
        item.reports[0],
        report(given_up),
        report(late),
        item.reports[1],
    )

    assert failures(
        evidence([*made, given_up], replace(item, reports=reports))
    ) == {"stale writes accepted"}


def test_refused_stale_write_is_counted() -> None:
    made, item = worked()

    refused = call("complete", 1, answer="LEASE_LOST")

    assert verdict.stale_writes_refused(evidence([*made, refused], item)) == 1
    assert failures(evidence([*made, refused], item)) == set()


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        (State.DELAYED, {"attempts": 3, "token": 3}),
        (State.COMPLETED, {"attempts": 3, "token": 3}),
        (State.FAILED, {"attempts": 2, "token": 2}),
        (State.FAILED, {"attempts": 3, "token": 4}),
    ],
)
def test_poison_item_must_be_a_dead_letter(
    state: State, fields: dict[str, Any]
) -> None:
    item = record(state, title="poison 1", max_attempts=3, **fields)

    assert "poison items not stopped" in failures(
        evidence([call("create")], item)
    )


def test_poison_item_with_too_many_claims_fails() -> None:
    item = record(
        State.FAILED, title="poison 1", max_attempts=3, attempts=3, token=3
    )
    claims = [claim(number) for number in range(1, 5)]

    assert failures(evidence(claims[:3], item)) == set()
    assert failures(evidence(claims, item)) == {"poison items not stopped"}


@pytest.mark.parametrize(
    "state",
    [
        State.PENDING,
        State.WAITING,
        State.QUEUED,
        State.DELAYED,
        State.CANCELLED,
    ],
)
def test_open_ordinary_item_is_not_finished(state: State) -> None:
    assert failures(evidence([], record(state))) == {"items not finished"}


def test_ordinary_item_may_spend_its_attempts() -> None:
    assert failures(evidence([], record(State.FAILED, attempts=30))) == set()
    assert failures(evidence([], record(State.FAILED, attempts=29))) == {
        "items not finished"
    }


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_item_held_at_the_end_is_a_failure(state: State) -> None:
    assert failures(evidence([], record(state))) == {
        "items not finished",
        "items held forever",
    }


def test_other_findings_are_failures_too() -> None:
    made, item = worked()
    odd = call("renew", 2, answer="UNEXPECTED")

    found = evidence(
        [*made, odd],
        item,
        held=[ITEM],
        inconsistencies=["a count"],
        broken=["agent-1 ended with 1"],
    )

    assert failures(found) == {
        "items held forever", "inconsistencies in Redis", "unexpected errors", "processes that failed"
    }  # fmt: skip


def test_losses_of_a_failover_are_only_measured() -> None:
    made, item = worked()
    lost, again = call("create", item=OTHER), call("complete", 2)

    verdict_ = check_invariants(
        evidence([*made, lost, again], item), failover=True
    )

    assert {
        each.invariant: len(each.found) for each in verdict_ if each.found
    } == {
        "acknowledged creates lost": 1,
        "items completed twice": 1,
    }
    assert not any(each.is_failure for each in verdict_)


def test_call_is_read_from_all_its_lines() -> None:
    made = {
        "line": "call",
        "who": AGENT,
        "call": "c",
        "verb": "complete",
        "item": ITEM,
        "token": 2,
        "claim": "x",
    }
    reply = {"line": "reply", "who": AGENT, "call": "c", "item": ITEM}
    acknowledged = {**reply, "answer": DONE, "got_token": 2, "got_claim": "x"}

    unanswered = calls([made, {**reply, "answer": "UNREACHABLE"}, made])
    answered = calls(
        [made, {**reply, "answer": "UNREACHABLE"}, made, acknowledged]
    )
    killed = calls(
        [{"line": "own fault", "who": AGENT, "fault": "killed"}, made]
    )

    assert [each.answer for each in unanswered] == ["UNREACHABLE"]
    assert [(each.done, each.got_token, each.claim) for each in answered] == [
        (True, 2, "x")
    ]
    assert [each.answer for each in killed] == [""]


def test_counters_that_differ_from_items_are_wrong() -> None:
    made, item = worked()
    right = Counters(
        events={"create": 1, "complete": 1},
        claims=2,
        histograms={},
        now=0,
        blocked_since=0,
    )
    known = evidence(made, item)

    assert failures(dataclasses.replace(known, counters=right)) == set()
    for wrong in (
        replace(right, claims=3),
        replace(right, events={"create": 1, "complete": 2}),
        replace(right, events={"complete": 1}),
    ):
        found = failures(dataclasses.replace(known, counters=wrong))
        assert found == {"wrong counters"}


def test_cost_other_than_reported_is_wrong() -> None:
    made, lost = worked()
    used = ModelUsage(cost_micros=1)
    reports = tuple(replace(each, usage=used) for each in lost.reports)
    twice = replace(lost.item, usage=ModelUsage(cost_micros=2))
    right = replace(lost, reports=reports, item=twice)
    wrong = replace(right, item=replace(twice, usage=used))

    assert failures(evidence(made, right, spent=2)) == set()
    assert failures(evidence(made, right, spent=3)) == {"wrong costs"}
    assert failures(evidence(made, wrong, spent=1)) == {"wrong costs"}
