"""The verdict of a chaos run finds each kind of broken promise in ledgers that were written by hand, and no other."""

from typing import Any

import pytest
from chaos import verdict
from chaos.ledger import DONE, Call, calls
from chaos.verdict import Evidence, judge
from taskorch.domain.frozen import replace
from taskorch.domain.item import Item, Lease, Project, Report, State
from taskorch.domain.mirror_record import MirrorRecord

ITEM, OTHER = "item_1", "item_2"
AGENT, RIVAL = "agent-1", "agent-2"


def call(
    verb: str, token: int = 0, *, who: str = AGENT, answer: str = DONE, **fields: Any
) -> Call:
    """Return a call on the item that went well: what it showed is what it got."""
    shown = {"token": token, "claim": f"claim-{token}"} if token else {}
    known = {
        "item": ITEM,
        "got_token": token,
        "got_claim": shown.get("claim", ""),
        **shown,
        **fields,
    }
    return Call(id=f"{verb}-{who}-{token}", who=who, verb=verb, answer=answer, **known)


def claim(token: int, *, who: str = AGENT, **fields: Any) -> Call:
    return replace(call("claim", token, who=who, **fields), token=0, claim="")


def report(made_by: Call, *, token: int = 0) -> Report:
    """Return the entry of the history that a call has made, while `token` was the newest."""
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
    """Return an item as it is in the end, with its history."""
    return MirrorRecord(
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
        "blocker",
        "needs",
        "assigned_by",
    )
    lists = (
        "requirements",
        "resources",
        "deliverables_expected",
        "criteria",
        "depends_on",
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


def evidence(made: list[Call], *records: MirrorRecord, **fields: Any) -> Evidence:
    return Evidence(
        calls=made, records={each.item.id: each for each in records}, **fields
    )


def guilty_of(found: Evidence, *, failover: bool = False) -> set[str]:
    """Return the charges that were found true."""
    return {line.charge for line in judge(found, failover=failover) if line.guilty}


def worked() -> tuple[list[Call], MirrorRecord]:
    """Return what a run leaves that went well: created, claimed, lost to another, completed by that one."""
    said, done = call("progress", 1), call("complete", 2, who=RIVAL)
    made = [
        call("create"),
        claim(1, since=1000, expires_at=2000),
        said,
        claim(2, who=RIVAL, since=2000),
        done,
    ]
    return made, record(State.COMPLETED, report(said), report(done), token=2)


def test_a_run_that_went_well_is_clean() -> None:
    made, item = worked()

    assert guilty_of(evidence(made, item)) == set()


def test_an_acknowledged_creation_of_an_item_that_is_not_there_is_lost() -> None:
    made, item = worked()

    lost = call("create", item=OTHER)

    assert guilty_of(evidence([*made, lost], item)) == {"acknowledged creates lost"}


def test_a_creation_that_nobody_acknowledged_may_be_missing() -> None:
    made, item = worked()

    assert (
        guilty_of(
            evidence([*made, call("create", item="", answer="UNREACHABLE")], item)
        )
        == set()
    )


def test_a_call_that_made_two_items_has_created_twice() -> None:
    made, item = worked()

    twin = record(State.COMPLETED, id=OTHER, title=item.item.title)

    assert guilty_of(evidence(made, item, twin)) == {"items created twice"}


def test_an_assigned_item_that_belongs_to_nobody_has_lost_its_assignment() -> None:
    made = [call("create"), call("assign")]

    assert "acknowledged assignments lost" in guilty_of(
        evidence(made, record(State.PENDING))
    )


def test_an_acknowledged_completion_of_an_open_item_is_lost() -> None:
    made, item = worked()

    found = guilty_of(evidence(made, record(State.QUEUED, *item.reports)))

    assert found == {"acknowledged completions lost", "items not finished"}


def test_an_acknowledged_report_that_is_not_in_the_history_is_lost() -> None:
    made, item = worked()

    found = guilty_of(evidence(made, replace(item, reports=item.reports[1:])))

    assert found == {"items with acknowledged reports lost"}


def test_two_acknowledged_completions_are_one_too_many() -> None:
    made, item = worked()

    second = call("complete", 2, who=AGENT)

    assert guilty_of(evidence([*made, second], item)) == {"items completed twice"}


def test_a_completion_that_was_said_to_be_a_repeat_is_not_a_second_one() -> None:
    made, item = worked()

    second = call("complete", 2, who=AGENT, remark="repeat")

    assert guilty_of(evidence([*made, second], item)) == set()


def test_two_completions_in_the_history_are_one_too_many_though_one_was_never_acknowledged() -> (
    None
):
    made, item = worked()

    again = report(call("complete", 3, answer=""))

    assert guilty_of(evidence(made, replace(item, reports=(*item.reports, again)))) == {
        "items completed twice"
    }


def test_a_request_that_has_made_two_entries_has_acted_twice() -> None:
    made, item = worked()
    once, again = (
        replace(item.reports[0], request="a request", id=id_) for id_ in ("1-0", "2-0")
    )

    assert (
        guilty_of(evidence(made, replace(item, reports=(once, item.reports[1]))))
        == set()
    )
    assert guilty_of(
        evidence(made, replace(item, reports=(once, again, item.reports[1])))
    ) == {"items reported on twice by one request"}


def test_a_lease_that_two_were_given_is_held_by_two() -> None:
    made, item = worked()

    found = guilty_of(evidence([*made, claim(1, who=RIVAL)], item))

    assert found == {"leases given to two", "numbers of tokens given twice"}


def test_a_number_that_was_given_out_again_under_another_claim_is_the_failovers_doing_if_there_was_one() -> (
    None
):
    made, item = worked()
    again = claim(1, who=RIVAL, got_claim="another")

    assert guilty_of(evidence([*made, again], item)) == {
        "numbers of tokens given twice"
    }
    assert guilty_of(evidence([*made, again], item), failover=True) == set()


def test_a_claim_before_the_lease_before_it_has_run_out_is_one_too_early() -> None:
    made, item = worked()
    made[2] = replace(made[2], expires_at=2500)

    assert guilty_of(evidence(made, item)) == {"items held by two at once"}


@pytest.mark.parametrize("verb", ["release", "fail"])
def test_a_claim_after_the_holder_gave_the_item_up_is_not_too_early(verb: str) -> None:
    made, item = worked()
    made[1] = replace(made[1], expires_at=9000)
    given_up = call(verb, 1)
    reports = (item.reports[0], report(given_up), item.reports[1])

    assert (
        guilty_of(evidence([*made, given_up], replace(item, reports=reports))) == set()
    )


def test_a_report_that_was_taken_while_a_newer_token_was_out_is_a_stale_write() -> None:
    made, item = worked()
    made[2] = replace(made[2], answer="")

    reports = (report(made[2], token=2), item.reports[1])

    assert guilty_of(evidence(made, replace(item, reports=reports))) == {
        "stale writes accepted"
    }


def test_a_receipt_for_another_claim_than_the_one_shown_is_a_stale_write() -> None:
    made, item = worked()

    renewed = call("renew", 1, got_token=2, got_claim="claim-2")

    assert guilty_of(evidence([*made, renewed], item)) == {"stale writes accepted"}


def test_a_receipt_for_the_same_number_of_another_claim_is_a_stale_write_after_a_failover_too() -> (
    None
):
    made, item = worked()

    renewed = call("renew", 2, got_claim="another")

    assert guilty_of(evidence([*made, renewed], item), failover=True) == {
        "stale writes accepted"
    }


def test_a_history_whose_tokens_descend_has_a_stale_write() -> None:
    made, item = worked()
    late = call("progress", 1, answer="")

    reports = (
        item.reports[0],
        report(call("progress", 2, who=RIVAL)),
        report(late),
        item.reports[1],
    )

    assert guilty_of(evidence(made, replace(item, reports=reports))) == {
        "stale writes accepted"
    }


def test_a_report_under_a_token_that_was_given_up_is_a_stale_write() -> None:
    made, item = worked()
    given_up, late = call("release", 1), call("progress", 1, answer="")

    reports = (item.reports[0], report(given_up), report(late), item.reports[1])

    assert guilty_of(evidence([*made, given_up], replace(item, reports=reports))) == {
        "stale writes accepted"
    }


def test_a_refused_write_under_an_old_token_is_counted() -> None:
    made, item = worked()

    refused = call("complete", 1, answer="LEASE_LOST")

    assert verdict.stale_writes_refused(evidence([*made, refused], item)) == 1
    assert guilty_of(evidence([*made, refused], item)) == set()


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        (State.DELAYED, {"attempts": 3, "token": 3}),
        (State.COMPLETED, {"attempts": 3, "token": 3}),
        (State.FAILED, {"attempts": 2, "token": 2}),
        (State.FAILED, {"attempts": 3, "token": 4}),
    ],
)
def test_a_poison_item_that_is_no_dead_letter_after_its_attempts_was_not_stopped(
    state: State, fields: dict[str, Any]
) -> None:
    item = record(state, title="poison 1", max_attempts=3, **fields)

    assert "poison items not stopped" in guilty_of(evidence([call("create")], item))


def test_a_poison_item_that_was_claimed_more_often_than_redis_says_was_not_stopped() -> (
    None
):
    item = record(State.FAILED, title="poison 1", max_attempts=3, attempts=3, token=3)
    claims = [claim(number) for number in range(1, 5)]

    assert guilty_of(evidence(claims[:3], item)) == set()
    assert guilty_of(evidence(claims, item)) == {"poison items not stopped"}


@pytest.mark.parametrize(
    "state",
    [State.PENDING, State.WAITING, State.QUEUED, State.DELAYED, State.CANCELLED],
)
def test_an_ordinary_item_that_is_left_is_not_finished(state: State) -> None:
    assert guilty_of(evidence([], record(state))) == {"items not finished"}


def test_an_ordinary_item_may_fail_when_its_attempts_are_spent() -> None:
    assert guilty_of(evidence([], record(State.FAILED, attempts=30))) == set()
    assert guilty_of(evidence([], record(State.FAILED, attempts=29))) == {
        "items not finished"
    }


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_an_item_that_is_held_in_the_end_is_held_for_ever(state: State) -> None:
    assert guilty_of(evidence([], record(state))) == {
        "items not finished",
        "items held for ever",
    }


def test_what_else_was_found_wrong_is_a_charge_of_its_own() -> None:
    made, item = worked()
    odd = call("renew", 2, answer="UNEXPECTED")

    found = evidence(
        [*made, odd],
        item,
        held=[ITEM],
        inconsistencies=["a count"],
        broken=["agent-1 ended with 1"],
    )

    assert guilty_of(found) == {
        "items held for ever", "inconsistencies in Redis", "errors not foreseen", "processes that broke"
    }  # fmt: skip


def test_what_a_failover_may_lose_is_measured_and_nobody_is_guilty() -> None:
    made, item = worked()
    lost, again = call("create", item=OTHER), call("complete", 2)

    lines = judge(evidence([*made, lost, again], item), failover=True)

    assert {line.charge: len(line.offenders) for line in lines if line.offenders} == {
        "acknowledged creates lost": 1,
        "items completed twice": 1,
    }
    assert not any(line.guilty for line in lines)


def test_a_call_is_read_from_its_lines_however_often_it_was_repeated() -> None:
    ask = {
        "line": "ask",
        "who": AGENT,
        "call": "c",
        "verb": "complete",
        "item": ITEM,
        "token": 2,
        "claim": "x",
    }
    told = {"line": "told", "who": AGENT, "call": "c", "item": ITEM}
    acknowledged = {**told, "answer": DONE, "got_token": 2, "got_claim": "x"}

    unanswered = calls([ask, {**told, "answer": "UNREACHABLE"}, ask])
    answered = calls([ask, {**told, "answer": "UNREACHABLE"}, ask, acknowledged])
    killed = calls([{"line": "fate", "who": AGENT, "fate": "killed"}, ask])

    assert [each.answer for each in unanswered] == ["UNREACHABLE"]
    assert [(each.done, each.got_token, each.claim) for each in answered] == [
        (True, 2, "x")
    ]
    assert [each.answer for each in killed] == [""]
