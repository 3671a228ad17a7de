"""The `setup` command."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.domain import errors
from taskorch.domain.frozen import replace

from taskorch_orchestrator.group import is_workers, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.setup.install import Changes
    from taskorch_orchestrator.setup.programs import Target
    from taskorch_orchestrator.setup.remote_server import RemoteServer, Role


@orchestrate.command(epilog="Example: orchestrate setup claude --check")
@click.argument(
    "program",
    type=click.Choice(
        ("claude", "codex", "gemini", "cursor", "opencode", "qwen")
    ),
)
@click.option(
    "--check",
    is_flag=True,
    help="Check without changing anything; exit 5 if something is missing.",
)
@click.option(
    "--remove",
    is_flag=True,
    help="Remove what setup added, and restore the files.",
)
@click.option(
    "--user",
    is_flag=True,
    help="Change your own configuration instead of the project's.",
)
@click.option(
    "--approve/--no-approve",
    default=None,
    help="Let the program call our tools without asking. Default: yes.",
)
@click.option(
    "--role",
    type=click.Choice(("worker", "orchestrator")),
    help="With --url: whose tools. Default: a worker's if AGENT_ID is set, else an orchestrator's.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="Change files outside the project that symbolic links lead to.",
)
def setup(
    program: str,
    check: bool,
    remove: bool,
    user: bool,
    approve: bool | None,
    role: "Role | None",
    yes: bool,
) -> None:
    """Add hooks, an MCP server and instructions to an agent program.

    With --url, the MCP server is that of a gateway, and the program shows it the access
    token in TASKORCH_TOKEN.

    The files are those of the git checkout of the current folder, or else of the folder
    itself. Everything else in them stays.
    """
    if check and remove:
        raise click.UsageError(
            "--check changes nothing: leave it out, or leave out --remove."
        )
    if remove and approve is not None:
        raise click.UsageError(
            "--remove also removes the approval: leave out the other option."
        )
    url = app.flag("url")
    if role and not url:
        raise click.UsageError("--role needs --url.")
    target = _target(program, user=user)
    if url:
        target = replace(target, remote=_remote(url, role))
    elif check or remove:
        target = _as_installed(program, target)
    if check:
        _check(program, replace(target, approves=approve))
    elif remove:
        _remove(program, replace(target, approves=True), yes=yes)
    else:
        approves = approve is None or approve
        _add(program, replace(target, approves=approves), yes=yes)


def _target(program: str, *, user: bool) -> "Target":
    from taskorch_orchestrator.setup import programs

    root = (
        programs.of_user(program, os.environ)
        if user
        else programs.project(Path.cwd())
    )
    return programs.Target(root=root, is_user=user, environment=os.environ)


def _remote(url: str, role: "Role | None") -> "RemoteServer":
    from taskorch_orchestrator.setup import remote_server

    of_session: Role = "worker" if is_workers(os.environ) else "orchestrator"
    return remote_server.of_gateway(url, role or of_session)


def _as_installed(program: str, target: "Target") -> "Target":
    """Return a target with the server of the gateway that the program has, if any."""
    from taskorch_orchestrator.setup import install, programs

    parts = programs.parts(program, target)
    return replace(target, remote=install.remote_of(parts))


def _check(program: str, target: "Target") -> None:
    """Print the state of each file, and exit with 5 unless all are current."""
    from taskorch_orchestrator.render import setup as setup_render
    from taskorch_orchestrator.setup import install, programs

    files = install.check(programs.parts(program, target))
    app.output().show(files, setup_render.files)
    if any(each.status == "not current" for each in files):
        click.get_current_context().exit(errors.Invalid.exit_code)


def _remove(program: str, target: "Target", *, yes: bool) -> None:
    from taskorch_orchestrator.render import setup as setup_render
    from taskorch_orchestrator.setup import install, programs

    changes = install.removal(programs.parts(program, target))
    _confirm_targets(changes, target, yes=yes)
    files = install.apply(changes, target.root)
    app.output().show(files, setup_render.files)
    others = {
        other: frozenset(file.resolve() for file in parts)
        for other, parts in programs.of_others(
            program, replace(target, approves=None)
        ).items()
        if install.has_any(parts)
    }
    for hint in setup_render.lost_parts(files, others):
        app.output().hint(hint)


def _add(program: str, target: "Target", *, yes: bool) -> None:
    from taskorch_orchestrator.render import setup as setup_render
    from taskorch_orchestrator.setup import (
        commands,
        install,
        installed,
        programs,
    )

    queue_root = target.root if target.is_user else app.settings().root
    found = commands.find(os.environ)
    target = replace(target, commands=found)
    changes = install.addition(programs.parts(program, target))
    _confirm_targets(changes, target, yes=yes)
    files = install.apply(changes, target.root)
    app.output().show(files, setup_render.files)
    for hint in setup_render.hints(
        program, target, queue_root, installed.find(program, os.environ)
    ):
        app.output().hint(hint)


def _confirm_targets(
    changes: "Changes", target: "Target", *, yes: bool
) -> None:
    """List the files outside a project that would change, and ask whether to do so.

    Links in the user's own configuration are the user's. Links in a checkout may have
    arrived with it. Raises errors.LeavesProject unless the answer is yes.
    """
    from taskorch.cli.text import line

    from taskorch_orchestrator.setup import install

    outside = install.outside(changes, target.root)
    if yes or target.is_user or not outside:
        return
    links = [f"{file} -> {leads_to}" for file, leads_to in outside.items()]
    if sys.stdin is not None and sys.stdin.isatty():
        shown = [
            "A symbolic link leads out of the project:",
            *map(line, links),
        ]
        click.echo("\n".join(shown), err=True)
        if click.confirm("Change the target?", err=True):
            return
    raise errors.LeavesProject(
        project=str(target.root), links=", ".join(links)
    )
