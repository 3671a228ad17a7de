"""What `worker prime` prints: Markdown for an agent that remembers nothing, short enough to be read each time."""

from collections.abc import Iterator, Sequence

from taskorch.cli.quoting import CUT, DATA, INDENT, cut, fenced, fitting
from taskorch.cli.text import line, timestamp
from taskorch.domain.item import Item, Report, State
from taskorch.queue.briefing import AgentBriefing, HeldItem

#: So many of an item's requirements, reports, questions with answers, and notes; of the items after the first, one.
SHOWN = 3
REPORTS = ("progress", "fail", "release", "expire")
CUT_ROWS = "more requirements]"
NAMES_BYTES = 100

COMMANDS = """\
| command | |
|---|---|
| `worker pop` | claim your next item and see all of it; `--wait 300` waits for one |
| `worker get ITEM` | claim an item of yours, or see again what you hold |
| `worker progress ITEM TEXT --percent N` | report; it keeps the item yours |
| `worker notes ITEM TEXT` | keep a note for yourself; without TEXT, read them |
| `worker discover ITEM TEXT --impact TEXT` | share a finding with the project |
| `worker blocker ITEM TEXT --needs TEXT` | say what stops you |
| `worker wait ITEM` | wait for the answer to it |
| `worker complete ITEM SUMMARY --deliverable NAME=VALUE` | deliver |
| `worker fail ITEM REASON` | give up this attempt |
| `worker release ITEM` | give the item back unharmed |
| `worker check` | list what is assigned to you |

Exit codes: 0 done; 2 usage; 3 no such item; 4 Redis is away: the same again later; 5 not possible in this state;
6 the item is not yours any more: take other work; 7 assigned to another agent; 8 nothing to do now."""


def briefing(told: AgentBriefing) -> str:
    """Return who the agent is, what it holds, its queue, the next step and the commands, within the bound."""
    return fitting(lambda length: "\n\n".join(_parts(told, length)))


def _parts(told: AgentBriefing, length: int) -> Iterator[str]:
    session = f", session `{told.session}`" if told.session else ""
    yield (
        f"# You are the agent `{told.agent}` ({line(told.host)}{session}, namespace `{told.namespace}`)\n\n"
        f"Your work comes as items from a shared queue, by the command `worker`. {DATA}"
    )
    yield f"## Held under your name: {_items(told.held_count)}"
    for number, held in enumerate(told.held):
        yield _held(held, length, 1 if number else SHOWN)
    if told.held_count > len(told.held):
        yield f"… and {told.held_count - len(told.held)} more: worker check"
    yield f"## Your queue: {_items(told.queue_count)} ready, {told.later} not ready yet"
    if told.queue:
        yield fenced(_queued(item, length) for item in told.queue)
    if told.queue_count > len(told.queue):
        yield f"… and {told.queue_count - len(told.queue)} more: worker check"
    yield f"## Next step\n\n    {next_step(told)}"
    yield f"## Commands\n\n{COMMANDS}"


def next_step(told: AgentBriefing) -> str:
    """Return the command to type next."""
    mine = [held.claim.package.item for held in told.held if held.claim.lease]
    working = next(
        (item.id for item in mine if item.state not in (State.BLOCKED, State.FAILED)),
        "",
    )
    asking = next((item.id for item in mine if item.state is State.BLOCKED), "")
    if working:
        return f"worker get {working}"
    if told.queue_count:
        return "worker pop"
    return f"worker wait {asking}" if asking else "worker pop --wait 300"


def _held(held: HeldItem, length: int, shown: int) -> str:
    item, history = held.claim.package.item, held.claim.package.history
    reports = [_report(report, length) for report in history if report.kind in REPORTS]
    answers = [
        _report(report, length)
        for report in history
        if report.kind in ("blocker", "answer")
    ]
    lines = [
        f"Title: {cut(item.title, length, line)}",
        *([] if held.claim.lease else _holder(item)),
    ]
    lines += (
        [f"Description: {cut(item.description, length)}"] if item.description else []
    )
    lines += _listed(
        "Requirements", [cut(text, length) for text in item.requirements[:shown]]
    )
    lines += (
        [f"  … [{len(item.requirements) - shown} {CUT_ROWS}"]
        if len(item.requirements) > shown
        else []
    )
    lines += _listed("Last reports", reports[-shown:])
    lines += _listed("Blockers and answers", answers[-shown:])
    lines += _listed(
        "Your notes", [cut(note.text, length) for note in held.notes[-shown:]]
    )
    told = fenced(lines)
    if CUT in told or CUT_ROWS in told:
        told += f"\n\nCut short: `worker get {item.id} --peek` has all of it, `worker notes {item.id}` all notes."
    return f"### {_standing(held)}\n\n{told}"


def _standing(held: HeldItem) -> str:
    item, lease = held.claim.package.item, held.claim.lease
    head = f"`{item.id}`: {item.state}, {item.percent}%, attempt {item.attempts} of {item.max_attempts}"
    if lease is None:
        return f"{head}, held by another session of yours; if it is dead: worker get {item.id} --takeover"
    until = (
        f", yours until {timestamp(item.lease_expires_at)}"
        if item.lease_expires_at
        else ""
    )
    if item.state is State.BLOCKED:
        until = ", yours; it waits for an answer"
    elif item.state is State.FAILED:
        until = "; the last attempt is over: if the work is done all the same, worker complete takes it"
    elif item.state is not State.IN_PROGRESS:
        until = "; the lease ran out, and a report takes it up again"
    return f"{head}, token {lease.token}{until}"


def _holder(item: Item) -> list[str]:
    holder = item.holder
    if holder is None:
        return []
    session = (
        f", session {cut(holder.session, NAMES_BYTES, line)}" if holder.session else ""
    )
    host = cut(holder.host, NAMES_BYTES, line)
    return [
        f"Holder: host {host}, pid {holder.pid}{session}, since {timestamp(holder.since)}"
    ]


def _queued(item: Item, length: int) -> str:
    return f"{item.id} (priority {item.priority}) {cut(item.title, length, line)}"


def _listed(label: str, rows: Sequence[str]) -> list[str]:
    return [f"{label}:", *(f"  - {row}" for row in rows)] if rows else []


def _report(report: Report, length: int) -> str:
    percent = f" {report.percent}%" if report.percent is not None else ""
    words = "the lease ran out" if report.kind == "expire" else report.text
    shown = cut(words, length)
    left = length - len(shown.encode())
    needs = (
        f"\n{INDENT}needs: {cut(report.needs, left)}"
        if report.needs and left > 0
        else ""
    )
    return f"{report.kind}{percent} by {report.agent}: {shown}{needs}"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count or 'no'} items"
