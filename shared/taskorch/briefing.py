"""What an agent needs to go on after a fresh start: who it is, what it holds, and its queue."""

from collections.abc import Mapping
from typing import cast

from taskorch import reply
from taskorch.frozen import Frozen
from taskorch.item import Caller, Claim, Item, Lease, Note
from taskorch.script import Reply


class Held(Frozen):
    """An item that the agent holds. Its lease is None where another session of the same name holds it."""

    _flat = "claim"

    claim: Claim
    #: The newest ones, oldest first.
    notes: tuple[Note, ...]


class Briefing(Frozen):
    """What an agent holds and what waits for it, the first items of each, and how many there are in all."""

    agent: str
    host: str
    session: str
    namespace: str
    held: tuple[Held, ...]
    held_count: int
    queue: tuple[Item, ...]
    queue_count: int
    #: Assigned too, but not ready: waiting for dependencies or for an answer, or delayed.
    later: int


def briefing(caller: Caller, namespace: str, leases: Mapping[str, Lease], view: Reply) -> Briefing:
    """Read `{{{package, {note …}} …}, held, queued, not ready, {item view …}}`; `leases` are those the caller keeps."""
    briefed, held, queued, later, views = cast("tuple[list[list[Reply]], int, int, int, Reply]", view)
    return Briefing(
        agent=caller.agent,
        host=caller.host,
        session=caller.session,
        namespace=namespace,
        held=tuple(_held(leases, *row) for row in briefed),
        held_count=held,
        queue=reply.items(views),
        queue_count=queued,
        later=later,
    )


def _held(leases: Mapping[str, Lease], package: Reply, notes: Reply) -> Held:
    id_, _, expires = cast("list[list[Reply]]", package)[0]
    shown = leases[str(id_)].shown() if str(id_) in leases else ""
    newest = [reply.note(entry) for entry in reply.rows(notes)]
    return Held(claim=reply.claim([id_, shown, expires, package]), notes=tuple(reversed(newest)))
