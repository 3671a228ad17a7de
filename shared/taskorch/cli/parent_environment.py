"""The option with which a server takes its variables from the program that started it."""

import os
from collections.abc import Callable
from typing import Any

import click


def parent_environment_option() -> Callable[[Any], Any]:
    """Return the `--parent-environment` option of a command."""
    return click.option(
        "--parent-environment",
        is_flag=True,
        expose_value=False,
        callback=_adopt,
        help="Read our variables that are not set here from the parent process.",
    )


def _adopt(_: click.Context, __: click.Parameter, value: bool) -> None:  # noqa: FBT001
    """Add the variables of the parent process; warn if it hides them."""
    if not value:
        return
    from taskorch.config import parent_environment

    try:
        parent_environment.adopt(os.environ)
    except OSError as error:
        click.echo(
            f"The variables of the process that started this one cannot be read: {error}."
            " Pass on AGENT_ID and the variables named TASKORCH_… in its configuration.",
            err=True,
        )
