"""The `worker` command: one subcommand per verb, each a call of the queue."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec

import click
from taskorch import command, errors
from taskorch.arguments import DURATION, PAIR, TEXT, ManyValues, Seconds

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk

P = ParamSpec("P")
LONGEST_WAIT_S = 540
MOST_AT_ONCE = 100


def at_desk(function: "Callable[Concatenate[Desk, P], None]") -> Callable[P, None]:
    """Give a command the desk of the agent that it runs for."""

    @wraps(function)
    def seated(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_worker.desk import Desk

        function(Desk(), *args, **kwargs)

    return seated


class WorkerGroup(command.RoleGroup):
    """The worker's group: its subcommands take --agent-id as well."""

    common: ClassVar = {
        "--agent-id": {"metavar": "NAME", "help": "Which agent you are. Also: AGENT_ID"},
        **command.RoleGroup.common,
    }


@click.group(cls=WorkerGroup, epilog="Start with: export AGENT_ID=database_specialist; worker check")
@command.version_option()
def worker() -> None:
    """Take the work items that are assigned to you, report, and deliver."""


@worker.command(epilog="Example: worker check")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="Show at most so many.")
@at_desk
def check(desk: "Desk", limit: int) -> None:
    """List the items that are assigned to you and ready."""
    from taskorch_worker import render

    desk.output.show(desk.queue.check(limit=limit), render.assignments)


@worker.command(epilog="Example: worker pop --wait 300")
@click.option("--wait", type=Seconds(0, LONGEST_WAIT_S), default=0, help="Seconds to wait for work (to 540).")
@click.option("--lease", type=DURATION, help="How long it is yours without a report: 30m, 4h.")
@click.option("--count", type=click.IntRange(1, MOST_AT_ONCE), help="Claim so many at once, or what there is of them.")
@at_desk
def pop(desk: "Desk", wait: float, lease: int | None, count: int | None) -> None:
    """Claim the next item of your queue, or the next ones. Exit 8 when there is none."""
    if not desk.pop(count, wait_s=wait, lease_ms=lease):
        raise errors.NothingToDo


@worker.command(epilog="Example: worker get item_1a2b3c4d")
@click.argument("item")
@click.option("--peek", is_flag=True, help="Only look; claim nothing.")
@click.option("--takeover", is_flag=True, help="Take it from another session of yours, whose token dies.")
@click.option("--lease", type=DURATION, help="How long it is yours without a report: 30m, 4h.")
@at_desk
def get(desk: "Desk", item: str, peek: bool, takeover: bool, lease: int | None) -> None:
    """Show all that ITEM carries. It is claimed if it is queued for you."""
    if peek and takeover:
        raise click.UsageError("--peek only looks: it goes without --takeover.")
    desk.get(item, peek=peek, takeover=takeover, lease_ms=lease)


@worker.command(epilog='Example: worker progress item_1a2b3c4d "Designing the schema" --percent 50')
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--percent", type=click.IntRange(0, 100), help="How much of it is done.")
@at_desk
def progress(desk: "Desk", item: str, text: str, percent: int | None) -> None:
    """Report on ITEM; keeps it yours."""
    desk.report(item, lambda lease: desk.queue.progress(lease, text, percent=percent))


@worker.command(epilog='Example: worker notes item_1a2b3c4d "UUID or auto-increment?"')
@click.argument("item")
@click.argument("text", type=TEXT, required=False)
@at_desk
def notes(desk: "Desk", item: str, text: str | None) -> None:
    """Keep a private note on ITEM. Without TEXT, read your notes."""
    from taskorch_worker import render

    if text is None:
        desk.output.show(desk.queue.notes(item), render.notes, "No notes.")
    else:
        desk.note(item, text)


@worker.command("get-notes", epilog="Example: worker get-notes item_1a2b3c4d")
@click.argument("item")
@at_desk
def get_notes(desk: "Desk", item: str) -> None:
    """Read your private notes on ITEM."""
    from taskorch_worker import render

    desk.output.show(desk.queue.notes(item), render.notes, "No notes.")


@worker.command(epilog='Example: worker discover item_1a2b3c4d "Needs an audit log" --impact "One more table"')
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--impact", type=TEXT, default="", help="What it means for the project.")
@at_desk
def discover(desk: "Desk", item: str, text: str, impact: str) -> None:
    """Share a finding with the whole project."""
    desk.report(item, lambda lease: desk.queue.discover(lease, text, impact=impact))


@worker.command(epilog='Example: worker blocker item_1a2b3c4d "Password rules?" --needs "Minimum length"')
@click.argument("item")
@click.argument("text", type=TEXT)
@click.option("--needs", type=TEXT, default="", help="What would set you going again.")
@at_desk
def blocker(desk: "Desk", item: str, text: str, needs: str) -> None:
    """Say what stops you. ITEM stays yours until the orchestrator answers."""
    desk.report(item, lambda lease: desk.queue.blocker(lease, text, needs=needs))


@worker.command(epilog='Example: worker complete item_1a2b3c4d "4 tables" --deliverable schema=db/schema.sql')
@click.argument("item")
@click.argument("summary", type=TEXT)
@click.option("--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …")
@at_desk
def complete(desk: "Desk", item: str, summary: str, deliverable: tuple[tuple[str, str], ...]) -> None:
    """Deliver ITEM."""
    desk.step(item, lambda lease: desk.queue.complete(lease, summary, deliverables=dict(deliverable)))


@worker.command(epilog="Example: worker ack item_1a2b3c4d")
@click.argument("item")
@click.argument("summary", type=TEXT, default="")
@click.option("--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …")
@at_desk
def ack(desk: "Desk", item: str, summary: str, deliverable: tuple[tuple[str, str], ...]) -> None:
    """Deliver ITEM, with or without a summary."""
    desk.step(item, lambda lease: desk.queue.complete(lease, summary, deliverables=dict(deliverable)))


@worker.command(epilog='Example: worker fail item_1a2b3c4d "The build server is down"')
@click.argument("item")
@click.argument("reason", type=TEXT)
@click.option("--no-retry", is_flag=True, help="It would fail again: make it a dead letter at once.")
@at_desk
def fail(desk: "Desk", item: str, reason: str, no_retry: bool) -> None:
    """Give up this attempt at ITEM. It is tried again later while attempts are left."""
    desk.step(item, lambda lease: desk.queue.fail(lease, reason, retry=not no_retry))


@worker.command(epilog='Example: worker release item_1a2b3c4d --reason "Not my field"')
@click.argument("item")
@click.option("--reason", type=TEXT, default="", help="Why.")
@at_desk
def release(desk: "Desk", item: str, reason: str) -> None:
    """Give ITEM back to its queue; no attempt is spent."""
    desk.step(item, lambda lease: desk.queue.release(lease, reason=reason))


@worker.command(epilog="Example: worker renew item_1a2b3c4d")
@click.argument("item")
@at_desk
def renew(desk: "Desk", item: str) -> None:
    """Keep ITEM yours for another full lease."""
    desk.step(item, desk.queue.renew)


@worker.command(epilog="Example: worker whoami")
@at_desk
def whoami(desk: "Desk") -> None:
    """Show who you are. Each setting says where it comes from."""
    from taskorch_worker import render

    desk.output.show(desk.whoami(), render.identity)


def main() -> None:
    """Run the `worker` command."""
    command.run(worker, "worker")
