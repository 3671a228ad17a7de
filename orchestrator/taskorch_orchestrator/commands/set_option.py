"""`--set NAME=VALUE`: a value for a variable of a plan."""

from collections.abc import Callable
from typing import TypeVar

import click
from taskorch.cli.arguments import PAIR

Command = TypeVar("Command", bound=Callable[..., object])


def set_option() -> Callable[[Command], Command]:
    """Add the option `--set`; the command gets a mapping of `values`."""
    return click.option(
        "--set",
        "values",
        type=PAIR,
        multiple=True,
        callback=_mapping,
        help="Value of a variable of the plan, NAME=VALUE; may be repeated.",
    )


def _mapping(
    _context: click.Context,
    _option: click.Parameter,
    pairs: tuple[tuple[str, str], ...],
) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise click.BadParameter(f"{name!r} is set twice.")
        values[name] = value
    return values
