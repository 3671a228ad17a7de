"""The command `prime`."""

import os
from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.domain.access import Access

from taskorch_worker.group import worker

if TYPE_CHECKING:
    from taskorch.cli.hooks import Payload
    from taskorch.queue.briefing import AgentBriefing


@worker.command(epilog="Example: worker prime")
@click.option(
    "--hook-json",
    is_flag=True,
    help="Print it as the output of a session-start hook.",
)
def prime(hook_json: bool) -> None:
    """Print what you need to continue after a fresh start.

    Prints nothing without an agent name, a queue or Redis.
    """
    from taskorch.cli import hooks

    from taskorch_worker import inherited_lease
    from taskorch_worker.render import briefing

    run_item = os.environ.get(inherited_lease.ITEM, "")
    hooks.prime(
        _read_briefing,
        lambda read: briefing.briefing(read, run_item),
        role="worker",
        hook_json=hook_json,
    )


def _read_briefing(payload: "Payload") -> "AgentBriefing | None":
    """Return the briefing; at the start of a session, take over what others left.

    `payload` is the JSON of the program.
    """
    from taskorch.cli import hooks

    from taskorch_worker.context import WorkerContext

    settings = app.settings()
    if not settings.agent or not settings.is_set_up:
        return None
    if not payload:
        return WorkerContext(Access.NONE).session.prime()
    settings = hooks.begin_session(payload)
    session = WorkerContext(Access.NONE, settings).session
    session.adopt_leases()
    if _has_task(payload):
        return None
    return session.prime()


def _has_task(payload: "Payload") -> bool:
    """Return whether `worker run` has just given the program the whole task."""
    from taskorch_worker import inherited_lease

    reads = os.environ.get(inherited_lease.STDIN)
    return reads == "prompt" and payload.get("source") == "startup"
