"""The handoff of an item, and the notice to its agent in `pending_{agent}.txt`.

An agent deletes its pending file when it reads it. So an item is added once for each
assignment, and a missing file means that the agent has seen its items.
"""

from collections.abc import Iterable

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import file_names
from taskorch_orchestrator.mirror.file_models import HandoffPackage
from taskorch_orchestrator.mirror.pass_context import PassContext

#: A file-based worker sees items in these states: it does not know of dependencies and delays.
PUBLISHED = (State.QUEUED, State.IN_PROGRESS, State.BLOCKED)


class Notice(Frozen):
    """An item that its agent must be notified of."""

    agent: str
    item: str
    #: The number of the assignment.
    sequence: int


def publish(context: PassContext, record: MirrorRecord) -> bool:
    """Write the handoff of a published item, or remove it; return whether a file changed."""
    folder, state, item = context.folder, context.state, record.item
    name = file_names.handoff(item.id)
    if item.state not in PUBLISHED:
        removed = folder.remove(name)
        if removed:
            state.forget_file(name)
        return removed
    data = HandoffPackage.of(record).as_file()
    file = folder.read(name)
    if file and file.data == data:
        state.save_file(name, file.signature)
        return False
    state.save_file(name, folder.write(name, data))
    return True


def update_notice(context: PassContext, record: MirrorRecord) -> Notice | None:
    """Withdraw the notice of an agent that lost the item; return the one that is due now.

    The agent must be notified after its handoff is written: see `notify`.
    """
    item = record.item
    is_published = item.state in PUBLISHED
    notified, agent = context.state.notified(item.id)
    if agent and (agent != item.agent or not is_published):
        was_unread = context.folder.drop_line(file_names.pending(agent), item.id)
        if was_unread:
            context.state.set_notified(item.id, 0, agent)
    if is_published and notified != record.sequence:
        return Notice(agent=item.agent, item=item.id, sequence=record.sequence)
    return None


def notify(context: PassContext, agent: str, notices: Iterable[Notice]) -> set[str]:
    """Add items to the pending file of their agent; return those that could not be added."""
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
