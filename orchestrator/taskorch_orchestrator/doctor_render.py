"""What `orchestrate doctor` prints for people: a line for each check."""

from rich.text import Text
from taskorch.plain_text import line

from taskorch_orchestrator.checks import Check, Status
from taskorch_orchestrator.doctor import Diagnosis
from taskorch_orchestrator.screen import printed

STYLES = {Status.OK: "green", Status.NOTE: "yellow", Status.PROBLEM: "red"}


def diagnosis(found: Diagnosis) -> str:
    """Return what the doctor found, each with the command that mends it."""
    repaired = [Text(f"Repaired: {found.fixed}")] if found.fixed else []
    return printed(*(_check(check) for check in found.checks), *repaired)


def _check(check: Check) -> Text:
    told = Text(f"{check.status:<9}", style=STYLES[check.status])
    told.append(f"{check.name}: {line(check.found)}", style="default")
    if check.mend:
        told.append(f"{'' if check.found.endswith('.') else '.'} Mend: {line(check.mend)}", style="default")
    return told
