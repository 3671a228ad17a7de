"""The options with which a report says what was used: tokens, cost and model."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import click
from taskorch.cli.arguments import Amount
from taskorch.domain.usage import MOST_TOKENS, NONE

Result = TypeVar("Result")

TOKENS = click.IntRange(0, MOST_TOKENS)


def usage_options(command: Callable[..., Result]) -> Callable[..., Result]:
    """Add the options to a command, which gets their values as `used`."""

    @wraps(command)
    def with_usage(
        *arguments: object,
        tokens_in: int,
        tokens_out: int,
        cache_read: int,
        cost: int,
        model: str,
        **options: object,
    ) -> Result:
        used = NONE
        if tokens_in or tokens_out or cache_read or cost or model:
            # most reports say nothing of it, and begin sooner without the rules
            from taskorch.domain.usage_rules import reported

            used = reported(
                tokens_in=tokens_in,
                tokens_out=tokens_out,
                cache_read=cache_read,
                cost_micros=cost,
                model=model,
            )
        return command(*arguments, used=used, **options)

    added: Callable[..., Result] = with_usage
    for option in (
        click.option("--model", default="", help="Model that was used."),
        click.option(
            "--cost",
            type=Amount("dollars", _micros),
            default=0,
            metavar="DOLLARS",
            help="Cost since your last report, such as 0.0423.",
        ),
        click.option(
            "--cache-read",
            type=TOKENS,
            default=0,
            metavar="N",
            help="Input tokens since then that were read from a cache.",
        ),
        click.option(
            "--tokens-out",
            type=TOKENS,
            default=0,
            metavar="N",
            help="Output tokens since then.",
        ),
        click.option(
            "--tokens-in",
            type=TOKENS,
            default=0,
            metavar="N",
            help="Input tokens since your last report, without those from a cache.",
        ),
    ):
        added = option(added)
    return added


def _micros(dollars: str) -> int:
    from taskorch.domain.usage_rules import micros

    return micros(dollars)
