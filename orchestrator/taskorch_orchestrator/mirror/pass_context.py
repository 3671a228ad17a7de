"""The objects that the steps of one pass share."""

from taskorch.domain.frozen import Frozen
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror.handoff_folder import HandoffFolder
from taskorch_orchestrator.mirror.sync_state import SyncState


class PassContext(Frozen):
    """The queue, the folder and the memory of one pass."""

    queue: Queue
    folder: HandoffFolder
    state: SyncState
    #: The session under which the file-based workers of this root hold their leases.
    session: str
