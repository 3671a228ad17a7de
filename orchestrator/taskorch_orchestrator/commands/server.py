"""Commands for the bundled server of a root: status, start, stop."""

import click
from taskorch.cli import app

from taskorch_orchestrator.group import orchestrate


@orchestrate.group(cls=app.RoleGroup, epilog="Example: orchestrate server status")
def server() -> None:
    """Look at, start or stop the bundled server of this root."""


@server.command(epilog="Example: orchestrate server status")
def status() -> None:
    """Say whether the server runs, and where."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    app.output().show(bundled_server.status(app.settings()), tables.server)


@server.command(epilog="Example: orchestrate server start")
@click.option(
    "--repair",
    is_flag=True,
    help="Cut damaged data off where it begins; a copy is kept.",
)
@click.option(
    "--accept-data",
    is_flag=True,
    help="Load data that you know, such as a copied folder of another user.",
)
def start(*, repair: bool, accept_data: bool) -> None:
    """Start the server, unless it runs."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    settings, output = app.settings(), app.output()
    if accept_data:
        bundled_server.accept_data(settings)
    bundled_server.start(settings, output.notify, repair=repair)
    output.show(bundled_server.status(settings), tables.server)


@server.command(epilog="Example: orchestrate server stop")
def stop() -> None:
    """Stop the server; what it acknowledged is on the disk."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import tables

    settings = app.settings()
    bundled_server.stop(settings)
    app.output().show(bundled_server.status(settings), tables.server)
