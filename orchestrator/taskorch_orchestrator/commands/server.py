"""The `server` commands, for the bundled server of a root."""

from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.cli.text import counted
from taskorch.config.settings import Settings
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate

if TYPE_CHECKING:
    from taskorch.domain.server_status import UserServers


@orchestrate.group(
    cls=app.RoleGroup, epilog="Example: orchestrate server status"
)
def server() -> None:
    """Show, start, list or stop bundled servers."""


@server.command(epilog="Example: orchestrate server status")
def status() -> None:
    """Show whether the server runs, and where."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import servers

    app.output().show(bundled_server.status(app.settings()), servers.server)


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

    from taskorch_orchestrator.render import servers

    settings, output = app.settings(), app.output()
    if accept_data:
        bundled_server.accept_data(settings)
    bundled_server.start(settings, output.notify, repair=repair)
    output.show(bundled_server.status(settings), servers.server)


@server.command("list", epilog="Example: orchestrate server list")
def list_() -> None:
    """List the bundled servers of all your roots."""
    from taskorch.bundled import server_list

    _show(server_list.user_servers(app.settings()))


@server.command(epilog="Example: orchestrate server stop")
@click.option(
    "--all",
    "all_",
    is_flag=True,
    help="Stop the running servers of all your roots.",
)
def stop(*, all_: bool) -> None:
    """Stop the server. Everything it acknowledged is on disk."""
    from taskorch.bundled import server as bundled_server

    from taskorch_orchestrator.render import servers

    settings = app.settings()
    if all_:
        _stop_all(settings)
        return
    was_running = bundled_server.stop(settings)
    app.output().show(
        bundled_server.status(settings),
        lambda status: servers.stopped(
            status, settings.root_path, was_running=was_running
        ),
    )


def _stop_all(settings: Settings) -> None:
    from taskorch.bundled import server_list

    done = server_list.stop_all(settings)
    _show(done)
    failed = any(each.problem and each.status.running for each in done.servers)
    click.get_current_context().exit(
        errors.ServerFailed.exit_code if failed else 0
    )


def _show(found: "UserServers") -> None:
    """Print the servers, and on stderr the number of roots that are gone."""
    from taskorch_orchestrator.render import servers

    output = app.output()
    output.show(
        found.servers,
        servers.table,
        "You have no bundled server.",
        gone=found.gone,
    )
    if found.gone:
        roots = counted(
            len(found.gone),
            "root that no longer exists",
            "roots that no longer exist",
        )
        output.hint(f"Not listed: {roots}.")
