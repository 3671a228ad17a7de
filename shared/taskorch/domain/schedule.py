"""Schedules: plans that are applied at the times of a cron line."""

from collections.abc import Mapping

from taskorch.domain.frozen import Frozen

#: Maximum number of schedules of a namespace; scripts/prelude/schedules.lua has the same.
MOST_SCHEDULES = 100
#: Maximum size of the plan of a schedule.
PLAN_BYTES = 256 * 1024
CRON_CHARACTERS = 200
ZONE_CHARACTERS = 64
#: Characters of an error that a schedule keeps.
ERROR_CHARACTERS = 2000


class NewSchedule(Frozen):
    """A schedule to create."""

    name: str
    #: Minute, hour, day of the month, month and day of the week.
    cron: str
    #: The time zone of the cron line, such as Europe/Berlin.
    zone: str
    #: The text of a plan file.
    plan: str
    #: The values of its variables, by name.
    values: Mapping[str, str]
    #: The time of the first run, in ms since the epoch.
    next_at: int


class AddedSchedule(Frozen):
    """A schedule that was added."""

    name: str
    #: The time of its first run, in ms since the epoch.
    next_at: int


class Schedule(Frozen):
    """A schedule as lists show it, without its plan. Times are in ms since the epoch."""

    _hidden = ("due_at",)
    name: str
    cron: str
    zone: str
    #: When a service acts on it: at its next run, or when an unfinished run is repeated.
    due_at: int
    next_at: int
    #: The time of a run that has started and not ended; 0 if there is none.
    running_at: int
    #: When the last run ended; 0 if there was none.
    last_at: int
    #: The project of the last run that succeeded, or "".
    last_project: str
    #: Why the last run failed, or "".
    last_error: str
    #: The number of runs that have ended.
    runs: int
    created_at: int
    created_by: str
    #: The id of the access token whose client has added it, and under which the service
    #: applies its plan; "" for none.
    access_token: str


class ScheduledPlan(Frozen):
    """The plan of a schedule, and the values of its variables."""

    plan: str
    values: Mapping[str, str]


class StartedRun(Frozen):
    """A run that this caller has started; it is repeated unless a caller ends it."""

    schedule: Schedule
    content: ScheduledPlan
    #: The time that it was due, in ms since the epoch.
    due: int
    #: The id of the access token to apply the plan under, or "".
    access_token: str
