"""The schedules: when each runs next, how its last run ended; to run or remove one."""

from collections.abc import Sequence
from typing import cast

from starlette.responses import Response
from taskorch.domain.schedule import Schedule
from taskorch.queue.plan import AppliedPlan

from taskorch_gateway.api import schedule_verbs as verbs
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.visit import Action, BoardPage, Visit

PATH = "/schedules"


async def show(visit: Visit) -> Response:
    """Show the schedules, the next to run first."""
    listed = await visit.ask(verbs.ListSchedules())
    return visit.page(
        "schedules.html", schedules=cast("Sequence[Schedule]", listed)
    )


async def run(visit: Visit, form: Form) -> ActionReceipt:  # noqa: ARG001
    """Apply the plan of a schedule now."""
    name = visit.word("name")
    ran = await visit.ask(verbs.RunSchedule(schedule=name))
    project = cast("AppliedPlan", ran).project
    return ActionReceipt(text=f"{name} has run: {project}.", next_path=PATH)


async def remove(visit: Visit, form: Form) -> ActionReceipt | ActionQuestion:
    """Remove a schedule."""
    name = visit.word("name")
    if not form.is_confirmed:
        return ActionQuestion(
            title=f"Remove {name}?",
            why="Its plan is deleted and runs no more. The projects that it has "
            "created stay.",
            yes="Remove it",
            is_dangerous=True,
        )
    await visit.ask(verbs.RemoveSchedule(schedule=name))
    return ActionReceipt(text=f"Removed {name}.", next_path=PATH)


PAGES = (BoardPage(path=PATH, show=show, entry="schedules"),)
ACTIONS = (
    Action(path=f"{PATH}/{{name}}/run", act=run, word="Run now"),
    Action(
        path=f"{PATH}/{{name}}/remove", act=remove, word="Remove the schedule"
    ),
)
