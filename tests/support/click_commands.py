"""The subcommands of a click group, all of them loaded.

A command line loads only the command that it runs. Used by tests of docs and help.
"""

import click
from taskorch.cli.app import RoleGroup


def loaded_commands(group: click.Group) -> dict[str, click.Command]:
    """Return the subcommands of a group: name -> command."""
    for name in list(group.commands):
        if isinstance(group, RoleGroup):
            group.load(name)
    return dict(group.commands)
