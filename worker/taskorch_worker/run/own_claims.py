"""Releases the items that a command of `worker run` has claimed itself.

The run renews only the lease on the item that it gave to the command. When the command
has ended, no process works on the others.
"""

from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Lease

from taskorch_worker.lease_store import Workspace
from taskorch_worker.run import outcome
from taskorch_worker.run.context import PoolContext
from taskorch_worker.run.settle import settle


def release_own_claims(context: PoolContext, run: Lease) -> None:
    """Release what the command for the item of `run` claimed, and log it.

    It may have called as several agents. An item with an open question is left to its
    answer.
    """
    for workspace in context.workspace.of_all_agents():
        for lease in workspace.claimed_in_run(run):
            _release(context, workspace, lease, run.item)


def _release(
    context: PoolContext, workspace: Workspace, lease: Lease, run_item: str
) -> None:
    queue = context.queue_of(workspace.agent)
    settled = settle(queue, lease, outcome.of_command_end(run_item))
    if settled.end is AttemptEnd.UNSAID:
        return
    workspace.forget(lease.item)
    context.log.notify(
        f"{run_item}: its command also claimed {lease.item}, which is"
        f" {settled.end}."
    )
