"""The `audit` command, for what clients of the gateway did."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION

from taskorch_orchestrator.commands.inspect import LIMIT
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(
    epilog="Example: orchestrate audit --token tok_1a2b3c4d --since 2h"
)
@click.option(
    "--token",
    default="",
    metavar="TOKEN",
    help="Only lines of this access token: its id.",
)
@click.option(
    "--name", default="", help="Only lines of tokens with this name."
)
@click.option(
    "--verb",
    default="",
    help="Only lines about this script, such as complete.",
)
@click.option(
    "--since",
    "since_ms",
    type=DURATION,
    help="Only lines of this time, such as 30m or 2h.  [default: all]",
)
@LIMIT
@click.option(
    "--follow",
    is_flag=True,
    help="Print all lines, the oldest first, and then new ones until Ctrl-C.",
)
@pass_context
def audit(
    context: "OrchestratorContext",
    token: str,
    name: str,
    verb: str,
    since_ms: int | None,
    limit: int,
    follow: bool,
) -> None:
    """List what clients of the gateway did, and what was refused, the newest first.

    The gateway writes a line for each step that changes something, together with the
    step, and for refused calls. A line has ids and names, never a text. Needs Redis, or
    the token of an administrator.
    """
    from taskorch.domain.audit_line import AuditFilter

    from taskorch_orchestrator.render import audit as render

    log = context.queue.audit_log()
    wanted = AuditFilter(
        token=token, name=name, verb=verb, since_ms=since_ms or 0
    )
    if follow:
        from taskorch_orchestrator.watch import stream

        stream.audit_lines(context, log, wanted)
        return
    context.output.show(log.newest(wanted, limit), render.table, "No lines.")
