"""The output of `orchestrate doctor` for people: a line for each check."""

from collections.abc import Sequence

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
    """Return a line for each check, with the command that fixes a problem."""
    rows = [_check(check) for check in found.checks]
    if found.fixed:
        rows.append(Text(f"Repaired: {found.fixed}"))
    return printed(*rows)


def quarantined(moved: Sequence[Quarantined]) -> str:
    """Return the damaged records that were moved aside, with all their fields."""
    rows = []
    for record in moved:
        subject = f"{record.kind} {line(record.id)}: {line(record.why)}"
        rows.append(f"{subject}, moved aside at {timestamp(record.at)}")
        rows += [
            f"  {line(name)}: {block(value, INDENT)}"
            for name, value in sorted(record.fields.items())
        ]
    return noted(rows)


def _check(check: CheckResult) -> Text:
    text = f"{check.name}: {line(check.found)}"
    if check.mend:
        stop = "" if check.found.endswith(".") else "."
        text += f"{stop} Fix: {line(check.mend)}"
    row = Text(f"{check.status:<9}", style=STYLES[check.status])
    return row.append(text, style="default")
