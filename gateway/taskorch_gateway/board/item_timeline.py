"""The timeline of an item as the board shows it: by attempts, the newest step first.

Texts are as they are stored: templates escape them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import FieldChange
from taskorch.domain.timeline import TimelineEntry

#: A text that is longer, or has more lines, is shown folded.
FOLDED_CHARACTERS = 400
FOLDED_LINES = 8
#: What is shown of a folded text.
HEAD_CHARACTERS = 160
BEFORE = "Before the first attempt"
#: The heading of the oldest steps, if there are older ones that are not shown.
EARLIER = "Earlier"


class ShownText(Frozen):
    """A text of a person or an agent."""

    text: str
    #: Its beginning, if it is long enough to be folded; else "".
    head: str = ""


class Quote(Frozen):
    """A text of a step, and what it is to the step; "" for the text itself."""

    label: str
    shown: ShownText


class TimelineStep(Frozen):
    """One thing that happened."""

    #: Tells it from the other steps of the item.
    key: str
    #: The name of its shape, such as "work".
    glyph: str
    #: What happened, in words of ours.
    what: str
    at: int
    quotes: tuple[Quote, ...] = ()
    #: What an edit has changed.
    changes: tuple[FieldChange, ...] = ()
    #: The number of the question that it closes, or 0.
    closes: int = 0


class AttemptSteps(Frozen):
    """The steps of a claim, and those that followed it; or those before the first."""

    label: str
    steps: tuple[TimelineStep, ...]


def attempts(entries: Sequence[TimelineEntry]) -> tuple[AttemptSteps, ...]:
    """Return the steps by attempts, the newest first. `entries` are the oldest first."""
    made: list[tuple[str, list[TimelineStep]]] = []
    token = 0
    for entry in entries:
        report = entry.report
        begins = report.kind == "claim" or report.token > token
        token = max(token, report.token)
        if begins:
            made.append((_label(entry), []))
        elif not made:
            made.append((BEFORE if report.kind == "create" else EARLIER, []))
        made[-1][1].append(_step(entry))
    return tuple(
        AttemptSteps(label=label, steps=tuple(reversed(steps)))
        for label, steps in reversed(made)
    )


def shown_text(content: str) -> ShownText:
    """Return a text as it is shown: folded if it is long."""
    visible = content.strip("\r\n")
    lines = visible.splitlines()
    if len(visible) <= FOLDED_CHARACTERS and len(lines) <= FOLDED_LINES:
        return ShownText(text=visible)
    head = " ".join(visible[: 2 * HEAD_CHARACTERS].split())
    return ShownText(text=visible, head=head[:HEAD_CHARACTERS] + " …")


def _label(entry: TimelineEntry) -> str:
    """Return the heading of an attempt: its number, and where it is made."""
    host = entry.details.get("host", "")
    number = f"Attempt {entry.report.attempt}"
    return f"{number} · {host}" if host else number


def _step(entry: TimelineEntry) -> TimelineStep:
    report = entry.report
    return TimelineStep(
        key=f"{report.kind}-{report.id or report.at}",
        glyph=GLYPHS.get(report.kind, "queued"),
        what=WORDS.get(report.kind, _plain)(entry),
        at=report.at,
        quotes=tuple(_quotes(entry)),
        changes=report.changes,
        closes=report.question if report.kind in CLOSING else 0,
    )


def _quotes(entry: TimelineEntry) -> Iterable[Quote]:
    """Yield the texts of an entry. Those of an edit are its changes."""
    report = entry.report
    texts = (
        ("", "" if report.changes else report.text),
        ("Needs", report.needs),
        ("Impact", entry.details.get("impact", "")),
    )
    for label, content in texts:
        if content.strip():
            yield Quote(label=label, shown=shown_text(content))


def _plain(entry: TimelineEntry) -> str:
    """Return the words of a step that any agent or orchestrator may take."""
    kind = entry.report.kind
    verb = PLAIN.get(kind, kind.capitalize())
    return verb + _by(entry)


def _by(entry: TimelineEntry) -> str:
    """Return the agent of an entry; namespaces of earlier versions may not name it."""
    agent = entry.report.agent
    return f" by {agent}" if agent else ""


def _assigned(entry: TimelineEntry) -> str:
    before = entry.details.get("from", "")
    taken = f", before that to {before}" if before else ""
    agent = entry.details.get("to", "")
    return f"Assigned to {agent}{taken}{_by(entry)}"


def _claimed(entry: TimelineEntry) -> str:
    host = entry.details.get("host", "")
    session = entry.details.get("session", "")
    words = f"Claimed{_by(entry)}"
    if host:
        words += f" on {host}"
    return f"{words}, session {session}" if session else words


def _reported(entry: TimelineEntry) -> str:
    percent = entry.report.percent
    return "Progress" if percent is None else f"{percent}%"


def _completed(entry: TimelineEntry) -> str:
    reviewer = entry.report.reviewer
    review = f", for review by {reviewer}" if reviewer else ""
    return f"Completed{_by(entry)}{review}"


def _asked(entry: TimelineEntry) -> str:
    return f"{_numbered(entry, 'Question')}{_by(entry)}"


def _answered(entry: TimelineEntry) -> str:
    return f"{_numbered(entry, 'Answer to question')}{_by(entry)}"


def _withdrawn(entry: TimelineEntry) -> str:
    return f"{_numbered(entry, 'Question')} withdrawn{_by(entry)}"


def _numbered(entry: TimelineEntry, what: str) -> str:
    number = entry.report.question
    return f"{what} {number}" if number else what


def _expired(entry: TimelineEntry) -> str:
    agent = entry.report.agent
    return f"The lease of {agent} expired" if agent else "The lease expired"


#: Kind -> what happened, for a step whose words are that and who did it.
PLAIN = {
    "create": "Created",
    "edit": "Edited",
    "comment": "Comment",
    "agent_comment": "Comment",
    "discover": "Discovered",
    "release": "Released",
    "fail": "Failed",
    "cancel": "Cancelled",
    "accept": "Accepted",
    "send_back": "Sent back",
    "requeue": "Requeued",
    "lost": "Lease lost",
    "stray": "Reported without a lease",
}
#: Kind -> the function that returns its words.
WORDS: Mapping[str, Callable[[TimelineEntry], str]] = {
    "assign": _assigned,
    "claim": _claimed,
    "progress": _reported,
    "complete": _completed,
    "blocker": _asked,
    "answer": _answered,
    "withdraw": _withdrawn,
    "expire": _expired,
}
#: The kinds that close a question.
CLOSING = ("answer", "withdraw")
#: Kind -> its shape.
GLYPHS = {
    "create": "pending",
    "assign": "queued",
    "claim": "work",
    "progress": "work",
    "discover": "found",
    "blocker": "ask",
    "answer": "found",
    "withdraw": "queued",
    "comment": "found",
    "agent_comment": "found",
    "edit": "pending",
    "release": "queued",
    "fail": "failed",
    "complete": "done",
    "cancel": "cancelled",
    "accept": "done",
    "send_back": "queued",
    "requeue": "queued",
    "expire": "delayed",
    "lost": "delayed",
    "stray": "work",
}
