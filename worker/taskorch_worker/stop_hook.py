"""The stop hook of an agent program: a reminder of unfinished items, once per turn."""

from collections.abc import Sequence

from taskorch.cli import app, quoting
from taskorch.cli.hooks import Payload, in_session
from taskorch.domain import limits
from taskorch.domain.access import Access
from taskorch.domain.item import State
from taskorch.queue.briefing import HeldItem

from taskorch_worker.context import WorkerContext

#: The names that programs have for the id of a turn.
TURN_IDS = ("turn_id", "prompt_id", "generation_id")
REMINDER = """\
You still hold {items}, in progress. Before you stop, do one of these for each item:
 - it is done: worker complete {item} "SUMMARY" --deliverable NAME=VALUE
 - something blocks you: worker blocker {item} "QUESTION" --needs "WHAT"
 - you cannot do it: worker fail {item} "REASON"; to return it unchanged: worker release {item}
 - you will continue later: worker progress {item} "STATUS" --percent N, and then stop"""

COMMENTED = """\
The orchestrator has commented on items that you hold. {data}

{comments}

Read them before you stop: worker get {item}"""
#: Comments that a reminder shows, and the bytes of each: the rest is in `worker get`.
COMMENTS_SHOWN = 5
COMMENT_BYTES = 1000


def reminder(payload: Payload) -> str:
    """Return what the agent should do before it stops.

    Return "" if it holds no item in progress, or was reminded in this turn. `payload`
    is the JSON of the program.
    """
    if _was_reminded(payload) or payload.get("status") in ("aborted", "error"):
        return ""
    settings = in_session(app.settings(), payload)
    context = WorkerContext(Access.NONE, settings)
    session = context.session
    # `worker run` settles the item of its command.
    inherited = session.store.inherited
    leases = [each for each in session.store.leases() if each != inherited]
    if not leases:
        return ""
    briefing = session.queue.prime(
        leases, limit=min(len(leases), limits.SHOWN_ITEMS)
    )
    mine = [held for held in briefing.held if held.claim.lease]
    unfinished = [
        held
        for held in mine
        if held.claim.package.item.state is State.IN_PROGRESS
    ]
    commented = [held for held in mine if held.claim.new_comments]
    if not unfinished and not commented:
        return ""
    if not _is_new_turn(context, payload, unfinished or commented):
        return ""
    parts = []
    if commented:
        parts.append(_new_comments(commented))
    if unfinished:
        ids = [held.claim.package.item.id for held in unfinished]
        items = ", ".join(ids)
        parts.append(REMINDER.format(items=items, item=ids[0]))
    return "\n\n".join(parts)


def _new_comments(commented: Sequence[HeldItem]) -> str:
    """Return the new comments on items, fenced, and the command that reads them."""
    lines = []
    for held in commented:
        claim = held.claim
        for entry in claim.package.history:
            if entry.id in claim.new_comments:
                text = quoting.report(entry, length=COMMENT_BYTES)
                lines.append(f"{claim.package.item.id} {text}")
    item = commented[0].claim.package.item.id
    shown = quoting.fenced(lines[-COMMENTS_SHOWN:])
    return COMMENTED.format(data=quoting.DATA, comments=shown, item=item)


def _was_reminded(payload: Payload) -> bool:
    """Return whether the program says so; programs that tell it send one of the two."""
    return bool(payload.get("stop_hook_active") or payload.get("loop_count"))


def _is_new_turn(
    context: WorkerContext, payload: Payload, unfinished: Sequence[HeldItem]
) -> bool:
    """Return whether the agent was not reminded in this turn yet.

    For a program without turn ids, a turn lasts until the next report on an item.
    """
    if "stop_hook_active" in payload or "loop_count" in payload:
        return True
    turn = ""
    for name in TURN_IDS:
        turn = turn or str(payload.get(name) or "")
    if not turn:
        turn = _newest_reports(unfinished)
    program_session = str(payload.get("session_id", ""))
    workspace = context.session.workspace
    return workspace.begin_turn(program_session, turn)


def _newest_reports(unfinished: Sequence[HeldItem]) -> str:
    """Return the id of the newest report on each item."""
    ids = []
    for held in unfinished:
        history = held.claim.package.history
        if history:
            ids.append(history[-1].id)
    return " ".join(ids)
