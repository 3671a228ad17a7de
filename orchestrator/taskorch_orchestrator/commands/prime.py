"""The command for a fresh start: prime."""

import os
from typing import TYPE_CHECKING

import click

from taskorch_orchestrator.group import is_workers, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.briefing import Briefing


@orchestrate.command(epilog="Example: orchestrate prime")
@click.option(
    "--hook-json",
    is_flag=True,
    help="Print it as the output of a session-start hook, but for workers.",
)
def prime(hook_json: bool) -> None:
    """Say what you need to go on after a fresh start. Silent where there is nothing to say, or no Redis."""
    from taskorch.cli import hooks

    from taskorch_orchestrator.render import briefing as briefing_render

    if not (hook_json and is_workers(os.environ)):
        hooks.prime(_briefing, briefing_render.briefing, hook_json=hook_json)


def _briefing() -> "Briefing | None":
    from taskorch.cli import app
    from taskorch.domain.access import Access

    from taskorch_orchestrator.briefing import briefing
    from taskorch_orchestrator.context import OrchestratorContext

    settings = app.settings()
    if not settings.is_set_up:
        return None
    views = OrchestratorContext(Access.NONE).queue_of().views
    return briefing(views, settings.orchestrator, settings.namespace)
