"""Commands that fix what is wrong, from `answer` to `doctor`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM, ITEM_OR_PROJECT, PROJECT, TEXT
from taskorch.domain import limits

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(
    epilog='Example: orchestrate answer item_1a2b3c4d "At least 12 characters"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@click.option(
    "--question",
    type=click.IntRange(1),
    metavar="N",
    help="Number of the question, if several are open.",
)
@pass_context
def answer(
    context: "OrchestratorContext",
    item: str,
    text: str,
    question: int | None,
) -> None:
    """Answer a question on ITEM. After the last answer, its holder can continue."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    answered = actions.answer(
        context.queue, item, text, question=question or 0
    )
    context.show(answered, steps.answered)


@orchestrate.command(
    epilog='Example: orchestrate accept item_1a2b3c4d "Well done"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT, default="")
@pass_context
def accept(context: "OrchestratorContext", item: str, text: str) -> None:
    """Accept ITEM, which its agent has completed for review.

    It is completed now, and the items that waited for it are queued. TEXT is kept in
    its history.
    """
    from taskorch.cli.decisions import decision

    from taskorch_orchestrator import actions

    context.show(actions.accept(context.queue, item, text), decision)


@orchestrate.command(
    "send-back",
    epilog='Example: orchestrate send-back item_1a2b3c4d "The tests of the login fail"',
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@pass_context
def send_back(context: "OrchestratorContext", item: str, text: str) -> None:
    """Send ITEM back to its agent, which reads TEXT first.

    It returns to the same queue, and no attempt is spent.
    """
    from taskorch.cli.decisions import decision

    from taskorch_orchestrator import actions

    context.show(actions.send_back(context.queue, item, text), decision)


@orchestrate.command(
    epilog='Example: orchestrate comment item_1a2b3c4d "Keep the old table, too"'
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@pass_context
def comment(context: "OrchestratorContext", item: str, text: str) -> None:
    """Comment on ITEM, for its holder or the next one.

    The holder gets the comment with its next command. A comment is not an answer: a
    question of the holder stays open. ITEM must be open.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    context.show(actions.comment(context.queue, item, text), steps.commented)


@orchestrate.command(
    epilog='Example: orchestrate cancel item_1a2b3c4d --reason "Not needed any more"'
)
@click.argument("item", type=ITEM_OR_PROJECT, metavar="ITEM|PROJECT")
@click.option(
    "--reason", type=TEXT, default="", help="Reason, which the holder reads."
)
@pass_context
def cancel(context: "OrchestratorContext", item: str, reason: str) -> None:
    """Cancel ITEM, or all open items of PROJECT and close it.

    Holders learn of it with their next command.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    if limits.is_project_id(item):
        cancelled = actions.cancel_project(context.queue, item, reason=reason)
        context.show(cancelled, steps.cancelled_project)
        return
    context.show(
        actions.cancel(context.queue, item, reason=reason), steps.cancelled
    )


@orchestrate.command(epilog="Example: orchestrate reopen proj_1a2b3c4d")
@click.argument("project", type=PROJECT)
@pass_context
def reopen(context: "OrchestratorContext", project: str) -> None:
    """Make a completed PROJECT active again, for new and requeued items."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    context.show(actions.reopen(context.queue, project), steps.reopened)


@orchestrate.command(
    epilog='Example: orchestrate requeue item_1a2b3c4d --reason "The tests fail"'
)
@click.argument("item", type=ITEM)
@click.option(
    "--reason",
    type=TEXT,
    default="",
    help="Reason, which the next holder reads first.",
)
@click.option(
    "--reopen", is_flag=True, help="Reopen its project if that is completed."
)
@pass_context
def requeue(
    context: "OrchestratorContext", item: str, reason: str, reopen: bool
) -> None:
    """Queue a failed, cancelled or completed ITEM again.

    It has all its attempts again. Items that depend on it wait for it again. Dependent
    items that an agent holds are not interrupted; the command lists them.
    """
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    requeued = actions.requeue(
        context.queue, item, reason=reason, reopen=reopen
    )
    context.show(requeued, steps.requeued)


@orchestrate.command(epilog="Example: orchestrate reap")
@pass_context
def reap(context: "OrchestratorContext") -> None:
    """Act on expired leases and due delays now."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import steps

    context.show(actions.reap(context.queue), steps.reaped)


@orchestrate.command(epilog="Example: orchestrate doctor --fix")
@click.option(
    "--fix", is_flag=True, help="Repair inconsistencies in the namespace."
)
@click.option(
    "--quarantined",
    is_flag=True,
    help="Print the damaged records that --fix moved aside.",
)
@pass_context
def doctor(
    context: "OrchestratorContext", fix: bool, quarantined: bool
) -> None:
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
