"""The command for a fresh start: prime."""

import os
from typing import TYPE_CHECKING

import click

from taskorch_orchestrator.role import is_workers, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.briefing import Briefing


@orchestrate.command(epilog="Example: orchestrate prime")
@click.option("--hook-json", is_flag=True, help="Print it as the output of a session-start hook, but for workers.")
def prime(hook_json: bool) -> None:
    """Say what you need to go on after a fresh start. Silent where there is nothing to say, or no Redis."""
    from taskorch import hooked

    from taskorch_orchestrator import briefing_render

    if not (hook_json and is_workers(os.environ)):
        hooked.prime(_briefing, briefing_render.briefing, hook_json=hook_json)


def _briefing() -> "Briefing | None":
    from taskorch import command
    from taskorch.access import Access

    from taskorch_orchestrator.briefing import briefing
    from taskorch_orchestrator.office import Office

    settings = command.settings()
    if not settings.is_set_up:
        return None
    views = Office(Access.NONE).queue_of().views
    return briefing(views, settings.orchestrator, settings.namespace)
