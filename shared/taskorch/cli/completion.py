"""Shell completion of ids and agents from the queue: fast, and silent without Redis."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar, runtime_checkable

import click
from click.shell_completion import CompletionItem

from taskorch.cli import text
from taskorch.cli.time_limit import time_limit
from taskorch.domain.short_id import Candidate, ShortId

#: Time to read the queue. The shell waits for it at each press of the Tab key.
LIMIT_S = 0.1
#: Maximum number of values: a longer list does not help.
LIMIT = 50
#: A value that a shell completes: an id with its title, or a name.
Completed = TypeVar("Completed", Candidate, str)


@runtime_checkable
class ReadsQueue(Protocol):
    """The click group of a role: it reads the queue for a completion."""

    def completes_ids(self, begun: ShortId, limit: int) -> Sequence[Candidate]:
        """Return ids that begin with the typed text."""

    def completes_agents(self, limit: int) -> Sequence[str]:
        """Return names of agents."""


def ids(
    context: click.Context, begun: ShortId | None
) -> list[CompletionItem[str]]:
    """Return the ids that begin with the typed text, with their titles."""
    if begun is None:
        return []
    found: Sequence[Candidate] = _read(
        context, lambda group: group.completes_ids(begun, LIMIT)
    )
    return [
        CompletionItem(each.id, help=text.cell(each.title)) for each in found
    ]


def agents(
    context: click.Context, incomplete: str
) -> list[CompletionItem[str]]:
    """Return the names of agents that begin with the typed text."""
    found: Sequence[str] = _read(
        context, lambda group: group.completes_agents(LIMIT)
    )
    return [
        CompletionItem(name) for name in found if name.startswith(incomplete)
    ]


def _read(
    context: click.Context,
    read: Callable[[ReadsQueue], Sequence[Completed]],
) -> Sequence[Completed]:
    """Return what the group of the role reads; () after any error.

    A read that takes longer than LIMIT_S ends the process.
    """
    group = context.find_root().command
    with (
        time_limit(LIMIT_S),
        suppress(Exception),
        context.scope(cleanup=False),
    ):
        if isinstance(group, ReadsQueue):
            return read(group)
    return ()
