"""The command for the moment before an agent stops: hook stop."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from taskorch_worker.role import WorkerGroup, worker


class HookGroup(WorkerGroup):
    """The hooks: to a program exit code 2 is an order, so a mistake in the call of one is told, and is no error."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:  # noqa: ANN401  click's own signature
        """Read the words up to the hook's name."""
        with _forgiven():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        """Run the hook."""
        with _forgiven():
            return super().invoke(ctx)


@contextmanager
def _forgiven() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.show()
        raise click.exceptions.Exit(0) from None


@worker.group(cls=HookGroup, epilog="Example: worker hook stop")
def hook() -> None:
    """Answer the hooks of the program that you run in."""


@hook.command(epilog="Example: worker hook stop")
def stop() -> None:
    """Say once a turn what to do before stopping, if you hold an item. Reads the hook's JSON; is never an error."""
    from taskorch import hooked

    from taskorch_worker import turn

    hooked.stop(turn.before_stopping)
