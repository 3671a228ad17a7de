"""The output of the `schedule` commands for people."""

from collections.abc import Mapping, Sequence

from taskorch.cli.text import cell, line, one_line, timestamp
from taskorch.domain.schedule import AddedSchedule, Schedule

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.console import Column


def added(new: AddedSchedule) -> str:
    """Return when a new schedule runs for the first time."""
    at = timestamp(new.next_at)
    return f"{line(new.name)} runs for the first time at {at}."


def removed(schedule: Mapping[str, str]) -> str:
    """Return the name of a removed schedule."""
    return f"Removed {schedule['name']}."


def table(listed: Sequence[Schedule]) -> str:
    """Return the schedules as a table; "" for none."""
    if not listed:
        return ""
    has_tokens = any(each.access_token for each in listed)
    rows = screen.Table(
        Column(header="NAME", least=12),
        Column(header="CRON"),
        Column(header="ZONE", leaves=4),
        Column(header="NEXT RUN"),
        Column(header="LAST RUN", leaves=5),
        Column(header="PROJECT", leaves=3),
        Column(header="RUNS", leaves=1),
        *([Column(header="TOKEN", leaves=2)] if has_tokens else []),
        Column(header="LAST ERROR", is_below=True),
    )
    for each in listed:
        rows.add_row(
            cell(each.name),
            cell(each.cron),
            cell(each.zone),
            timestamp(each.next_at),
            screen.since(each.last_at) if each.last_at else "never",
            cell(each.last_project) or "-",
            str(each.runs),
            *([each.access_token or "-"] if has_tokens else []),
            one_line(each.last_error),
        )
    return screen.printed(rows)
