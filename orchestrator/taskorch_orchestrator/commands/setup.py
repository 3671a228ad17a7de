"""The `setup` command."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@orchestrate.command(epilog="Example: orchestrate setup claude --check")
@click.argument(
    "program", type=click.Choice(("claude", "codex", "gemini", "cursor"))
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
    "--yes",
    is_flag=True,
    help="Change files outside the project that symbolic links lead to.",
)
def setup(
    program: str, check: bool, remove: bool, user: bool, yes: bool
) -> None:
    """Add hooks, an MCP server and instructions to an agent program.

    Their other content stays. The files are those of the git checkout of the current
    folder, or of the folder itself.
    """
    from taskorch_orchestrator.render import setup as setup_render
    from taskorch_orchestrator.setup import install, programs

    if check and remove:
        raise click.UsageError(
            "--check changes nothing: leave it out, or leave out --remove."
        )
    top = (
        programs.of_user(program, os.environ)
        if user
        else programs.project(Path.cwd())
    )
    root = top if user else app.settings().root
    parts = programs.parts(program, top, os.environ, user=user)
    if check:
        files = install.check(parts)
    else:
        changes = install.removal(parts) if remove else install.addition(parts)
        # Links in the user's own configuration are the user's. Links in a checkout may
        # have arrived with it.
        targets = {} if user or yes else install.outside(changes, top)
        if targets:
            _confirm_targets(top, targets)
        files = install.apply(changes, top)
    app.output().show(files, setup_render.files)
    if any(each.status == "not current" for each in files):
        click.get_current_context().exit(errors.Invalid.exit_code)
    hints: Iterable[str] = ()
    if remove:
        others = programs.of_others(program, top, os.environ, user=user)
        hints = setup_render.lost_parts(files, others)
    elif not check:
        hints = setup_render.hints(program, top, root, _missing_extra())
    for hint in hints:
        app.output().hint(hint)


def _missing_extra() -> str:
    """Return which package the MCP server lacks, and how to install it; "" if none."""
    if find_spec("mcp") is None:
        try:
            import taskorch.mcp.server  # noqa: F401
        except errors.Usage as error:
            return str(error)
    return ""


def _confirm_targets(top: Path, targets: "Mapping[Path, Path]") -> None:
    """List the files outside the project, and ask whether to change them.

    Raises errors.LeavesProject unless the answer is yes.
    """
    from taskorch.cli.text import line

    links = [f"{file} -> {target}" for file, target in targets.items()]
    if sys.stdin is not None and sys.stdin.isatty():
        shown = [
            "A symbolic link leads out of the project:",
            *map(line, links),
        ]
        click.echo("\n".join(shown), err=True)
        if click.confirm("Change the target?", err=True):
            return
    raise errors.LeavesProject(project=str(top), links=", ".join(links))
