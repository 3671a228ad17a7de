"""The commands of a role, all loaded: a command line loads only what it runs."""

import click
from taskorch.cli.app import RoleGroup


def commands(group: click.Group) -> dict[str, click.Command]:
    """Return each subcommand of a group by its name."""
    for name in list(group.commands):
        if isinstance(group, RoleGroup):
            group.load(name)
    return dict(group.commands)
