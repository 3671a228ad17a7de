"""The output of `worker prime`: a short briefing in Markdown."""

from collections.abc import Iterator, Sequence

from taskorch.cli import quoting
from taskorch.cli.quoting import (
    CUT,
    DATA,
    MORE_FINDINGS,
    cut,
    fenced,
    fitting,
)
from taskorch.cli.text import counted, labelled, line, questions, timestamp
from taskorch.domain.item import Holder, Item, Report, State
from taskorch.queue.briefing import AgentBriefing, HeldItem

from taskorch_worker.render import items

#: Maximum number of requirements, reports, questions and notes of the first item. The
#: others have one of each.
ROWS = 3
REPORTS = ("progress", "fail", "release", "expire", "send_back")
QUESTIONS = ("blocker", "answer", "withdraw")
COMMENTS = ("comment", "agent_comment")
CUT_ROWS = "more requirements]"
NAMES_BYTES = 100
#: If texts must be cut to fewer bytes, findings are left out.
FINDING_BYTES = 80
#: If texts must be cut to fewer bytes, an item has one text of each kind.
ROWS_BYTES = 20

RUN = """\
This session is a command of `worker run`, for `{item}` alone. When it has ended, the run claims the next item:
`worker pop` is refused here."""

COMMANDS = """\
| command | |
|---|---|
| `worker pop` | claim your next item and see it in full; `--wait 100` waits for one |
| `worker get ITEM` | claim an item of yours, or see again one that you hold |
| `worker progress ITEM TEXT --percent N` | report progress; it renews the lease |
| `worker notes ITEM TEXT` | keep a private note; without TEXT, print them |
| `worker discover ITEM TEXT --impact TEXT` | share a discovery with the project |
| `worker discoveries ITEM` | read what others found in its project; `--new` |
| `worker blocker ITEM TEXT --needs TEXT` | ask about what blocks you |
| `worker comment ITEM TEXT` | tell the orchestrator something that needs no answer |
| `worker wait ITEM --timeout 100` | wait for the answer |
| `worker complete ITEM SUMMARY --deliverable NAME=VALUE` | deliver; `--next` claims your next item, too |
| `worker fail ITEM REASON` | give up this attempt |
| `worker release ITEM` | return the item unchanged |
| `worker check` | list the items assigned to you |

Exit codes: 0 done; 2 usage; 3 no such item; 4 Redis is unreachable: retry later; 5 not possible in this state;
6 you no longer hold the item: take other work; 7 assigned to another agent; 8 nothing to do now."""


def briefing(read: AgentBriefing, run_item: str = "") -> str:
    """Return who the agent is, its items, its queue, the next step and the commands.

    In a command of `worker run`, `run_item` is its item. Texts are cut until all of it
    fits into `quoting.MOST_BYTES`.
    """
    return fitting(
        lambda length: "\n\n".join(_sections(read, length, run_item))
    )


def next_step(read: AgentBriefing, run_item: str = "") -> str:
    """Return the command to run next. A command of `worker run` claims no other item."""
    blocked = ""
    for held in read.held:
        item = held.claim.package.item
        if held.claim.lease is None or item.state is State.FAILED:
            continue
        if item.state is not State.BLOCKED:
            return f"worker get {item.id}"
        blocked = blocked or item.id
    if run_item:
        return "exit"
    if read.queue_count:
        return "worker pop"
    if read.reviews:
        return "worker reviews"
    if blocked:
        return f"worker wait {blocked} --timeout 100"
    return "worker pop --wait 100"


def _sections(
    read: AgentBriefing, length: int, run_item: str
) -> Iterator[str]:
    session = f", session `{read.session}`" if read.session else ""
    host = line(read.host)
    place = f"{host}{session}, namespace `{read.namespace}`"
    yield f"# You are the agent `{read.agent}` ({place})"
    yield f"You work on items from a shared queue, with the command `worker`. {DATA}"
    if run_item:
        yield RUN.format(item=line(run_item))
    yield f"## Held under your name: {_items(read.held_count)}"
    for number, held in enumerate(read.held):
        rows = 1 if number or length < ROWS_BYTES else ROWS
        yield f"### {_status(held)}"
        yield from _details(held, length, rows)
    left = read.held_count - len(read.held)
    if left > 0:
        yield f"… and {left} more: worker check"
    ready = _items(read.queue_count)
    yield f"## Your queue: {ready} ready, {read.later} not ready yet"
    yield from items.pools(read.pools)
    if read.over_budget:
        yield f"No item of it can be claimed now: {line(read.over_budget)}"
    if read.queue:
        queued = [_queued(item, length) for item in read.queue]
        yield fenced(queued)
    left = read.queue_count - len(read.queue)
    if left > 0:
        yield f"… and {left} more: worker check"
    if read.reviews:
        wait = counted(read.reviews, "item waits", "items wait")
        yield f"{wait} for your review: worker reviews"
    yield f"## Next step\n\n    {next_step(read, run_item)}"
    yield f"## Commands\n\n{COMMANDS}"


def _items(count: int) -> str:
    if count == 1:
        return "1 item"
    return f"{count or 'no'} items"


def _queued(item: Item, length: int) -> str:
    title = cut(item.title, length, line)
    return f"{item.id} (priority {item.priority}) {title}"


def _status(held: HeldItem) -> str:
    item = held.claim.package.item
    lease = held.claim.lease
    attempt = f"attempt {item.attempts} of {item.max_attempts}"
    head = f"`{item.id}`: {item.state}, {item.percent}%, {attempt}"
    if lease is None:
        takeover = f"worker get {item.id} --takeover"
        return f"{head}, held by another session of yours; if it has ended: {takeover}"
    match item.state:
        case State.BLOCKED:
            status = ", yours; it waits for an answer"
        case State.FAILED:
            status = "; the last attempt is over: if the work is done, worker complete still delivers it"
        case State.IN_PROGRESS:
            until = timestamp(item.lease_expires_at)
            status = f", yours until {until}"
        case _:
            status = "; the lease expired, and a report claims it again"
    still_open = questions([each.number for each in item.questions])
    if still_open:
        status += f"; open: {still_open}"
    return f"{head}, token {lease.token}{status}"


def _details(held: HeldItem, length: int, rows: int) -> Iterator[str]:
    """Yield the texts of an item in a fence, and how to see what was cut.

    There are at most `rows` texts of each kind, each cut to `length` bytes.
    """
    item = held.claim.package.item
    title = cut(item.title, length, line)
    lines = [f"Title: {title}"]
    if returned := quoting.returned(item, length):
        lines.append(returned)
    if held.claim.lease is None and item.holder:
        lines.append(_holder(item.holder))
    if item.description:
        description = cut(item.description, length)
        lines.append(f"Description: {description}")
    requirements = item.requirements[:rows]
    lines += _texts("Requirements", requirements, length)
    left = len(item.requirements) - rows
    if left > 0:
        lines.append(f"  … [{left} {CUT_ROWS}")
    history = held.claim.package.history
    for label, kinds in (
        ("Last reports", REPORTS),
        ("Questions and answers", QUESTIONS),
        ("Comments", COMMENTS),
    ):
        entries = [
            entry
            for entry in history
            if entry.kind in kinds and not _is_own_comment(entry, item)
        ]
        lines += _reports(label, entries[-rows:], length)
    shown = rows if length >= FINDING_BYTES else 0
    found = quoting.first_findings(held.claim.package, shown, length)
    lines += labelled("Findings", found)
    notes = [note.text for note in held.notes]
    lines += _texts("Your notes", notes[-rows:], length)
    details = fenced(lines)
    yield details
    if any(mark in details for mark in (CUT, CUT_ROWS, MORE_FINDINGS)):
        all_texts = f"`worker get {item.id} --peek` prints all of it"
        yield f"Cut short: {all_texts}, `worker notes {item.id}` all notes."


def _is_own_comment(entry: Report, item: Item) -> bool:
    """Return whether the holder has made a comment: those of others must have room."""
    return entry.kind == "agent_comment" and entry.token == item.token


def _texts(label: str, texts: Sequence[str], length: int) -> list[str]:
    rows = [cut(text, length) for text in texts]
    return labelled(label, rows)


def _reports(label: str, entries: Sequence[Report], length: int) -> list[str]:
    rows = [quoting.report(entry, length=length) for entry in entries]
    return labelled(label, rows)


def _holder(holder: Holder) -> str:
    host = cut(holder.host, NAMES_BYTES, line)
    session = ""
    if holder.session:
        name = cut(holder.session, NAMES_BYTES, line)
        session = f", session {name}"
    since = timestamp(holder.since)
    return f"Holder: host {host}, pid {holder.pid}{session}, since {since}"
