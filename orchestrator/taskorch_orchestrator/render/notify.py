"""The output of `orchestrate notify` for people."""

from collections.abc import Sequence

from taskorch.cli.text import cell, line

from taskorch_orchestrator.notify.targets import TargetStatus, TestedTarget
from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.console import Column

NOTHING = "-"


def table(statuses: Sequence[TargetStatus]) -> str:
    """Return the targets as a table; "" for none."""
    if not statuses:
        return ""
    rows = screen.Table(
        Column(header="TARGET", least=12),
        Column(header="FORMAT", leaves=2),
        Column(header="EVENTS", least=12),
        Column(header="SENT"),
        Column(header="LAST"),
        Column(header="LOST"),
        Column(header="LAST FAILURE", least=12),
    )
    for each in statuses:
        rows.add_row(
            cell(each.target),
            each.format,
            ", ".join(each.events),
            str(each.sent),
            _since(each.sent_at),
            str(each.lost),
            _failure(each),
        )
    return screen.printed(rows)


def tested(results: Sequence[TestedTarget]) -> str:
    """Return what became of each test message; "" for none."""
    return "\n".join(
        f"{line(each.target)}: {line(_result(each))}" for each in results
    )


def _result(each: TestedTarget) -> str:
    return "sent" if each.sent else f"not sent: {each.reason}"


def _since(at: int) -> str:
    return screen.since(at) if at else NOTHING


def _failure(each: TargetStatus) -> str:
    if not each.failed_at:
        return NOTHING
    return cell(f"{screen.since(each.failed_at)}: {each.failure}")
