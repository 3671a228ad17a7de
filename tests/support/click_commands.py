"""All commands of a role, loaded: a command line loads only the one that it runs."""

import click
from taskorch.cli.app import RoleGroup


def loaded_commands(group: click.Group) -> dict[str, click.Command]:
    """Return the subcommands of a group: name -> command."""
    for name in list(group.commands):
        if isinstance(group, RoleGroup):
            group.load(name)
    return dict(group.commands)
