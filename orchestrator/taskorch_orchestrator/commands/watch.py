"""The `watch` command."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.output import on_terminal

from taskorch_orchestrator.commands.project_option import project_option
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(epilog="Example: orchestrate watch proj_1a2b3c4d")
@project_option()
@click.option(
    "--since",
    default="",
    metavar="CURSOR",
    help="Start after this cursor.",
)
@pass_context
def watch(context: "OrchestratorContext", project: str, since: str) -> None:
    """Watch the events of PROJECT, or of all projects.

    On a terminal, a live screen. In a pipe or with --json, a line of JSON for each
    event. Ends when PROJECT is closed, or with Ctrl-C.
    """
    from taskorch_orchestrator.render import console
    from taskorch_orchestrator.watch import stream

    streams = context.output.as_json or not on_terminal()
    if streams or console.console().is_dumb_terminal:
        stream.events(context, project, since)
    else:
        from taskorch_orchestrator.watch import live

        live.watch(context, project, since)
