"""The `server` commands, for the bundled server of a root."""

import click
from taskorch.cli import app

from taskorch_orchestrator.group import orchestrate


@orchestrate.group(
    cls=app.RoleGroup, epilog="Example: orchestrate server status"
)
def server() -> None:
    """Show, start or stop the bundled server of this root."""


@server.command(epilog="Example: orchestrate server status")
def status() -> None:
    """Show whether the server runs, and where."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    app.output().show(bundled_server.status(app.settings()), tables.server)


@server.command(epilog="Example: orchestrate server start")
@click.option(
    "--repair",
    is_flag=True,
    help="Truncate damaged data where the damage starts, and keep a copy.",
)
@click.option(
    "--accept-data",
    is_flag=True,
    help="Load data of another user, such as a copied folder, that you trust.",
)
def start(*, repair: bool, accept_data: bool) -> None:
    """Start the server, unless it runs already."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    settings, output = app.settings(), app.output()
    if accept_data:
        bundled_server.accept_data(settings)
    bundled_server.start(settings, output.notify, repair=repair)
    output.show(bundled_server.status(settings), tables.server)


@server.command(epilog="Example: orchestrate server stop")
def stop() -> None:
    """Stop the server. Everything it acknowledged is on disk."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    settings = app.settings()
    bundled_server.stop(settings)
    app.output().show(bundled_server.status(settings), tables.server)
