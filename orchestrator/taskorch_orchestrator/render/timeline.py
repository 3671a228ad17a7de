"""The timeline of an item for people: a row for each entry, the oldest first."""

from collections.abc import Callable, Mapping, Sequence

from rich.text import Text
from taskorch.cli.amounts import used
from taskorch.cli.quoting import asked, kind
from taskorch.cli.text import block, line, timestamp
from taskorch.domain.timeline import TimelineEntry

#: Indent of the further lines of a text.
NESTED = "      "

#: Kind -> what happened, for a kind whose row is that, the agent and the text. Other
#: kinds have their own name there.
PLAIN = {
    "create": "created",
    "edit": "edited",
    "discover": "discovery",
    "release": "released",
    "fail": "failed",
    "cancel": "cancelled",
    "accept": "accepted",
    "send_back": "sent back",
    "requeue": "requeued",
    "lost": "lost",
    "stray": "report without a lease",
    "usage": "usage",
}


def rows(entries: Sequence[TimelineEntry]) -> list[Text]:
    """Return the heading and a row for each entry."""
    shown = [
        f"  {timestamp(entry.report.at)}  {_row(entry)}" for entry in entries
    ]
    return [Text("Timeline:"), *map(Text, shown)]


def _row(entry: TimelineEntry) -> str:
    report = entry.report
    head = HEADS.get(report.kind, _plain)(entry)
    texts = asked(report.text, report.needs, NESTED)
    row = f"{head}: {texts}" if texts else head
    if report.usage:
        row += f"\n{NESTED}used: {used(report.usage)}"
    impact = entry.details.get("impact")
    if impact:
        row += f"\n{NESTED}impact: {block(impact, NESTED)}"
    return row


def _completed(entry: TimelineEntry) -> str:
    reviewer = line(entry.report.reviewer)
    review = f", for review by {reviewer}" if reviewer else ""
    return f"completed{_by(entry)}{review}"


def _plain(entry: TimelineEntry) -> str:
    report = entry.report
    return PLAIN.get(report.kind, kind(report)) + _by(entry)


def _by(entry: TimelineEntry) -> str:
    """Return the agent of an entry; namespaces of earlier versions may not name it."""
    agent = entry.report.agent
    return f" by {agent}" if agent else ""


def _assigned(entry: TimelineEntry) -> str:
    before = entry.details.get("from")
    after = line(entry.details.get("to", ""))
    taken = f" (before: {line(before)})" if before else ""
    return f"assigned to {after}{taken}{_by(entry)}"


def _claimed(entry: TimelineEntry) -> str:
    report, where = entry.report, entry.details
    session = where.get("session", "")
    place = f" on {line(where.get('host', '')) or '-'}"
    if session:
        place += f", session {line(session)}"
    return f"claimed{_by(entry)}{place} (attempt {report.attempt})"


def _progress(entry: TimelineEntry) -> str:
    percent = entry.report.percent
    share = "" if percent is None else f" {percent}%"
    return f"progress{share}{_by(entry)}"


def _expired(entry: TimelineEntry) -> str:
    report = entry.report
    return f"the lease of {report.agent} expired (attempt {report.attempt})"


#: Kind -> the function that returns the beginning of its row.
HEADS: Mapping[str, Callable[[TimelineEntry], str]] = {
    "assign": _assigned,
    "claim": _claimed,
    "progress": _progress,
    "complete": _completed,
    "expire": _expired,
}
