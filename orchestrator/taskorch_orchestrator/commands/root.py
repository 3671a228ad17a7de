"""Commands for the root and its config file: init, trust."""

import os
import sys

import click
from taskorch.cli import app
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate

FOLDER = click.Path(exists=True, file_okay=False)


@orchestrate.command(epilog="Example: orchestrate init ~/project")
@click.argument("folder", required=False, type=FOLDER)
def init(folder: str | None) -> None:
    """Make FOLDER a root: the queue of everything below it.

    Without FOLDER, it is TASKORCH_ROOT, else the current folder. With --redis-url or --namespace, these are written to
    its config.toml, which is trusted then.
    """
    from taskorch_orchestrator import root_setup

    flags = click.get_current_context().find_root().ensure_object(dict)
    chosen = {
        name: value for name in ("redis_url", "namespace") if (value := flags.get(name))
    }
    made = root_setup.init(
        folder or os.environ.get("TASKORCH_ROOT") or ".", chosen, os.environ
    )
    app.output().show(made, root_setup.initialised)


@orchestrate.command(epilog="Example: orchestrate trust")
@click.argument("folder", required=False, type=FOLDER)
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--remove", is_flag=True, help="Trust the file no longer.")
@click.option("--list", "lists", is_flag=True, help="List the files that you trust.")
def trust(folder: str | None, yes: bool, remove: bool, lists: bool) -> None:
    """Show the config.toml of the root of FOLDER, and trust it until it changes.

    Without FOLDER, it is the root of the current folder. A config.toml may have come with a checkout: until you trust
    it, it names no Redis and no password file. This asks first; scripts confirm with --yes.
    """
    from taskorch_orchestrator import root_setup

    if lists + remove + yes > 1 or (lists and folder):
        raise click.UsageError(
            "--list, --remove and --yes do not go together, nor does --list with FOLDER."
        )
    output = app.output()
    if lists:
        output.show(
            root_setup.listed(os.environ),
            root_setup.trusted_files,
            "You trust no config file.",
        )
        return
    file = root_setup.file_of(folder, os.environ)
    if remove:
        output.show(root_setup.forget(file, os.environ), root_setup.forgotten)
        return
    text = root_setup.shown(file)
    output.notify(root_setup.settings(text))
    if not yes and not _confirmed():
        output.notify("Nothing was trusted.")
        click.get_current_context().exit(errors.Invalid.exit_code)
    output.show(root_setup.trust(text, os.environ), root_setup.trusted)


def _confirmed() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask on. If you trust the file, confirm it with --yes."
        )
    return click.confirm("Trust it?", err=True)
