"""The context of a worker pool, which its slots share."""

from pathlib import Path

from taskorch.config.settings import Settings
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Caller
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import Connection

from taskorch_worker.lease_store import Workspace
from taskorch_worker.run.log import RunLog
from taskorch_worker.run.options import RunOptions
from taskorch_worker.run.output_log import OutputLogs
from taskorch_worker.run.reaper import Reaper
from taskorch_worker.run.tee import Tee
from taskorch_worker.run.worktrees import Worktrees


class PoolContext(Frozen):
    """The settings, connections and helpers of one worker pool."""

    settings: Settings
    options: RunOptions
    caller: Caller
    #: For every verb but the claims, which may have to be broken off.
    connection: Connection
    queue: AgentQueue
    workspace: Workspace
    pauses: ClaimPauses
    reaper: Reaper
    log: RunLog
    #: The logs with the output of the commands.
    logs: OutputLogs
    #: The printer of that output, with --tee.
    tee: Tee | None
    #: The git worktrees of the items, or None if the commands share a folder.
    worktrees: Worktrees | None
    #: The temporary folder for the files of the commands.
    folder: Path

    def queue_of(self, agent: str) -> AgentQueue:
        """Return the queue of an agent, on the same connection."""
        caller = replace(self.caller, agent=agent)
        return AgentQueue(self.connection, self.settings.namespace, caller)
