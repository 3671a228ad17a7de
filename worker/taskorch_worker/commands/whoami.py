"""The command `whoami`."""

from typing import TYPE_CHECKING

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(epilog="Example: worker whoami")
@pass_context
def whoami(context: "WorkerContext") -> None:
    """Show your identity and the source of each setting."""
    from taskorch_worker.render import items

    identity = context.session.identity()
    context.output.show(identity, items.identity)
