"""Acceptance checks in the scripts: no completion without evidence for each of them."""

import json
from hashlib import sha1
from typing import Any

import pytest
from support.builders import Bench, need_lease
from taskorch.domain import errors
from taskorch.domain.acceptance import (
    Check,
    CheckEvidence,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.frozen import replace
from taskorch.domain.item import ItemEdit, Lease, State
from taskorch.queue import keys

MAKE = RunCheck(run=("make", "test"))
FILE = FileCheck(file="docs/api.md")
SCHEMA = DeliverableCheck(deliverable="schema")


def passed(check: Check, **values: Any) -> CheckEvidence:
    values = {"duration_ms": 1200, "exit_code": 0, **values}
    return CheckEvidence(check=check, passed=True, **values)


def test_checks_are_part_of_the_item(bench: Bench) -> None:
    item = bench.item(checks=(MAKE, FILE, SCHEMA), reviewer="lead")

    found = bench.queue.views.show(item).item

    assert found.checks == (MAKE, FILE, SCHEMA)
    assert (found.reviewer, found.evidence) == ("lead", ())


def test_completion_without_evidence_is_refused(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE, FILE)))

    with pytest.raises(errors.Unchecked) as refused:
        bench.agent().complete(lease, "Done")

    assert json.loads(str(refused.value.details["checks"])) == [
        {"run": ["make", "test"], "timeout_ms": 600_000},
        {"file": "docs/api.md"},
    ]
    assert bench.state(lease.item) is State.IN_PROGRESS
    assert bench.inconsistencies() == []


def test_evidence_is_kept_on_the_item(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE, SCHEMA, FILE)))
    results = [passed(MAKE, output="3 passed"), passed(FILE, source="run")]

    receipt = bench.agent().complete(
        lease, "Done", deliverables={"schema": "a.sql"}, evidence=results
    )

    item = bench.queue.views.show(lease.item).item
    assert receipt.state is State.COMPLETED
    assert item.evidence == (
        passed(MAKE, output="3 passed"),
        passed(SCHEMA, duration_ms=0, exit_code=None, source="queue"),
        passed(FILE, source="run"),
    )


@pytest.mark.parametrize(
    "results",
    [
        [passed(FILE)],
        [passed(FILE), passed(MAKE)],
        [passed(RunCheck(run=("make",))), passed(FILE)],
        [passed(replace(MAKE, timeout_ms=1)), passed(FILE)],
        [passed(MAKE)],
    ],
)
def test_evidence_for_other_checks_is_refused(
    bench: Bench, results: list[CheckEvidence]
) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE, FILE)))

    with pytest.raises(errors.Unchecked):
        bench.agent().complete(lease, "Done", evidence=results)

    assert bench.state(lease.item) is State.IN_PROGRESS


def test_failed_result_is_refused(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    result = replace(passed(MAKE), passed=False)

    with pytest.raises(errors.ChecksFailed, match="1 of its acceptance"):
        bench.agent().complete(lease, "Done", evidence=[result])

    assert bench.state(lease.item) is State.IN_PROGRESS


@pytest.mark.parametrize("delivered", [{}, {"schema": ""}, {"other": "x"}])
def test_deliverable_is_checked_by_the_script(
    bench: Bench, delivered: dict[str, str]
) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE, SCHEMA)))

    with pytest.raises(errors.ChecksFailed) as refused:
        bench.agent().complete(
            lease, "Done", deliverables=delivered, evidence=[passed(MAKE)]
        )

    assert refused.value.rows() == ["deliverable schema: it was not delivered"]


def test_queued_item_is_not_claimed_by_refused_completion(
    bench: Bench,
) -> None:
    item = bench.item(checks=(MAKE,))

    with pytest.raises(errors.Unchecked):
        bench.agent().complete(Lease(item=item), "Done")

    assert bench.state(item) is State.QUEUED


def test_several_items_each_need_evidence(bench: Bench) -> None:
    home = bench.project()
    one = bench.claimed(bench.item(home, checks=(MAKE,)))
    other = bench.claimed(bench.item(home))
    deliveries: list[tuple[Lease, str, dict[str, str]]] = [
        (other, "Done", {}),
        (one, "Done", {}),
    ]

    with pytest.raises(errors.Unchecked):
        bench.agent().complete_many(deliveries)
    assert bench.state(other.item) is State.IN_PROGRESS

    receipts = bench.agent().complete_many(
        deliveries, evidence={one.item: [passed(MAKE)]}
    )

    assert [each.state for each in receipts] == [State.COMPLETED] * 2
    assert bench.inconsistencies() == []


def test_output_of_other_client_is_cut_between_characters(
    bench: Bench,
) -> None:
    lease = bench.claimed(bench.item(checks=(FILE,)))
    shown = {"check": {"file": FILE.file}, "passed": True}
    words = json.dumps([{**shown, "output": "é" * 1500 + "x"}])

    bench.agent()._run_script(
        "complete", "", "", "", 1, lease.item, lease.shown(), "", "{}", words, ""
    )  # fmt: skip

    (kept,) = bench.queue.views.show(lease.item).item.evidence
    assert kept.output == "é" * 999 + "x"


def test_output_of_a_check_is_cut(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    result = passed(MAKE, output="x" * 5000 + "end")

    bench.agent().complete(lease, "Done", evidence=[result])

    (kept,) = bench.queue.views.show(lease.item).item.evidence
    assert (len(kept.output), kept.output[-4:]) == (2000, "xend")


def test_source_of_a_foreign_name_is_the_worker(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))

    bench.agent().complete(
        lease, "Done", evidence=[passed(MAKE, source="queue")]
    )

    (kept,) = bench.queue.views.show(lease.item).item.evidence
    assert kept.source == "worker"


def test_requeue_drops_the_evidence(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    bench.agent().complete(lease, "Done", evidence=[passed(MAKE)])

    bench.queue.requeue(lease.item)

    item = bench.queue.views.show(lease.item).item
    assert (item.checks, item.evidence) == ((MAKE,), ())


def test_send_back_drops_the_evidence(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,), reviewer="lead"))
    bench.agent().complete(lease, "Done", evidence=[passed(MAKE)])

    bench.queue.send_back(lease.item, "No index")

    item = bench.queue.views.show(lease.item).item
    assert (item.checks, item.evidence) == ((MAKE,), ())


def test_repeated_completion_needs_no_evidence(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    bench.agent().complete(lease, "Done", evidence=[passed(MAKE)])

    again = bench.agent().complete(lease, "Done")

    assert (again.state, again.remark) == (State.COMPLETED, "repeat")


def test_edit_shows_old_and_new_checks(bench: Bench) -> None:
    item = bench.item(checks=(MAKE,))

    (edited,) = bench.queue.edit(
        [item], ItemEdit(checks=(FILE, SCHEMA), reviewer="lead")
    )
    (cleared,) = bench.queue.edit([item], ItemEdit(checks=(), reviewer=""))

    assert [str(change) for change in edited.changes] == [
        "reviewer: (none) -> lead",
        "acceptance checks: make test -> file docs/api.md; deliverable schema",
    ]
    assert [change.after for change in cleared.changes] == ["(none)"] * 2
    found = bench.queue.views.show(item).item
    assert (found.checks, found.reviewer) == ((), "")


def test_checks_of_held_item_do_not_change(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))

    for change in (ItemEdit(checks=()), ItemEdit(reviewer="ada")):
        with pytest.raises(errors.Begun):
            bench.queue.edit([lease.item], change)

    assert bench.queue.views.show(lease.item).item.checks == (MAKE,)


def reporting(lease: Lease) -> Lease:
    """Return the lease that `worker run` hands to its command."""
    claim = sha1(f"{lease.claim} reports".encode(), usedforsecurity=False)
    return replace(lease, claim=claim.hexdigest()[:16])


def test_command_of_run_reports_and_does_not_complete(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    own = reporting(lease)

    receipt = bench.agent().progress(own, "Half", percent=50)
    with pytest.raises(errors.RunCompletes):
        bench.agent().complete(own, "Done", evidence=[passed(MAKE)])

    assert receipt.lease.shown() == own.shown()
    assert bench.state(lease.item) is State.IN_PROGRESS
    done = bench.agent().complete(lease, "Done", evidence=[passed(MAKE)])
    assert done.state is State.COMPLETED


def test_command_of_run_never_sees_the_token(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    own, me = reporting(lease), bench.agent()

    claim = me.get(own)
    receipts = [
        me.renew(own),
        me.discover(own, "It is slow"),
        me.blocker(own, "Which one?"),
        me.withdraw(own),
    ]

    shown = [need_lease(claim).shown()]
    shown += [receipt.lease.shown() for receipt in receipts]
    assert set(shown) == {own.shown()}
    kept = str(
        bench.raw.hgetall(f"{keys.tag(bench.namespace)}item:{own.item}")
    )
    assert lease.claim in kept
    assert lease.claim not in str(claim)


def test_command_of_run_may_give_up(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))

    bench.agent().fail(reporting(lease), "Too hard", retry=False)

    assert bench.state(lease.item) is State.FAILED


def test_session_takes_item_of_ended_run(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))

    taken = need_lease(bench.agent().get(reporting(lease), takeover=True))

    assert taken.token == lease.token + 1
    done = bench.agent().complete(taken, "Done", evidence=[passed(MAKE)])
    assert done.state is State.COMPLETED


def test_foreign_token_reports_nothing(bench: Bench) -> None:
    lease = bench.claimed(bench.item(checks=(MAKE,)))
    guessed = replace(lease, claim="0" * 16)

    with pytest.raises(errors.LeaseLost):
        bench.agent().progress(guessed, "Half")


def test_evidence_ends_with_its_checks(bench: Bench) -> None:
    item = bench.item(checks=(MAKE,), reviewer="lead")
    bench.agent().complete(
        bench.claimed(item), "Done", evidence=[passed(MAKE)]
    )
    bench.queue.send_back(item, "Leave the tests to us")

    bench.queue.edit([item], ItemEdit(checks=()))

    assert bench.queue.views.show(item).item.evidence == ()
