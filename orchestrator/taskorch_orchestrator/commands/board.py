"""The `board` command."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.config import root_folder
from taskorch.config.settings import is_gateway
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role

from taskorch_orchestrator.commands import gateway_module
from taskorch_orchestrator.group import ACCESS, orchestrate

if TYPE_CHECKING:
    from taskorch.queue.access_tokens import AccessTokens

    from taskorch_orchestrator.context import OrchestratorContext

#: The board listens on it if no other program does.
PORT = 8650
ANY_PORT = 0
#: As many as `orchestrate gateway` allows without an option.
CALLS_A_SECOND = 1000
#: The roles that see the board. A worker sees its own queue only.
ROLES = (Role.ADMIN, Role.ORCHESTRATOR, Role.VIEWER)
FILE = click.Path(dir_okay=False, allow_dash=True, path_type=Path)


class Person(Frozen):
    """The person who opens the board."""

    #: What the board allows.
    role: Role
    #: The port that was asked for, None for any.
    port: int | None
    #: Whether the browser is opened.
    opens: bool


@orchestrate.command(epilog="Example: orchestrate board")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help=f"Port to listen on.  [default: {PORT}, else a free one]",
)
@click.option(
    "--role",
    type=click.Choice([role.value for role in ROLES]),
    default=Role.ADMIN.value,
    show_default=True,
    help="What the board allows the person who opens the link.",
)
@click.option(
    "--no-open", is_flag=True, help="Print the link, and open no browser."
)
@click.option(
    "--snapshot",
    type=FILE,
    metavar="FILE",
    help="Write what is happening now to FILE, as one static HTML page, and exit; "
    "- for standard output.",
)
def board(
    port: int | None, role: str, no_open: bool, snapshot: Path | None
) -> None:
    """Open the board in a browser: who needs you, and what the agents are doing.

    The link that is printed and opened works once, within 10 minutes. The board is
    served on this machine alone, by the gateway of this root that runs here, else until
    Ctrl-C by this command. Needs the extra gateway: see orchestrate docs board.
    """
    if snapshot:
        _write_snapshot(snapshot)
        return
    person = Person(role=Role(role), port=port, opens=not no_open)
    settings = app.settings()
    if is_gateway(settings.redis_url):
        _show_remote(settings.redis_url, person)
    else:
        _open_board(person)


def _write_snapshot(file: Path) -> None:
    """Write the static page to a file, or to standard output."""
    from taskorch_orchestrator.board import snapshot_file
    from taskorch_orchestrator.render import board as render

    page: str = gateway_module.load("snapshot").page(app.settings())
    if str(file) == "-":
        snapshot_file.to_stdout(page)
    else:
        app.output().show(snapshot_file.write(page, file), render.written)


def _show_remote(url: str, person: Person) -> None:
    """Show the board of a gateway elsewhere, which no link signs in to."""
    from taskorch_orchestrator.board import browser
    from taskorch_orchestrator.board.opened_board import OpenedBoard
    from taskorch_orchestrator.render import board as render

    output = app.output()
    shown = OpenedBoard(url=url, link="", pid=0, started=False)
    output.hint(render.SIGN_IN)
    output.show(shown, render.opened)
    if person.opens and browser.is_here(os.environ):
        browser.open_link(url, wait_s=browser.STARTED_WITHIN_S)


def _open_board(person: Person) -> None:
    """Open the board of the gateway that runs here, or start one."""
    from taskorch_orchestrator.board import gateway_record, sign_in_link
    from taskorch_orchestrator.context import OrchestratorContext

    context = OrchestratorContext(ACCESS[app.command_name()])
    # before anything is started, Redis has to answer
    sign_in_link.remove_expired(_tokens(context))
    if running := gateway_record.find(context.settings):
        _show(context, person, running.url, running.pid)
        return
    try:
        _serve(context, person, person.port or PORT)
    except errors.PortTaken:
        if person.port:
            raise
        # another command may have started a gateway in the meantime
        if running := gateway_record.find(context.settings):
            _show(context, person, running.url, running.pid)
        else:
            _serve(context, person, ANY_PORT)


def _serve(context: "OrchestratorContext", person: Person, port: int) -> None:
    """Serve the board on a port until SIGTERM or Ctrl-C. Raises errors.PortTaken."""
    import logging

    server = gateway_module.load("server")
    with suppress(OSError, errors.TaskOrchestratorError):
        # holds the record of the gateway; without it, none is found
        root_folder.create(context.settings.folder)
    listener = server.Listener(
        host="127.0.0.1",
        port=port,
        workers=1,
        certificate="",
        key="",
        host_names=(),
        calls_per_second=CALLS_A_SECOND,
        opens_board=True,
        log_level=logging.WARNING,
    )

    def ready(url: str) -> None:
        _show(context, person, url, os.getpid())

    try:
        server.serve(context.settings, listener, ready)
    except KeyboardInterrupt:
        context.output.hint("The board has stopped.")


def _show(
    context: "OrchestratorContext", person: Person, url: str, pid: int
) -> None:
    """Print a link to the board at an address, and open it."""
    from taskorch_orchestrator.board import browser, sign_in_link
    from taskorch_orchestrator.board.opened_board import OpenedBoard
    from taskorch_orchestrator.render import board as render

    name = context.settings.orchestrator
    shown = OpenedBoard(
        url=url,
        link=sign_in_link.create(_tokens(context), url, name, person.role),
        pid=pid,
        started=pid == os.getpid(),
    )
    is_here = browser.is_here(os.environ)
    context.output.hint(render.introduced(shown))
    context.output.show(shown, render.opened)
    if not is_here:
        context.output.hint(
            render.elsewhere(browser.forwarding(url, os.environ))
        )
    if shown.started:
        context.output.hint(render.STOP)
    if person.opens and is_here:
        # the command that serves the board outlives the start of the browser
        wait_s = 0.0 if shown.started else browser.STARTED_WITHIN_S
        browser.open_link(shown.link, wait_s=wait_s)


def _tokens(context: "OrchestratorContext") -> "AccessTokens":
    """Return the access tokens, for those that the board creates."""
    from taskorch_orchestrator.board import sign_in_link

    return context.queue_of(sign_in_link.CREATORS[0]).access_tokens()
