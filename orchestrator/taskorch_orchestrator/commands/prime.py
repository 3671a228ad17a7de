"""The `prime` command."""

import os
from typing import TYPE_CHECKING

import click

from taskorch_orchestrator.group import is_workers, orchestrate

if TYPE_CHECKING:
    from taskorch.cli.hooks import Payload

    from taskorch_orchestrator.briefing import OrchestratorBriefing


@orchestrate.command(epilog="Example: orchestrate prime")
@click.option(
    "--hook-json",
    is_flag=True,
    help="Print the output of a session-start hook; nothing in a worker's session.",
)
def prime(hook_json: bool) -> None:
    """Print what you need to continue after a fresh start.

    Prints nothing if there is no queue, or if Redis is unreachable.
    """
    from taskorch.cli import hooks

    from taskorch_orchestrator.render import briefing as briefing_render

    if not (hook_json and is_workers(os.environ)):
        hooks.prime(
            _read,
            briefing_render.briefing,
            role="orchestrate",
            hook_json=hook_json,
        )


def _read(payload: "Payload") -> "OrchestratorBriefing | None":
    """Return the briefing, or None if there is no queue here.

    `payload` is the JSON of the program at the start of a session.
    """
    from taskorch.cli import app, hooks
    from taskorch.domain.access import Access

    from taskorch_orchestrator.briefing import briefing
    from taskorch_orchestrator.context import OrchestratorContext

    settings = app.settings()
    if not settings.is_set_up:
        return None
    if payload:
        hooks.begin_session(payload)
    views = OrchestratorContext(Access.NONE).queue_of().views
    return briefing(views, settings.orchestrator, settings.namespace)
