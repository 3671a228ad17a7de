"""The `init` and `trust` commands, for a root and its config file."""

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
    """Make FOLDER a root: everything below it shares its queue.

    FOLDER defaults to TASKORCH_ROOT, else to the current folder. --url, --redis-url and
    --namespace are written to its config.toml, which is then trusted.
    """
    from taskorch_orchestrator import root_setup
    from taskorch_orchestrator.render import root as root_render

    flags = click.get_current_context().find_root().ensure_object(dict)
    chosen = {
        name: flags[name]
        for name in ("url", "redis_url", "namespace")
        if flags.get(name)
    }
    root = folder or os.environ.get("TASKORCH_ROOT") or "."
    made = root_setup.init(root, chosen, os.environ)
    app.output().show(made, root_render.initialised)


@orchestrate.command(epilog="Example: orchestrate trust")
@click.argument("folder", required=False, type=FOLDER)
@click.option("--yes", is_flag=True, help="Trust the file without asking.")
@click.option("--remove", is_flag=True, help="Stop trusting the file.")
@click.option(
    "--list", "lists", is_flag=True, help="List the files that you trust."
)
def trust(folder: str | None, yes: bool, remove: bool, lists: bool) -> None:
    """Show the config.toml of a root and trust it.

    The trust ends when the file changes. The root is that of FOLDER, or of the current
    folder. A config.toml may have arrived with a checkout: until you trust it, its
    Redis and its password file are ignored. The command asks first; scripts confirm
    with --yes.
    """
    from taskorch_orchestrator import root_setup
    from taskorch_orchestrator.render import root as root_render

    if lists + remove + yes > 1 or (lists and folder):
        raise click.UsageError(
            "Use one of --list, --remove and --yes; --list takes no FOLDER."
        )
    output = app.output()
    if lists:
        output.show(
            root_setup.trusted_files(os.environ),
            root_render.trusted_files,
            "You trust no config file.",
        )
        return
    file = root_setup.config_path(folder, os.environ)
    if remove:
        output.show(
            root_setup.forget_config(file, os.environ), root_render.forgotten
        )
        return
    config = root_setup.read_config(file)
    output.notify(root_render.settings(config))
    if not yes and not _confirmed():
        output.notify("Nothing was trusted.")
        click.get_current_context().exit(errors.Invalid.exit_code)
    output.show(
        root_setup.trust_config(config, os.environ), root_render.trusted
    )


def _confirmed() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask on. If you trust the file, confirm it with --yes."
        )
    return click.confirm("Trust it?", err=True)
