"""The `sync`, `sync status` and `service` commands, for the files of a root."""

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskorch.cli import app

from taskorch_orchestrator.commands.listen import Listen
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.group(
    cls=app.RoleGroup,
    invoke_without_command=True,
    epilog="Example: orchestrate sync --full",
)
@click.option(
    "--full",
    is_flag=True,
    help="Check every item, not only those that changed.",
)
@click.pass_context
def sync(context: click.Context, full: bool) -> None:
    """Sync the files of this root with Redis once.

    Reports in files go to Redis, and what Redis has is written to the files.
    """
    if context.invoked_subcommand is None:
        pass_context(_sync)(full=full)


def _sync(context: "OrchestratorContext", *, full: bool) -> None:
    from taskorch_orchestrator.mirror.handoff_writer import source_of
    from taskorch_orchestrator.mirror.mirror import Mirror
    from taskorch_orchestrator.render import sync as sync_render

    settings = context.settings
    mirror = Mirror(
        context.queue_of(), settings.root, source=source_of(settings)
    )
    context.output.show(mirror.sync(full=full), sync_render.done)


@sync.command(epilog="Example: orchestrate sync status --check")
@click.option(
    "--check",
    is_flag=True,
    help="Exit 5 unless this machine synced the files of this root within the last minute.",
)
@pass_context
def status(context: "OrchestratorContext", *, check: bool) -> None:
    """Show the sync state of each root, with its cursor, lag, service and problems."""
    from taskorch_orchestrator.mirror import sync_health
    from taskorch_orchestrator.render import sync as sync_render

    kept = context.queue.views.mirrors()
    if check:
        sync_health.require_recent_pass(kept, context.settings.root_path)
    context.output.show(
        kept,
        sync_render.mirrors,
        "No root is synced yet. Run: orchestrate sync",
    )


@orchestrate.command(
    epilog="Example: orchestrate service --root ~/project-a --root ~/project-b"
)
@click.option(
    "--root",
    "roots",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Root to sync. May be repeated.  [default: the current root]",
)
@click.option(
    "--no-rq",
    is_flag=True,
    envvar="TASKORCH_NO_RQ",
    help="Run the duties in a loop instead of as RQ jobs. Also: TASKORCH_NO_RQ=1",
)
@click.option(
    "--metrics",
    type=Listen(),
    metavar="HOST:PORT",
    help="Serve metrics for Prometheus over HTTP, to all who reach this address.",
)
def service(
    roots: tuple[Path, ...], no_rq: bool, metrics: tuple[str, int] | None
) -> None:
    """Sync files and maintain the queue until SIGTERM or Ctrl-C."""
    # Loading the service takes 0.3 s, and a signal must end it in the meantime, too.
    # PID 1 of a container ignores signals without a handler.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(0))
    from taskorch_orchestrator.service.start import serve

    serve(
        app.settings(),
        [root.resolve() for root in roots],
        with_rq=not no_rq,
        metrics=metrics,
    )
