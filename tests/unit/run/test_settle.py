"""How `worker run` settles an item, and recognizes one that is already settled."""

from collections.abc import Sequence

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import replace
from taskorch.domain.item import State
from taskorch.queue.keys import tag
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_worker.run.outcome import Outcome
from taskorch_worker.run.settle import renew_lease, settle

OUTCOMES = {
    verb: Outcome(end=end, text="mine", deliverables={}, remark="")
    for verb, end in {
        "complete": AttemptEnd.COMPLETED,
        "fail": AttemptEnd.FAILED,
        "release": AttemptEnd.RELEASED,
    }.items()
}


class LateConnection(ConnectionWrapper):
    """A connection that repeats a verb after Redis has forgotten the first request."""

    def __init__(
        self, connection: Connection, bench: Bench, verb: str
    ) -> None:
        super().__init__(connection)
        self._bench = bench
        self._verb = verb

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if script.name != self._verb:
            return reply
        self._bench.raw.delete(
            f"{tag(self._bench.namespace)}req:{arguments[0]}"
        )
        return self.connection.run_script(script, key, arguments)


class UnreplicatedConnection(ConnectionWrapper):
    """A connection to a server whose replicas do not confirm a verb."""

    def __init__(self, connection: Connection, verb: str) -> None:
        super().__init__(connection)
        self._verb = verb

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if script.name == self._verb:
            error = errors.NotReplicated(
                reached=0, wanted=1, reason="there is no replica"
            )
            error.reply = reply
            raise error
        return reply


@pytest.mark.parametrize("verb", OUTCOMES)
def test_late_acknowledgement_is_settled_as_reported(
    bench: Bench, verb: str
) -> None:
    lease = bench.claimed()
    late = bench.with_connection(
        lambda connection: LateConnection(connection, bench, verb)
    )

    settled = settle(late.agent(), lease, OUTCOMES[verb])

    assert (settled.end, settled.state, settled.text) == (
        OUTCOMES[verb].end,
        bench.state(lease.item),
        "mine",
    )


@pytest.mark.parametrize("verb", OUTCOMES)
def test_unreplicated_report_is_settled_with_a_note(
    bench: Bench, verb: str
) -> None:
    lease = bench.claimed()
    unreplicated = bench.with_connection(
        lambda connection: UnreplicatedConnection(connection, verb)
    )

    settled = settle(unreplicated.agent(), lease, OUTCOMES[verb])

    assert (settled.end, settled.state) == (
        OUTCOMES[verb].end,
        bench.state(lease.item),
    )
    assert settled.text.startswith(
        "mine (The step was done, but only 0 of 1 replicas have it"
    )


def test_unreplicated_question_leaves_the_item_blocked(
    bench: Bench,
) -> None:
    lease = bench.lease_in(State.BLOCKED)
    unreplicated = bench.with_connection(
        lambda connection: UnreplicatedConnection(connection, "release")
    )

    settled = settle(unreplicated.agent(), lease, OUTCOMES["complete"])

    assert (settled.end, bench.state(lease.item)) == (
        AttemptEnd.BLOCKED,
        State.BLOCKED,
    )


def test_repeated_token_number_does_not_prove_a_report(
    bench: Bench,
) -> None:
    lost = bench.claimed()
    bench.undo_claim(lost.item)
    bench.claimed(lost.item)

    with pytest.raises(errors.LeaseLost):
        renew_lease(bench.agent(), lost)


def test_lease_released_by_the_command_is_not_lost(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().release(lease, reason="mine")

    renew_lease(bench.agent(), lease)

    assert (
        settle(bench.agent(), lease, OUTCOMES["complete"]).end
        is AttemptEnd.RELEASED
    )


def test_refused_program_without_report_fails(bench: Bench) -> None:
    lease = bench.claimed()
    refused = replace(OUTCOMES["complete"], refusal="all refused")

    settled = settle(bench.agent(), lease, refused)

    assert (settled.end, settled.text) == (AttemptEnd.FAILED, "all refused")
    assert bench.state(lease.item) is State.DELAYED


def test_report_of_refused_program_completes(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "Half of it")
    refused = replace(OUTCOMES["complete"], refusal="all refused")

    settled = settle(bench.agent(), lease, refused)

    assert (settled.end, settled.text) == (AttemptEnd.COMPLETED, "mine")
