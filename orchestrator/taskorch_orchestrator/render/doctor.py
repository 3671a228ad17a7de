"""What `orchestrate doctor` prints for people: a line for each check."""

from collections.abc import Iterator, Sequence

from rich.text import Text
from taskorch.cli.quoting import INDENT, noted
from taskorch.cli.text import block, line, timestamp
from taskorch.queue.audit import Quarantined

from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus
from taskorch_orchestrator.doctor.doctor import Diagnosis
from taskorch_orchestrator.render.console import printed

STYLES = {
    CheckStatus.OK: "green",
    CheckStatus.NOTE: "yellow",
    CheckStatus.PROBLEM: "red",
}


def diagnosis(found: Diagnosis) -> str:
    """Return what the doctor found, each with the command that mends it."""
    repaired = [Text(f"Repaired: {found.fixed}")] if found.fixed else []
    return printed(*(_check(check) for check in found.checks), *repaired)


def quarantined(moved: Sequence[Quarantined]) -> str:
    """Return what was moved aside, with every field that it had."""
    rows = [row for each in moved for row in _quarantined(each)]
    return noted(rows)


def _quarantined(moved: Quarantined) -> Iterator[str]:
    yield f"{moved.kind} {line(moved.id)}: {line(moved.why)}, moved aside at {timestamp(moved.at)}"
    for name, value in sorted(moved.fields.items()):
        yield f"  {line(name)}: {block(value, INDENT)}"


def _check(check: CheckResult) -> Text:
    told = Text(f"{check.status:<9}", style=STYLES[check.status])
    told.append(f"{check.name}: {line(check.found)}", style="default")
    if check.mend:
        told.append(
            f"{'' if check.found.endswith('.') else '.'} Fix: {line(check.mend)}",
            style="default",
        )
    return told
