"""The command that joins an agent's program to the queue: setup."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate

if TYPE_CHECKING:
    from collections.abc import Mapping


@orchestrate.command(epilog="Example: orchestrate setup claude --check")
@click.argument("program", type=click.Choice(("claude", "codex", "gemini", "cursor")))
@click.option(
    "--check", is_flag=True, help="Only look; exit 5 where something is missing."
)
@click.option(
    "--remove",
    is_flag=True,
    help="Take it out again: the files are as they were before.",
)
@click.option(
    "--user", is_flag=True, help="In your own configuration instead of the project's."
)
@click.option(
    "--yes",
    is_flag=True,
    help="Change the targets of symbolic links that lead out of the project.",
)
def setup(program: str, check: bool, remove: bool, user: bool, yes: bool) -> None:
    """Put hooks, MCP servers and a few words on the queue into the files of PROGRAM. All else in them stays as it is.

    They are those of the git checkout of the current folder, or of the folder itself.
    """
    from taskorch_orchestrator.render import setup as setup_render
    from taskorch_orchestrator.setup import install, programs

    if check and remove:
        raise click.UsageError("--check only looks: it goes without --remove.")
    top = (
        programs.of_user(program, os.environ) if user else programs.project(Path.cwd())
    )
    root = top if user else app.settings().root
    parts = programs.parts(program, top, os.environ, user=user)
    if check:
        files = install.check(parts)
    else:
        changes = install.removal(parts) if remove else install.addition(parts)
        # The links in a user's own configuration are the user's; those in a checkout may be anybody's.
        if not user and not yes:
            _ask_to_leave(top, install.outside(changes, top))
        files = install.apply(changes, top)
    app.output().show(files, setup_render.files)
    if any(each.status == "not current" for each in files):
        click.get_current_context().exit(errors.Invalid.exit_code)
    hints = () if check else setup_render.hints(program, top, root)
    if remove:
        hints = setup_render.taken_away(
            files, programs.of_others(program, top, os.environ, user=user)
        )
    for hint in hints:
        app.output().hint(hint)


def _ask_to_leave(top: Path, targets: "Mapping[Path, Path]") -> None:
    """Name the files outside the project, and ask whether to change them. Raises errors.LeavesProject without a yes."""
    from taskorch.cli.text import line

    if not targets:
        return
    links = [f"{file} -> {target}" for file, target in targets.items()]
    if sys.stdin is not None and sys.stdin.isatty():
        click.echo(
            "\n".join(["A symbolic link leads out of the project:", *map(line, links)]),
            err=True,
        )
        if click.confirm("Change the target?", err=True):
            return
    raise errors.LeavesProject(project=str(top), links=", ".join(links))
