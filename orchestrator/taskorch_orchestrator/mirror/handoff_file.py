"""The handoff of an item, and the notice to its agent in `pending_{agent}.txt`.

An agent deletes its pending file when it reads it. So an item is added once for each
assignment, and a missing file means that the agent has seen its items.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import file_names, handoff_package
from taskorch_orchestrator.mirror.handoff_folder import HandoffFolder

if TYPE_CHECKING:
    # `assign` writes handoffs, too, and does without SQLite
    from taskorch_orchestrator.mirror.pass_context import PassContext

#: File-based workers see items in these states: they ignore dependencies and delays.
PUBLISHED = (State.QUEUED, State.IN_PROGRESS, State.BLOCKED)
#: The agent has completed the item.
DELIVERED = (State.REVIEW, State.COMPLETED)


class Notice(Frozen):
    """An item that its agent must be notified of."""

    agent: str
    item: str
    #: The number of the assignment.
    sequence: int


def publish(context: "PassContext", record: MirrorRecord) -> bool:
    """Write or remove the handoff of an item; return whether a file changed."""
    name = file_names.handoff(record.item.id)
    signature, is_changed = write(context.folder, record)
    if signature:
        context.state.save_file(name, signature)
    elif is_changed:
        context.state.forget_file(name)
    return is_changed


def write(
    folder: HandoffFolder, record: MirrorRecord
) -> tuple[str | None, bool]:
    """Write the handoff of an item, or remove it if workers must not see the item.

    That of a completed item, or of one in review, is kept in `done/`. Return the
    signature of the file, None without one, and whether a file changed.
    """
    name = file_names.handoff(record.item.id)
    if record.item.state in DELIVERED:
        return None, folder.move_to_done(name)
    if not is_published(record.item):
        return None, folder.remove(name)
    file = folder.read(name)
    if file and handoff_package.is_current(file.data, record):
        return file.signature, False
    signature = folder.write(name, handoff_package.content(record))
    folder.remove_done(name)
    return signature, True


def is_published(item: Item) -> bool:
    """Return whether an item has a handoff: file workers see it as assigned and ready.

    File workers have no pools, so an item that waits in one has no handoff until an
    agent claims it.
    """
    return item.state in PUBLISHED and bool(item.agent)


def update_notice(
    context: "PassContext", record: MirrorRecord
) -> Notice | None:
    """Withdraw the notice of an agent that lost the item; return the new notice.

    The agent must be notified after its handoff is written: see `notify`.
    """
    item, sequence = record.item, record.sequence
    has_file = is_published(item)
    notified, agent = context.state.notified(item.id)
    has_lost_item = agent != item.agent or not has_file
    if agent and has_lost_item:
        file = file_names.pending(agent)
        was_unread = context.folder.drop_line(file, item.id)
        # an item that is sent back is a new notice
        if was_unread or item.state is State.REVIEW:
            context.state.set_notified(item.id, 0, agent)
    if has_file and notified != sequence:
        return Notice(agent=item.agent, item=item.id, sequence=sequence)
    return None


def notify(
    context: "PassContext", agent: str, notices: Iterable[Notice]
) -> set[str]:
    """Add items to the pending file of their agent; return those that are not added."""
    state, name = context.state, file_names.pending(agent)
    items = {notice.item: notice.sequence for notice in notices}
    state.clear_troubles(name)
    try:
        context.folder.add_lines(name, items)
    except OSError as error:
        state.add_trouble(name, name, error.strerror or str(error))
        return set(items)
    for item, sequence in items.items():
        state.set_notified(item, sequence, agent)
    return set()
