"""What `worker prime` prints: a short briefing in Markdown for an agent without memory."""

from collections.abc import Iterator, Sequence

from taskorch.cli import quoting
from taskorch.cli.quoting import CUT, DATA, cut, fenced, fitting
from taskorch.cli.text import labelled, line, timestamp
from taskorch.domain.item import Holder, State
from taskorch.queue.briefing import AgentBriefing, HeldItem

#: Maximum number of requirements, reports, questions and notes of the first item. The
#: others have one of each.
ROWS = 3
REPORTS = ("progress", "fail", "release", "expire")
QUESTIONS = ("blocker", "answer")
CUT_ROWS = "more requirements]"
NAMES_BYTES = 100

COMMANDS = """\
| command | |
|---|---|
| `worker pop` | claim your next item and see it in full; `--wait 300` waits for one |
| `worker get ITEM` | claim an item of yours, or see again one that you hold |
| `worker progress ITEM TEXT --percent N` | report progress; it renews the lease |
| `worker notes ITEM TEXT` | keep a private note; without TEXT, print them |
| `worker discover ITEM TEXT --impact TEXT` | share a finding with the project |
| `worker blocker ITEM TEXT --needs TEXT` | ask about what blocks you |
| `worker wait ITEM` | wait for the answer |
| `worker complete ITEM SUMMARY --deliverable NAME=VALUE` | deliver |
| `worker fail ITEM REASON` | give up this attempt |
| `worker release ITEM` | return the item unchanged |
| `worker check` | list the items assigned to you |

Exit codes: 0 done; 2 usage; 3 no such item; 4 Redis is unreachable: retry later; 5 not possible in this state;
6 you no longer hold the item: take other work; 7 assigned to another agent; 8 nothing to do now."""


def briefing(read: AgentBriefing) -> str:
    """Return who the agent is, its items, its queue, the next step and the commands.

    Texts are cut until all of it fits into `quoting.MOST_BYTES`.
    """
    return fitting(lambda length: "\n\n".join(_sections(read, length)))


def _sections(read: AgentBriefing, length: int) -> Iterator[str]:
    session = f", session `{read.session}`" if read.session else ""
    yield (
        f"# You are the agent `{read.agent}` ({line(read.host)}{session}, namespace `{read.namespace}`)\n\n"
        f"You work on items from a shared queue, with the command `worker`. {DATA}"
    )
    yield f"## Held under your name: {_items(read.held_count)}"
    for number, held in enumerate(read.held):
        rows = 1 if number else ROWS
        yield f"### {_status(held)}\n\n{_details(held, length, rows)}"
    if read.held_count > len(read.held):
        yield f"… and {read.held_count - len(read.held)} more: worker check"
    yield f"## Your queue: {_items(read.queue_count)} ready, {read.later} not ready yet"
    if read.queue:
        yield fenced(
            f"{item.id} (priority {item.priority}) {cut(item.title, length, line)}"
            for item in read.queue
        )
    if read.queue_count > len(read.queue):
        yield f"… and {read.queue_count - len(read.queue)} more: worker check"
    yield f"## Next step\n\n    {next_step(read)}"
    yield f"## Commands\n\n{COMMANDS}"


def next_step(read: AgentBriefing) -> str:
    """Return the command to run next."""
    mine = [held.claim.package.item for held in read.held if held.claim.lease]
    blocked = [item.id for item in mine if item.state is State.BLOCKED]
    for item in mine:
        if item.state not in (State.BLOCKED, State.FAILED):
            return f"worker get {item.id}"
    if read.queue_count:
        return "worker pop"
    return f"worker wait {blocked[0]}" if blocked else "worker pop --wait 300"


def _details(held: HeldItem, length: int, rows: int) -> str:
    """Return the texts of an item in a fence: at most `rows` of each kind, cut to `length` bytes."""
    item, history = held.claim.package.item, held.claim.package.history
    reports = [entry for entry in history if entry.kind in REPORTS]
    questions = [entry for entry in history if entry.kind in QUESTIONS]
    lines = [f"Title: {cut(item.title, length, line)}"]
    if held.claim.lease is None and item.holder:
        lines.append(_holder(item.holder))
    if item.description:
        lines.append(f"Description: {cut(item.description, length)}")
    lines += _texts("Requirements", item.requirements[:rows], length)
    if len(item.requirements) > rows:
        lines.append(f"  … [{len(item.requirements) - rows} {CUT_ROWS}")
    for label, entries in (
        ("Last reports", reports),
        ("Blockers and answers", questions),
    ):
        shown = [quoting.report(entry, length=length) for entry in entries[-rows:]]
        lines += labelled(label, shown)
    lines += _texts("Your notes", [note.text for note in held.notes[-rows:]], length)
    details = fenced(lines)
    if CUT in details or CUT_ROWS in details:
        details += f"\n\nCut short: `worker get {item.id} --peek` prints all of it, `worker notes {item.id}` all notes."
    return details


def _texts(label: str, texts: Sequence[str], length: int) -> list[str]:
    return labelled(label, [cut(text, length) for text in texts])


def _status(held: HeldItem) -> str:
    item, lease = held.claim.package.item, held.claim.lease
    head = f"`{item.id}`: {item.state}, {item.percent}%, attempt {item.attempts} of {item.max_attempts}"
    if lease is None:
        return f"{head}, held by another session of yours; if it has ended: worker get {item.id} --takeover"
    match item.state:
        case State.BLOCKED:
            status = ", yours; it waits for an answer"
        case State.FAILED:
            status = "; the last attempt is over: if the work is done, worker complete still delivers it"
        case State.IN_PROGRESS:
            status = f", yours until {timestamp(item.lease_expires_at)}"
        case _:
            status = "; the lease ran out, and a report claims it again"
    return f"{head}, token {lease.token}{status}"


def _holder(holder: Holder) -> str:
    host = cut(holder.host, NAMES_BYTES, line)
    session = ""
    if holder.session:
        session = f", session {cut(holder.session, NAMES_BYTES, line)}"
    return f"Holder: host {host}, pid {holder.pid}{session}, since {timestamp(holder.since)}"


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count or 'no'} items"
