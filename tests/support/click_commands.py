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


def context_of(group: click.Group, name: str) -> click.Context:
    """Return a context in which a loaded subcommand prints its help as on the command line.

    click keeps the help option that it makes for a command first, so a context without
    the settings of its group would change the help of later tests.
    """
    top = click.Context(group, info_name=group.name, **group.context_settings)
    return click.Context(group.commands[name], parent=top, info_name=name)
