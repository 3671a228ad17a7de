"""The output of the `audit` command for people."""

from collections.abc import Sequence

from taskorch.cli.text import cell, timestamp
from taskorch.domain.audit_line import AuditLine

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.console import Column

NOTHING = "-"


def table(lines: Sequence[AuditLine]) -> str:
    """Return the lines as a table; "" for none."""
    if not lines:
        return ""
    rows = screen.Table(
        Column(header="AT"),
        Column(header="TOKEN", leaves=2),
        Column(header="ROLE", leaves=3),
        Column(header="NAME", least=12),
        Column(header="VERB"),
        Column(header="OUTCOME"),
        Column(header="IDS", least=13),
        Column(header="FROM", leaves=1),
    )
    for line in lines:
        rows.add_row(
            screen.since(line.at),
            line.token or NOTHING,
            line.role or NOTHING,
            cell(_name(line)),
            line.verb or NOTHING,
            _outcome(line),
            " ".join(line.ids) or NOTHING,
            cell(line.address) or NOTHING,
        )
    return screen.printed(rows)


def entry(line: AuditLine) -> str:
    """Return one line of a stream."""
    words = (
        timestamp(line.at),
        line.token or NOTHING,
        cell(_name(line)),
        line.verb or NOTHING,
        _outcome(line),
        *line.ids,
        cell(line.address),
    )
    return " ".join(filter(None, words))


def _name(line: AuditLine) -> str:
    """Return who acted, with the other name that an administrator or a service has used."""
    if line.caller in ("", line.name):
        return line.name or NOTHING
    return f"{line.name} as {line.caller}"


def _outcome(line: AuditLine) -> str:
    return line.outcome if line.count == 1 else f"{line.outcome} x{line.count}"
