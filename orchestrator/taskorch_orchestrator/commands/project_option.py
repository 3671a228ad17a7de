"""PROJECT as an argument or as `--project`: both work in every command that takes one."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from taskorch.cli.arguments import PROJECT, IdArgument
from taskorch.domain import errors

Command = Callable[..., None]


def project_option(
    *, metavar: str = "[PROJECT]", type_: IdArgument = PROJECT
) -> Callable[[Command], Command]:
    """Add the argument `project` and the option `--project` to a command.

    The argument is required unless its `metavar` is in brackets.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_project(*args: Any, **options: Any) -> None:  # noqa: ANN401  click's own values
            argument = options.pop("project")
            option = options.pop("of_project")
            if argument and option and argument != option:
                raise click.UsageError(
                    f"{metavar.strip('[]')} and --project name different projects."
                )
            project = argument or option or ""
            if not (project or metavar.startswith("[")):
                # such as a variable that is not set
                if "" in (argument, option):
                    raise errors.NoProject(project="")
                raise click.MissingParameter(
                    param_hint=f"'{metavar}'", param_type="argument"
                )
            command(*args, project=project, **options)

        add_option = click.option(
            "--project",
            "of_project",
            type=type_,
            default=None,
            metavar=metavar.strip("[]"),
            help=f"The same as {metavar.strip('[]')}.",
        )
        add_argument = click.argument(
            "project", type=type_, required=False, metavar=metavar
        )
        return add_argument(add_option(with_project))

    return decorate
