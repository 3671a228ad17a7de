"""The command that watches: watch."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.output import on_terminal

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(epilog="Example: orchestrate watch proj_1a2b3c4d")
@click.argument("project", default="")
@click.option(
    "--since",
    default="",
    metavar="CURSOR",
    help="Begin with what came after this cursor.",
)
@pass_context
def watch(context: "OrchestratorContext", project: str, since: str) -> None:
    """Watch what happens, in PROJECT or in all projects.

    A live screen on a terminal; in a pipe, or with --json, a line of JSON for each event. It ends with PROJECT, or by
    Ctrl-C.
    """
    from taskorch_orchestrator.render import console
    from taskorch_orchestrator.watch import stream

    if (
        on_terminal()
        and not context.output.as_json
        and not console.console().is_dumb_terminal
    ):
        from taskorch_orchestrator.watch import live

        live.watch(context, project, since)
    else:
        stream.events(context, project, since)
