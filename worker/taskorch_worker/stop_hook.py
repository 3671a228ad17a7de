"""The end of an agent's turn: what it must not leave behind, said once."""

from collections.abc import Sequence

from taskorch.cli.hooks import Payload
from taskorch.domain.access import Access
from taskorch.domain.item import State
from taskorch.queue.briefing import HeldItem

from taskorch_worker import inherited_lease
from taskorch_worker.context import WorkerContext

#: What programs call the id of a turn.
TURNS = ("turn_id", "prompt_id", "generation_id")
REASON = """\
You still hold {items}, in progress. Before you stop, do one of these for each item:
 - it is done: worker complete {item} "SUMMARY" --deliverable NAME=VALUE
 - something stops you: worker blocker {item} "QUESTION" --needs "WHAT"
 - you cannot do it: worker fail {item} "REASON"; or give it back unharmed: worker release {item}
 - you go on later: worker progress {item} "WHERE IT STANDS" --percent N, and then stop"""


def before_stopping(said: Payload) -> str:
    """Return what the agent should do before it stops; "" where it holds nothing, or was told in this turn."""
    if (
        said.get("stop_hook_active")
        or said.get("loop_count")
        or said.get("status") in ("aborted", "error")
    ):
        return ""
    context = WorkerContext(Access.NONE)
    leases = (
        () if inherited_lease.lease() else context.session.leases()
    )  # run sees to the end of its own
    open_ = (
        [
            held
            for held in context.queue.prime(leases, limit=len(leases)).held
            if _is_open(held)
        ]
        if leases
        else []
    )
    if not open_ or not _is_first(context, said, open_):
        return ""
    ids = [held.claim.package.item.id for held in open_]
    return REASON.format(items=", ".join(ids), item=ids[0])


def _is_open(held: HeldItem) -> bool:
    """Return whether this session works on the item."""
    return (
        held.claim.lease is not None
        and held.claim.package.item.state is State.IN_PROGRESS
    )


def _is_first(context: WorkerContext, said: Payload, held: Sequence[HeldItem]) -> bool:
    """Return whether nothing was said in this turn. Without a turn to go by, that is until the agent reports again."""
    if "stop_hook_active" in said or "loop_count" in said:
        return True
    newest = [
        each.claim.package.history[-1].id for each in held if each.claim.package.history
    ]
    turn = next((str(said[name]) for name in TURNS if said.get(name)), " ".join(newest))
    return context.session.workspace.begins(str(said.get("session_id", "")), turn)
