"""Every verb in every state: the new state, the error, or "-" if nothing changes.

"-" means that no event is emitted either. It stands for a read (peek, or get of an item
that cannot be claimed or that the caller holds), an empty pop, or a harmless repeat:
complete of a completed item without other content (ack), accept of a completed item,
cancel of a cancelled, requeue of a queued item. Assigning an item to its own agent is an event, because it may add
context.

ada calls the verbs from pop to release, with the live token if there is one. A second
session of ada calls takeover without a token. The orchestrator calls the others.
"""

from typing import NamedTuple

import pytest
from support.builders import Bench
from support.verbs import AGENT_VERBS, ORCHESTRATOR_VERBS, act
from taskorch.domain import errors
from taskorch.domain.item import State

TABLE = """
              pending   waiting    queued      in_progress blocked     delayed    completed  failed     cancelled
pop           -         -          in_progress -           -           -          -          -          -
get           NotYours  -          in_progress -           -           -          -          -          -
peek          NotYours  -          -           -           -           -          -          -          -
takeover      NotYours  -          in_progress in_progress blocked     -          -          -          -
progress      NotYours  WrongState in_progress in_progress in_progress WrongState WrongState WrongState Cancelled
renew         NotYours  WrongState WrongState  in_progress blocked     WrongState WrongState WrongState Cancelled
discover      NotYours  WrongState in_progress in_progress blocked     WrongState WrongState WrongState Cancelled
blocker       NotYours  WrongState blocked     blocked     blocked     WrongState WrongState WrongState Cancelled
withdraw      NotYours  WrongState WrongState  NoQuestion  in_progress WrongState WrongState WrongState Cancelled
agent_comment NotYours  WrongState WrongState  in_progress blocked     WrongState WrongState WrongState Cancelled
complete      NotYours  WrongState completed   completed   completed   WrongState AlreadyCompleted WrongState Cancelled
complete-next NotYours  WrongState completed   completed   completed   WrongState AlreadyCompleted WrongState Cancelled
ack           NotYours  WrongState completed   completed   completed   WrongState -          WrongState Cancelled
fail          NotYours  WrongState WrongState  delayed     delayed     WrongState WrongState WrongState Cancelled
fail-next     NotYours  WrongState WrongState  delayed     delayed     WrongState WrongState WrongState Cancelled
release       NotYours  WrongState WrongState  queued      queued      WrongState WrongState WrongState Cancelled
assign        queued    waiting    queued      in_progress blocked     delayed    WrongState WrongState WrongState
assign-other  queued    waiting    queued      Held        Held        delayed    WrongState WrongState WrongState
assign-force  queued    waiting    queued      queued      queued      delayed    WrongState WrongState WrongState
depend        pending   waiting    waiting     WrongState  WrongState  waiting    WrongState WrongState WrongState
edit          pending   waiting    queued      Begun       Begun       delayed    WrongState failed     cancelled
edit-context  pending   waiting    queued      in_progress blocked     delayed    WrongState failed     cancelled
edit-label    pending   waiting    queued      in_progress blocked     delayed    completed  failed     cancelled
answer        NoQuestion NoQuestion NoQuestion NoQuestion  in_progress NoQuestion NoQuestion NoQuestion NoQuestion
comment       pending   waiting    queued      in_progress blocked     delayed    WrongState failed     WrongState
accept        WrongState WrongState WrongState WrongState  WrongState  WrongState -          WrongState WrongState
send-back     WrongState WrongState WrongState WrongState  WrongState  WrongState WrongState WrongState WrongState
cancel        cancelled cancelled  cancelled   cancelled   cancelled   cancelled  WrongState cancelled  -
requeue       WrongState WrongState -          WrongState  WrongState  WrongState queued     queued     queued
"""

#: The item waits for its reviewer.
IN_REVIEW = """
              review
pop           -
get           -
peek          -
takeover      -
progress      WrongState
renew         WrongState
discover      WrongState
blocker       WrongState
withdraw      WrongState
agent_comment WrongState
complete      AlreadyCompleted
complete-next AlreadyCompleted
ack           -
fail          WrongState
fail-next     WrongState
release       WrongState
assign        WrongState
assign-other  WrongState
assign-force  WrongState
depend        WrongState
edit          WrongState
edit-context  review
edit-label    review
answer        NoQuestion
comment       review
accept        completed
send-back     queued
cancel        cancelled
requeue       WrongState
"""

#: The lease expired and was reaped: the item is delayed, queued again or failed; or it
#: waits because a dependency was requeued. The holder's token is still alive.
EXPIRED = """
              waiting     delayed     queued      failed
pop           -           -           in_progress -
get           in_progress in_progress in_progress -
peek          -           -           -           -
takeover      -           -           in_progress -
progress      in_progress in_progress in_progress WrongState
renew         in_progress in_progress in_progress WrongState
discover      in_progress in_progress in_progress WrongState
blocker       blocked     blocked     blocked     WrongState
withdraw      NoQuestion  NoQuestion  NoQuestion  WrongState
agent_comment in_progress in_progress in_progress WrongState
complete      completed   completed   completed   completed
complete-next completed   completed   completed   completed
ack           completed   completed   completed   completed
fail          waiting     delayed     delayed     WrongState
fail-next     waiting     delayed     delayed     WrongState
release       waiting     queued      queued      WrongState
assign        waiting     delayed     queued      WrongState
assign-other  waiting     delayed     queued      WrongState
assign-force  waiting     delayed     queued      WrongState
depend        waiting     waiting     waiting     WrongState
edit          waiting     delayed     queued      failed
edit-context  waiting     delayed     queued      failed
edit-label    waiting     delayed     queued      failed
answer        NoQuestion  NoQuestion  NoQuestion  NoQuestion
comment       waiting     delayed     queued      failed
accept        WrongState  WrongState  WrongState  WrongState
send-back     WrongState  WrongState  WrongState  WrongState
cancel        cancelled   cancelled   cancelled   cancelled
requeue       WrongState  WrongState  -           queued
"""


class Cell(NamedTuple):
    verb: str
    state: State
    expired: bool
    outcome: str


def cells(table: str, *, expired: bool) -> list[Cell]:
    header, *rows = table.strip("\n").splitlines()
    states = [State(name) for name in header.split()]
    outcomes = [
        (verb, dict(zip(states, row, strict=True)))
        for verb, *row in map(str.split, rows)
    ]
    return [
        Cell(verb, state, expired, row[state])
        for verb, row in outcomes
        for state in states
    ]


def named(cell: Cell) -> str:
    return f"{cell.verb}-{'expired-' if cell.expired else ''}{cell.state}"


IN_TIME = cells(TABLE, expired=False) + cells(IN_REVIEW, expired=False)
CELLS = IN_TIME + cells(EXPIRED, expired=True)
NOTHING = [cell for cell in CELLS if cell.outcome == "-"]
REFUSED = [cell for cell in CELLS if cell.outcome[0].isupper()]
ACCEPTED = [
    cell for cell in CELLS if cell not in NOTHING and cell not in REFUSED
]


@pytest.mark.parametrize("cell", ACCEPTED, ids=named)
def test_accepted_verb_changes_state_and_emits_one_event(
    bench: Bench, cell: Cell
) -> None:
    lease = (
        bench.expired_lease(cell.state)
        if cell.expired
        else bench.lease_in(cell.state)
    )
    other = bench.item(agent="bob")
    before = len(bench.events())

    act(bench, cell.verb, lease, other)

    events = bench.events()[before:]
    assert bench.state(lease.item) == cell.outcome
    assert [(event["item"], event["state"]) for event in events] == [
        (lease.item, cell.outcome)
    ]
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("cell", REFUSED, ids=named)
def test_refused_verb_names_reason_and_changes_nothing(
    bench: Bench, cell: Cell
) -> None:
    lease = (
        bench.expired_lease(cell.state)
        if cell.expired
        else bench.lease_in(cell.state)
    )
    other = bench.item(agent="bob")
    before = bench.everything()

    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        act(bench, cell.verb, lease, other)

    assert refusal.type is getattr(errors, cell.outcome)
    assert lease.item in str(refusal.value)
    assert refusal.value.hint()
    assert bench.everything() == before
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("cell", NOTHING, ids=named)
def test_read_or_harmless_repeat_changes_no_state(
    bench: Bench, cell: Cell
) -> None:
    lease = (
        bench.expired_lease(cell.state)
        if cell.expired
        else bench.lease_in(cell.state)
    )
    other = bench.item(agent="bob")
    before = bench.events()

    act(bench, cell.verb, lease, other)

    assert bench.state(lease.item) is cell.state
    assert bench.events() == before
    assert bench.inconsistencies() == []


def test_table_has_every_state_and_verb() -> None:
    verbs = ["pop", *AGENT_VERBS, *ORCHESTRATOR_VERBS]

    table = {(cell.verb, cell.state) for cell in IN_TIME}

    assert table == {(verb, state) for verb in verbs for state in State}
    assert len(IN_TIME) == len(table)
