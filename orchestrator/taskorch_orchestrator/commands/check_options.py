"""The options for the acceptance checks and the review of an item."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click
from taskorch.cli.arguments import AGENT, DURATION, ManyValues

if TYPE_CHECKING:
    from taskorch.domain.acceptance import Check

Command = TypeVar("Command", bound=Callable[..., object])


class CheckOptions(NamedTuple):
    """The checks that the options of a command name."""

    commands: tuple[str, ...]
    files: tuple[str, ...]
    deliverables: tuple[str, ...]
    timeout_ms: int

    def all(self) -> "tuple[Check, ...] | None":
        """Return the checks; None without any. Raises errors.Invalid."""
        if not (self.commands or self.files or self.deliverables):
            return None
        # most items have no checks, and their commands begin sooner without it
        from taskorch.domain import acceptance_rules as rules

        return (
            *(
                rules.run_check_of(each, self.timeout_ms)
                for each in self.commands
            ),
            *map(rules.file_check, self.files),
            *map(rules.deliverable_check, self.deliverables),
        )


def check_options(command: Command) -> Callable[..., object]:
    """Add the options; the command gets a `CheckOptions` and the `reviewer`."""

    @wraps(command)
    def with_checks(
        *arguments: object,
        check: tuple[str, ...],
        check_file: tuple[str, ...],
        check_deliverable: tuple[str, ...],
        check_timeout: int,
        **options: object,
    ) -> object:
        checks = CheckOptions(
            check, check_file, check_deliverable, check_timeout
        )
        return command(*arguments, checks=checks, **options)

    for option in (
        click.option(
            "--review",
            "reviewer",
            type=AGENT,
            metavar="NAME",
            help="Person or agent that accepts the item after its completion.",
        ),
        click.option(
            "--check-timeout",
            type=DURATION,
            default="10m",
            show_default=True,
            help="Time limit of each --check.",
        ),
        click.option(
            "--check-deliverable",
            cls=ManyValues,
            metavar="NAME",
            help="Deliverables that the completion must have …",
        ),
        click.option(
            "--check-file",
            cls=ManyValues,
            metavar="PATH",
            help="Files that must exist and not be empty …",
        ),
        click.option(
            "--check",
            multiple=True,
            metavar="COMMAND",
            help='Command that must succeed before the item is completed, such as "make test".',
        ),
    ):
        with_checks = option(with_checks)
    return with_checks
