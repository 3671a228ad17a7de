"""The command for a fresh start: prime."""

from typing import TYPE_CHECKING

import click

from taskorch_worker.role import worker

if TYPE_CHECKING:
    from taskorch.briefing import Briefing


@worker.command(epilog="Example: worker prime")
@click.option("--hook-json", is_flag=True, help="Print it as the output of a session-start hook.")
def prime(hook_json: bool) -> None:
    """Say what you need to go on after a fresh start. Silent where there is nothing to say, or no Redis."""
    from taskorch import hooked

    from taskorch_worker import briefing_render

    hooked.prime(_briefing, briefing_render.briefing, hook_json=hook_json)


def _briefing() -> "Briefing | None":
    from taskorch import command
    from taskorch.access import Access

    from taskorch_worker.desk import Desk

    settings = command.settings()
    if not settings.agent or not settings.is_set_up:
        return None
    desk = Desk(Access.NONE)
    return desk.queue.prime(desk.holding.leases())
