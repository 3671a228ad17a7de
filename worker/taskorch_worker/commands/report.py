"""Commands of an item that goes on: progress, notes, discover, blocker, renew."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import TEXT

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(
    epilog='Example: worker progress item_1a2b3c4d "Designing the schema" --percent 50'
)
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--percent", type=click.IntRange(0, 100), help="How much of it is done.")
@pass_context
def progress(
    context: "WorkerContext", item: str, text: str, percent: int | None
) -> None:
    """Report on ITEM; keeps it yours."""
    context.report(
        item, lambda lease: context.queue.progress(lease, text, percent=percent)
    )


@worker.command(epilog='Example: worker notes item_1a2b3c4d "UUID or auto-increment?"')
@click.argument("item")
@click.argument("text", type=TEXT, required=False)
@pass_context
def notes(context: "WorkerContext", item: str, text: str | None) -> None:
    """Keep a private note on ITEM. Without TEXT, read your notes."""
    from taskorch_worker.render import items

    if text is None:
        context.output.show(context.queue.notes(item), items.notes, "No notes.")
    else:
        context.note(item, text)


@worker.command("get-notes", epilog="Example: worker get-notes item_1a2b3c4d")
@click.argument("item")
@pass_context
def get_notes(context: "WorkerContext", item: str) -> None:
    """Read your private notes on ITEM."""
    from taskorch_worker.render import items

    context.output.show(context.queue.notes(item), items.notes, "No notes.")


@worker.command(
    epilog='Example: worker discover item_1a2b3c4d "Needs an audit log" --impact "One more table"'
)
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--impact", type=TEXT, default="", help="What it means for the project.")
@pass_context
def discover(context: "WorkerContext", item: str, text: str, impact: str) -> None:
    """Share a finding with the whole project."""
    context.report(
        item, lambda lease: context.queue.discover(lease, text, impact=impact)
    )


@worker.command(
    epilog='Example: worker blocker item_1a2b3c4d "Password rules?" --needs "Minimum length"'
)
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--needs", type=TEXT, default="", help="What would set you going again.")
@pass_context
def blocker(context: "WorkerContext", item: str, text: str, needs: str) -> None:
    """Say what stops you. ITEM stays yours until the orchestrator answers."""
    context.report(item, lambda lease: context.queue.blocker(lease, text, needs=needs))


@worker.command(epilog="Example: worker renew item_1a2b3c4d")
@click.argument("item")
@pass_context
def renew(context: "WorkerContext", item: str) -> None:
    """Keep ITEM yours for another full lease."""
    context.step(item, context.queue.renew)
