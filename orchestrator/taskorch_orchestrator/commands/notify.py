"""The `notify` command, for the targets of notifications."""

import os
from typing import TYPE_CHECKING

import click
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

NONE = "There are no targets: config.toml has no [[notify]]."


@orchestrate.command(epilog="Example: orchestrate notify --test")
@click.option(
    "--test", "tests", is_flag=True, help="Send a test message to each target."
)
@pass_context
def notify(context: "OrchestratorContext", tests: bool) -> None:
    """List the targets of notifications, and what became of the messages.

    The service sends them to the targets that config.toml names. With --test, exit 5
    unless each target takes the message.
    """
    from taskorch.config.settings import notify_targets

    from taskorch_orchestrator.notify import targets
    from taskorch_orchestrator.render import notify as render

    found = notify_targets(context.settings, os.environ)
    if not tests:
        statuses = targets.statuses(context.queue, found)
        context.output.show(statuses, render.table, NONE)
        return
    tested = targets.test(found, context.settings.namespace)
    context.output.show(tested, render.tested, NONE)
    if not all(each.sent for each in tested):
        click.get_current_context().exit(errors.Invalid.exit_code)
