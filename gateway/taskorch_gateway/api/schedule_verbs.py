"""The verbs of schedules, over HTTP: their arguments and what performs them.

Each imports what reads plans and cron lines when it needs it: a gateway whose clients add no
schedule saves the memory.
"""

from typing import Annotated

from taskorch.domain.frozen import Frozen
from taskorch.domain.schedule import CRON_CHARACTERS, ZONE_CHARACTERS
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_orchestrator import actions

from taskorch_gateway.api.fields import Pairs
from taskorch_gateway.api.orchestrator_verbs import NO_HANDOFFS
from taskorch_gateway.client_queue import queue_of

Name = Annotated[str, {"type": "string"}, "The name of the schedule"]


class RemovedSchedule(Frozen):
    """A schedule that was removed."""

    name: str


class ListSchedules(ToolArguments):
    """List the schedules with their next and their last run, the next one first."""

    name = "schedule/list"
    read_only = True

    def perform(self, call: ToolCall) -> ToolResult:
        """List the schedules."""
        return ToolResult(actions.schedules(queue_of(call)).data)


class AddSchedule(ToolArguments):
    """Have the service apply a plan at the times of a cron line."""

    name = "schedule/add"
    schedule: Name
    plan: Annotated[str, {"type": "string"}, "The text of a plan file"]
    cron: Annotated[
        str,
        {"type": "string", "maxLength": CRON_CHARACTERS},
        "Minute, hour, day of the month, month and day of the week",
    ]
    tz: Annotated[
        str,
        {"type": "string", "maxLength": ZONE_CHARACTERS},
        "Time zone of the cron line, such as Europe/Berlin",
    ] = "UTC"
    set: Annotated[Pairs, "Name of a variable: the text for ${name}"] = {}  # noqa: RUF012  it is never changed

    def perform(self, call: ToolCall) -> ToolResult:
        """Add the schedule, with the checks and messages of a plan file."""
        from taskorch_orchestrator.schedule import runs

        added = runs.add(
            queue_of(call),
            self.schedule,
            ("This", self.plan.encode()),
            runs.ScheduleTiming(cron=self.cron, zone=self.tz),
            self.set,
        )
        return ToolResult(added)


class RemoveSchedule(ToolArguments):
    """Remove a schedule. The projects that it has created stay."""

    name = "schedule/remove"
    schedule: Name

    def perform(self, call: ToolCall) -> ToolResult:
        """Remove the schedule."""
        queue_of(call).schedules().remove(self.schedule)
        return ToolResult(RemovedSchedule(name=self.schedule))


class RunSchedule(ToolArguments):
    """Apply the plan of a schedule now. Its next run stays."""

    name = "schedule/run"
    schedule: Name

    def perform(self, call: ToolCall) -> ToolResult:
        """Run the schedule."""
        ran = actions.run_schedule(queue_of(call), NO_HANDOFFS, self.schedule)
        return ToolResult(ran.data, **ran.meta)
