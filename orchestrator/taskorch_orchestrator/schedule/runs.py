"""The runs of schedules: each applies the plan of a schedule once.

The project of a run has a key with the schedule and the time of the run. So a run that
is repeated after a crash creates no second project. A schedule that the client of an access
token has added stays within what the token allows.
"""

import logging
from collections.abc import Callable, Mapping

from taskorch.cli.text import line
from taskorch.domain import errors
from taskorch.domain.clock import rfc3339
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.schedule import (
    AddedSchedule,
    NewSchedule,
    Schedule,
    ScheduledPlan,
    StartedRun,
)
from taskorch.queue.plan import AppliedPlan, Plan
from taskorch.queue.queue import Queue

from taskorch_orchestrator.plan import plan_file
from taskorch_orchestrator.schedule import cron

#: Runs that one pass of the service starts at most.
MOST_RUNS = 20
#: When the next run is due if the cron line or the zone cannot be read any more.
UNREADABLE_MS = 3_600_000
#: The variables that a run fills, if the plan declares them.
RUN_DATE, RUN_AT = "run_date", "run_at"

log = logging.getLogger(__name__)


class ScheduleTiming(Frozen):
    """When a schedule runs: a cron line and its time zone."""

    cron: str
    zone: str


def add(
    queue: Queue,
    name: str,
    plan: tuple[str, bytes],
    timing: ScheduleTiming,
    values: Mapping[str, str],
) -> AddedSchedule:
    """Create a schedule for a plan file, a name and its content, after checking it all.

    Raises errors.BadPlan, errors.Invalid, errors.ScheduleExists and
    errors.TooManySchedules.
    """
    schedules = queue.schedules()
    next_at = cron.next_after(timing.cron, timing.zone, schedules.due().now)
    file, data = plan
    read = plan_file.read(file, data, values, _offered(timing.zone, next_at))
    if read.key:
        raise errors.Invalid(
            reason="A scheduled plan has no key, because each run creates a project of "
            "its own. Remove the key. To add items to one project, write its id: "
            "project: proj_…"
        )
    new = NewSchedule(
        name=name,
        cron=" ".join(timing.cron.split()),
        zone=timing.zone,
        plan=data.decode("utf-8-sig"),
        values=values,
        next_at=next_at,
    )
    schedules.create(new)
    return AddedSchedule(name=name, next_at=next_at)


def run_now(
    queue: Queue, name: str, apply: Callable[[Plan], AppliedPlan]
) -> AppliedPlan:
    """Apply the plan of a schedule now, as a step of the caller; its next run stays.

    Raises errors.NoSchedule, and what the plan raises.
    """
    schedules = queue.schedules()
    now, schedule, content = schedules.get(name)
    try:
        applied = apply(_plan(schedule, content, now))
    except errors.Unavailable:
        raise
    except errors.TaskOrchestratorError as error:
        schedules.end(name, error=_reason(error))
        raise
    schedules.end(name, project=applied.project)
    return applied


def run_due(queue: Queue) -> None:
    """Do one pass of the service: the runs that are due, each for one service.

    Each applies its plan under the access token of its schedule, if it has one. A run
    that failed is recorded with its reason. Raises errors.Unavailable; the run is then
    repeated.
    """
    due = queue.schedules().due()
    for schedule in due.schedules[:MOST_RUNS]:
        following, trouble = _following(schedule, due.now)
        run = queue.schedules().start(schedule, following)
        if run:
            _run(queue, run, trouble)


def _following(schedule: Schedule, now: int) -> tuple[int, str]:
    """Return the time of the next run, and why it cannot be known, or ""."""
    try:
        return cron.next_after(schedule.cron, schedule.zone, now), ""
    except errors.Invalid as error:
        return now + UNREADABLE_MS, str(error)


def _run(queue: Queue, run: StartedRun, trouble: str) -> None:
    name, project = run.schedule.name, ""
    if not trouble:
        try:
            plan = _plan(run.schedule, run.content, run.due)
            project = _allowed(queue, run.access_token).apply(plan).project
        except errors.Unavailable:
            raise
        except errors.TokenRefused:
            trouble = (
                f"The access token {run.access_token}, whose client has added this "
                "schedule, was revoked or has expired. Remove the schedule, then add it "
                "with a valid token."
            )
        except errors.TaskOrchestratorError as error:
            trouble = _reason(error)
    try:
        queue.schedules().end(
            name, due=run.due, project=project, error=trouble
        )
    except errors.NoSchedule:
        log.info("Schedule %s was removed during its run", name)
    if trouble:
        log.warning("Schedule %s failed: %s", name, line(trouble))
    else:
        log.info("Schedule %s has run: %s", name, project)


def _allowed(queue: Queue, access_token: str) -> Queue:
    """Return the queue as a run may change it: under an access token, if it has one."""
    return queue.under_token(access_token) if access_token else queue


def _plan(schedule: Schedule, content: ScheduledPlan, at: int) -> Plan:
    """Return the plan of a run, with keys that no other run has."""
    plan = plan_file.read(
        f"The plan of {schedule.name}",
        content.plan.encode(),
        content.values,
        _offered(schedule.zone, at),
    )
    if plan.project is None:
        return replace(plan, key=f"schedule {schedule.name} {rfc3339(at)}")
    items = [
        replace(each, key=f"{each.key} {rfc3339(at)}") for each in plan.items
    ]
    return replace(plan, items=tuple(items))


def _offered(zone: str, at: int) -> dict[str, str]:
    """Return the values that a run gives to variables which nobody has set."""
    return {
        RUN_DATE: cron.local(zone, at).date().isoformat(),
        RUN_AT: rfc3339(at),
    }


def _reason(error: errors.TaskOrchestratorError) -> str:
    return "\n".join([str(error), *error.rows()])
