"""The schedules of a namespace: plans that are applied at the times of a cron line.

Redis decides which caller starts a run. Cron lines are read by the callers.
"""

from typing import cast

from taskorch.domain import access_token, errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.schedule import (
    CRON_CHARACTERS,
    ERROR_CHARACTERS,
    PLAN_BYTES,
    ZONE_CHARACTERS,
    NewSchedule,
    Schedule,
    ScheduledPlan,
    StartedRun,
)
from taskorch.queue import fields as read
from taskorch.queue.fields import DamagedField, Fields, Reading, readable
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: The fields of a schedule in a row, behind its name and when it is due.
_FIELDS = (
    "next", "running", "last_at", "runs", "created_at", "last_project", "last_error", "cron", "zone", "created_by",
    "access_token",
)  # fmt: skip


class DueSchedules(Frozen):
    """The schedules that are due, and the time of Redis in ms since the epoch."""

    now: int
    schedules: tuple[Schedule, ...]


class Schedules:
    """Creates, lists, runs and removes schedules."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def create(self, new: NewSchedule) -> None:
        """Create a schedule.

        Raises errors.ScheduleExists, errors.TooManySchedules and errors.Invalid.
        """
        limits.name(new.name, "a schedule")
        _need_short(new.cron, "cron line", CRON_CHARACTERS)
        _need_short(new.zone, "time zone", ZONE_CHARACTERS)
        if len(new.plan.encode()) > PLAN_BYTES:
            raise errors.Invalid(
                reason=f"The plan is longer than {PLAN_BYTES} bytes (256 KiB), the most "
                "that a schedule keeps."
            )
        self._scripts.run_script(
            "create_schedule",
            new.name,
            new.cron,
            new.zone,
            new.plan,
            limits.pairs(new.values, "values", "values"),
            limits.number(new.next_at, "time", 0, limits.LARGEST),
        )

    def list(self) -> tuple[Schedule, ...]:
        """Return all schedules, the next to run first."""
        return self._listed("").schedules

    def due(self) -> DueSchedules:
        """Return the schedules that are due, the longest due first."""
        return self._listed("1")

    def get(self, name: str) -> tuple[int, Schedule, ScheduledPlan]:
        """Return the time of Redis, a schedule, and its plan.

        Raises errors.NoSchedule.
        """
        reply = self._scripts.run_script("schedules", _need_name(name), "")
        now, rows, plan, values = cast(
            "tuple[int, list[Reply], str, str]", reply
        )
        with Reading("schedule", name):
            return int(now), _schedule(rows[0]), _content(plan, values)

    def start(self, schedule: Schedule, following: int) -> StartedRun | None:
        """Start the run of a due schedule, or repeat one that was not ended.

        `following` is the time of the run after it, in ms since the epoch. Of several
        callers one gets the run, and the others None.
        """
        reply = self._scripts.run_script(
            "start_scheduled",
            schedule.name,
            schedule.due_at,
            limits.number(following, "time", 0, limits.LARGEST),
        )
        due, plan, values, token = read.texts(reply)
        if not due:
            return None
        with Reading("schedule", schedule.name):
            return StartedRun(
                schedule=schedule,
                content=_content(plan, values),
                due=read.whole(due),
                access_token=_token({"access_token": token}),
            )

    def end(
        self,
        name: str,
        *,
        due: int | None = None,
        project: str = "",
        error: str = "",
    ) -> None:
        """Record the end of a run, with its project or the reason of its failure.

        `due` is that of a started run; None for one that a person has asked for. Raises
        errors.NoSchedule.
        """
        self._scripts.run_script(
            "end_scheduled",
            _need_name(name),
            "" if due is None else due,
            limits.project_id(project) if project else "",
            error[:ERROR_CHARACTERS],
        )

    def remove(self, name: str) -> None:
        """Remove a schedule; its projects stay. Raises errors.NoSchedule."""
        self._scripts.run_script("remove_schedule", _need_name(name))

    def _listed(self, only_due: str) -> DueSchedules:
        reply = self._scripts.run_script("schedules", "", only_due)
        now, rows, _, _ = cast("tuple[int, list[Reply], str, str]", reply)
        found = readable(_schedule, rows, self._scripts.damage)
        return DueSchedules(now=int(now), schedules=found)


def _need_name(name: str) -> str:
    if not limits.is_name(name):
        raise errors.NoSchedule(schedule=limits.shortened(name))
    return name


def _need_short(value: str, what: str, most: int) -> None:
    limits.text(value, what, required=True)
    if len(value) > most:
        raise errors.Invalid(
            reason=f"The {what} has {len(value)} characters; at most {most} are "
            "allowed."
        )


def _schedule(row: Reply) -> Schedule:
    name, due_at, *values = read.texts(row)
    with Reading("schedule", name):
        fields = dict(zip(_FIELDS, values, strict=True))
        return Schedule(
            name=name,
            cron=fields["cron"],
            zone=fields["zone"],
            due_at=read.whole(due_at),
            next_at=read.number(fields, "next"),
            running_at=read.number(fields, "running", 0),
            last_at=read.number(fields, "last_at", 0),
            last_project=fields["last_project"],
            last_error=fields["last_error"],
            runs=read.number(fields, "runs", 0),
            created_at=read.number(fields, "created_at"),
            created_by=read.agent_name(fields, "created_by"),
            access_token=_token(fields),
        )


def _token(fields: Fields) -> str:
    """Return the id of the access token of a schedule, or ""."""
    token = fields["access_token"]
    if token and not access_token.is_id(token):
        raise DamagedField("access_token")
    return token


def _content(plan: str, values: str) -> ScheduledPlan:
    given = read.text_map({"values": values}, "values")
    return ScheduledPlan(plan=plan, values=given)
