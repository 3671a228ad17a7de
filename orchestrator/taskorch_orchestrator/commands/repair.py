"""Commands that set things right: answer, cancel, requeue, reap, doctor."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import TEXT
from taskorch.cli.text import counted

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(
    epilog='Example: orchestrate answer item_1a2b3c4d "At least 12 characters"'
)
@click.argument("item")
@click.argument("text", type=TEXT)
@pass_context
def answer(context: "OrchestratorContext", item: str, text: str) -> None:
    """Answer the blocker of ITEM. Its holder can go on."""
    from taskorch_orchestrator.render import steps

    context.output.show(
        {"id": item, "state": context.queue.answer(item, text)}, steps.state
    )


@orchestrate.command(
    epilog='Example: orchestrate cancel item_1a2b3c4d --reason "Not needed any more"'
)
@click.argument("item")
@click.option("--reason", type=TEXT, default="", help="Why.")
@pass_context
def cancel(context: "OrchestratorContext", item: str, reason: str) -> None:
    """Take ITEM out of work. Its holder is told at its next step."""
    from taskorch_orchestrator.render import steps

    waiting = context.queue.cancel(item, reason=reason)
    context.output.show(
        {"id": item, "state": "cancelled", "waiting": waiting}, steps.state
    )
    if waiting:
        context.output.hint(
            f"{counted(waiting, 'item waits', 'items wait')} for {item}. Requeue it, or cancel them too."
        )


@orchestrate.command(epilog="Example: orchestrate requeue item_1a2b3c4d")
@click.argument("item")
@pass_context
def requeue(context: "OrchestratorContext", item: str) -> None:
    """Start ITEM afresh. It is failed, cancelled or completed.

    Items that depend on it wait for it again. Those that an agent holds go on, and are named.
    """
    from taskorch_orchestrator.render import steps

    context.output.show(context.queue.requeue(item), steps.requeued)


@orchestrate.command(epilog="Example: orchestrate reap")
@pass_context
def reap(context: "OrchestratorContext") -> None:
    """Act on expired leases and due delays now."""
    reaped, promoted = context.queue.reap()
    counts = {"reaped": reaped, "promoted": promoted}
    context.output.show(
        counts,
        lambda _: f"{reaped} leases had expired, {promoted} delayed items were due.",
    )


@orchestrate.command(epilog="Example: orchestrate doctor --fix")
@click.option(
    "--fix", is_flag=True, help="Repair what does not fit together in the namespace."
)
@click.option(
    "--quarantined",
    is_flag=True,
    help="Print what --fix moved aside, with all its fields.",
)
@pass_context
def doctor(context: "OrchestratorContext", fix: bool, quarantined: bool) -> None:
    """Check Redis, the namespace and this machine. Exit 5 while there is a problem."""
    from taskorch_orchestrator.doctor.doctor import examine
    from taskorch_orchestrator.render import doctor as doctor_render

    if quarantined:
        context.output.show(
            context.queue.quarantined(),
            doctor_render.quarantined,
            "Nothing was moved aside.",
        )
        return
    found = examine(context.queue_of(), context.settings, fix=fix)
    context.output.show(found, doctor_render.diagnosis)
    click.get_current_context().exit(found.exit_code)
