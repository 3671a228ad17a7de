"""The commands that report on an item: `progress`, `notes`, `comment` and so on."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM, TEXT

from taskorch_worker.commands.usage_options import usage_options
from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch.domain.usage import ModelUsage

    from taskorch_worker.context import WorkerContext


@worker.command(
    epilog='Example: worker progress item_1a2b3c4d "Designing the schema" --percent 50'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@click.option(
    "--percent", type=click.IntRange(0, 100), help="Percentage done."
)
@usage_options
@pass_context
def progress(
    context: "WorkerContext",
    item: str,
    text: str,
    percent: int | None,
    used: "ModelUsage",
) -> None:
    """Report progress on ITEM and renew its lease."""
    receipt = context.session.progress(item, text, percent=percent, used=used)
    context.show(receipt)


@worker.command(
    epilog='Example: worker notes item_1a2b3c4d "UUID or auto-increment?"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT, required=False)
@pass_context
def notes(context: "WorkerContext", item: str, text: str | None) -> None:
    """Keep a private note on ITEM. Without TEXT, print your notes."""
    if text is None:
        _print_notes(context, item)
        return
    if problem := context.session.note(item, text):
        context.output.notify(problem)
    noted = {"id": item}
    context.output.show(noted, lambda _: f"Noted on {item}.")


@worker.command("get-notes", epilog="Example: worker get-notes item_1a2b3c4d")
@click.argument("item", type=ITEM)
@pass_context
def get_notes(context: "WorkerContext", item: str) -> None:
    """Print your private notes on ITEM."""
    _print_notes(context, item)


def _print_notes(context: "WorkerContext", item: str) -> None:
    from taskorch_worker.render import items

    notes = context.session.queue.notes(item)
    context.show_folded(notes, items.notes, "No notes.")


@worker.command(
    epilog='Example: worker discover item_1a2b3c4d "Needs an audit log" --impact "One more table"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@click.option(
    "--impact", type=TEXT, default="", help="Consequence for the project."
)
@pass_context
def discover(
    context: "WorkerContext", item: str, text: str, impact: str
) -> None:
    """Share a discovery with the whole project."""
    from taskorch_worker.render import items

    receipt = context.session.discover(item, text, impact=impact)
    context.show_folded(receipt, items.discovered)


@worker.command(epilog="Example: worker discoveries item_1a2b3c4d --new")
@click.argument("item", type=ITEM, default="")
@click.option(
    "--new",
    is_flag=True,
    help="Only those that you have not read yet; they count as read from now on.",
)
@click.option(
    "--since", metavar="CURSOR", help="Only discoveries after this cursor."
)
@click.option(
    "--limit",
    type=click.IntRange(1, 5000),
    default=50,
    show_default=True,
    help="Maximum number of discoveries.",
)
@pass_context
def discoveries(
    context: "WorkerContext",
    item: str,
    new: bool,
    since: str | None,
    limit: int,
) -> None:
    """Read what the agents of a project found.

    The project is that of ITEM. Without ITEM, they are the projects of the items that
    you hold or have in your queue.
    """
    from taskorch_worker.render import items

    page = context.session.discoveries(
        item, new=new, since=since or "", limit=limit
    )
    context.show_folded(
        page.discoveries,
        lambda found: items.discoveries(found, item, context.session.caller),
        "No new discoveries." if new or since else "No discoveries.",
        cursor=page.cursor,
        more=page.more,
        projects=page.own_projects,
    )
    for hint in items.page_hints(page, new=new, since=since or ""):
        context.output.hint(hint)


@worker.command(
    epilog='Example: worker blocker item_1a2b3c4d "Password rules?" --needs "Minimum length"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT, required=False)
@click.option(
    "--needs", type=TEXT, default="", help="What you need to continue."
)
@click.option(
    "--withdraw",
    type=click.IntRange(0),
    is_flag=False,
    flag_value=0,
    metavar="[N]",
    help="Withdraw question N, or the only open one, instead of asking.",
)
@pass_context
def blocker(
    context: "WorkerContext",
    item: str,
    text: str | None,
    needs: str,
    withdraw: int | None,
) -> None:
    """Ask the orchestrator about what blocks you. You keep ITEM until the answer arrives.

    A question stays open until it is answered, or withdrawn with --withdraw.
    """
    if withdraw is not None:
        if text is not None or needs:
            raise click.UsageError("--withdraw takes no TEXT and no --needs.")
        context.show(context.session.withdraw(item, question=withdraw))
        return
    if text is None:
        raise click.UsageError("Missing argument 'TEXT'.")
    receipt = context.session.blocker(item, text, needs=needs)
    context.show(receipt)


@worker.command(
    epilog='Example: worker comment item_1a2b3c4d "The old table is still in use"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@pass_context
def comment(context: "WorkerContext", item: str, text: str) -> None:
    """Comment on ITEM, for the orchestrator and its next holder.

    A comment is not a question: it needs no answer, and you go on. It renews the
    lease. Only the holder of ITEM may comment on it.
    """
    from taskorch_worker.render import items

    receipt = context.session.comment(item, text)
    context.show_folded(receipt, items.commented)


@worker.command(epilog="Example: worker renew item_1a2b3c4d")
@click.argument("item", type=ITEM)
@pass_context
def renew(context: "WorkerContext", item: str) -> None:
    """Renew the lease of ITEM."""
    receipt = context.session.renew(item)
    context.show(receipt)
