"""What `worker run` says of an item at its end, and what it takes for said already."""

from collections.abc import Sequence

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.queue.keys import tag
from taskorch.queue.port import Argument, Connection, ConnectionWrapper, Reply, Script
from taskorch_worker.run.outcome import AttemptEnd, Outcome
from taskorch_worker.run.settle import renew_lease, settle

OUTCOMES = {
    verb: Outcome(end=end, text="mine", deliverables={}, remark="")
    for verb, end in {
        "complete": AttemptEnd.COMPLETED,
        "fail": AttemptEnd.FAILED,
        "release": AttemptEnd.RELEASED,
    }.items()
}


class Late(ConnectionWrapper):
    """A connection whose reply to a verb is lost for longer than Redis keeps it, and which makes the call again."""

    def __init__(self, connection: Connection, bench: Bench, verb: str) -> None:
        super().__init__(connection)
        self._bench = bench
        self._verb = verb

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if script.name != self._verb:
            return reply
        self._bench.raw.delete(f"{tag(self._bench.namespace)}req:{arguments[0]}")
        return self.connection.run_script(script, key, arguments)


class Lonely(ConnectionWrapper):
    """A connection to a server whose replicas do not have what a verb did."""

    def __init__(self, connection: Connection, verb: str) -> None:
        super().__init__(connection)
        self._verb = verb

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if script.name == self._verb:
            raise errors.NotReplicated(reached=0, wanted=1, reason="there is none")
        return reply


@pytest.mark.parametrize("verb", OUTCOMES)
def test_what_was_said_long_before_it_was_acknowledged_is_told_as_it_is(
    bench: Bench, verb: str
) -> None:
    lease = bench.claimed()
    doubtful = bench.over(lambda connection: Late(connection, bench, verb))

    settled = settle(doubtful.agent(), lease, OUTCOMES[verb])

    assert (settled.end, settled.state, settled.text) == (
        OUTCOMES[verb].end,
        bench.state(lease.item),
        "mine",
    )


@pytest.mark.parametrize("verb", OUTCOMES)
def test_what_is_not_on_enough_replicas_is_done_and_that_is_told(
    bench: Bench, verb: str
) -> None:
    lease = bench.claimed()
    lonely = bench.over(lambda connection: Lonely(connection, verb))

    settled = settle(lonely.agent(), lease, OUTCOMES[verb])

    assert (settled.end, settled.state) == (OUTCOMES[verb].end, bench.state(lease.item))
    assert settled.text.startswith("mine (It is done, but only 0 of 1 replicas have it")


def test_a_question_that_is_not_on_enough_replicas_is_left_all_the_same(
    bench: Bench,
) -> None:
    lease = bench.standing(State.BLOCKED)
    lonely = bench.over(lambda connection: Lonely(connection, "release"))

    settled = settle(lonely.agent(), lease, OUTCOMES["complete"])

    assert (settled.end, bench.state(lease.item)) == (AttemptEnd.BLOCKED, State.BLOCKED)


def test_a_number_that_a_failover_gave_out_twice_is_no_sign_that_the_command_has_ended_its_claim(
    bench: Bench,
) -> None:
    lost = bench.claimed()
    bench.forget_claim(lost.item)
    bench.claimed(lost.item)

    with pytest.raises(errors.LeaseLost):
        renew_lease(bench.agent(), lost)


def test_a_lease_that_the_command_gave_up_itself_is_not_lost(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().release(lease, reason="mine")

    renew_lease(bench.agent(), lease)

    assert settle(bench.agent(), lease, OUTCOMES["complete"]).end is AttemptEnd.RELEASED
