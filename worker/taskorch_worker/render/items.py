"""The output of `worker`: items, receipts, answers, notes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from taskorch.cli import quoting
from taskorch.cli.quoting import INDENT, cut, noted
from taskorch.cli.text import (
    ago,
    block,
    counted,
    labelled,
    line,
    pairs,
    questions,
    timestamp,
)
from taskorch.domain.hints import state_in_words
from taskorch.domain.item import (
    Assignments,
    Caller,
    Claim,
    Discovery,
    DiscoveryPage,
    Item,
    Note,
    Package,
    Receipt,
    Report,
    SettledReceipt,
    State,
)

if TYPE_CHECKING:
    from taskorch.queue.wait_results import Answered

#: States in which the agent cannot get the item any more.
OVER = (State.REVIEW, State.COMPLETED, State.FAILED)
#: States of an item that its agent has delivered.
DELIVERED = (State.REVIEW, State.COMPLETED)
#: Kinds of reports that tell how an earlier attempt went.
EARLIER = (
    "progress",
    "fail",
    "release",
    "expire",
    "lost",
    "cancel",
    "complete",
    "send_back",
)
#: Earlier attempts, and reports of the holder, that are shown: the newest ones.
EARLIER_SHOWN = 5
OWN_SHOWN = 10
#: Bytes of a title in a list.
TITLE_BYTES = 120
#: Missing deliverables that are named; --json has all of them.
MISSING_SHOWN = 10


def assignments(assigned: Assignments, elsewhere: Collection[str]) -> str:
    """Return the number and the ids of assigned items, and below them what they are.

    Those `elsewhere` are held by other sessions of the agent.
    """
    end = ":" if assigned.items else "."
    lines = [f"You have {assigned.count} assigned work items{end}"]
    lines += [f"  - {item.id}" for item in assigned.items]
    left = assigned.count - len(assigned.items)
    if left > 0:
        lines.append(f"  … and {left} more (--limit)")
    if assigned.later:
        later = counted(assigned.later, "more item is", "more items are")
        lines.append(
            f"({later} assigned to you but not ready: waiting, delayed or blocked.)"
        )
    lines += pools(assigned.pools)
    if not assigned.items:
        return "\n".join(lines)
    held = []
    queued = []
    in_pools = []
    for item in assigned.items:
        if item.holder:
            held.append(_held(item, assigned.at, elsewhere))
        elif item.agent:
            queued.append(_queued(item, assigned.at))
        else:
            in_pools.append(_queued(item, assigned.at))
    lines += labelled("You hold", held)
    lines += labelled("In your queue", queued)
    lines += labelled("In your pools", in_pools)
    return noted(lines)


def pools(ready: Mapping[str, int]) -> list[str]:
    """Return a line with the number of ready items in each pool; none without pools."""
    if not ready:
        return []
    numbers = ", ".join(f"{pool} {number}" for pool, number in ready.items())
    return [f"Ready in your pools: {numbers}."]


def _held(item: Item, now: int, elsewhere: Collection[str]) -> str:
    since = ago(now - item.holder.since) if item.holder else ""
    state = f"{item.state}, {item.percent}%, claimed {since}"
    if item.id in elsewhere:
        state += ", held by another session"
    return _row(item, state)


def _queued(item: Item, now: int) -> str:
    place = "" if item.agent else f" to the pool {item.pool}"
    return _row(item, f"assigned{place} {ago(now - item.assigned_at)}")


def _row(item: Item, state: str) -> str:
    title = cut(item.title, TITLE_BYTES, line)
    return f"{item.id} (priority {item.priority}, {state}) {title}"


def claim(taken: Claim) -> str:
    """Return an item in full, the texts of its author first."""
    return noted(in_full(taken))


def claims(taken: Sequence[Claim]) -> str:
    """Return several items in full."""
    texts = ["\n".join(in_full(each)) for each in taken]
    return noted(["\n\n".join(texts)])


def receipt(done: Receipt) -> str:
    """Return the result of a step on one line, and what is new to the holder."""
    return _with_news([_result(done)], done)


def discovered(done: Receipt) -> str:
    """Return the result of a shared discovery."""
    return _with_news(["Shared with the project.", _result(done)], done)


def commented(done: Receipt) -> str:
    """Return the result of a comment."""
    return _with_news(["The orchestrator can read it.", _result(done)], done)


def missing(done: SettledReceipt) -> str:
    """Return which expected deliverables a completed item does not have."""
    names = [line(name) for name in done.missing_deliverables]
    shown = ", ".join(names[:MISSING_SHOWN])
    left = len(names) - MISSING_SHOWN
    if left > 0:
        shown += f" and {left} more"
    return f"Expected, but not among the deliverables of {done.id}: {shown}"


def answered(done: "Answered") -> str:
    """Return the state of an item, the answers to its questions, and new comments."""
    item = done.item
    state = state_in_words(item.state)
    if item.state is State.IN_PROGRESS:
        until = timestamp(item.lease_expires_at)
        state = f"in progress, yours until {until}"
    lines = [f"{item.id} is {state}."]
    if done.unanswered:
        verb = "is" if len(done.unanswered) == 1 else "are"
        numbers = questions(done.unanswered)
        lines[0] += f" Your {numbers} {verb} still open: worker wait {item.id}"
    elif item.state in DELIVERED or item.returned:
        lines += filter(None, [quoting.returned(item)])
    elif not done.answers:
        lines[0] += " You have no open question on it."
    for answer in done.answers:
        to = f" to question {answer.question}" if answer.question else ""
        text = block(answer.text, INDENT)
        lines.append(f"Answer{to} by {answer.agent}: {text}")
    lines += _edited(done.edited, item.id, item.state)
    lines += _new_comments(done.comments)
    return noted(lines) if lines[1:] else lines[0]


def discoveries(found: Sequence[Discovery], item: str, reader: Caller) -> str:
    """Return discoveries, and which of them are of this item or by the reader.

    Without an item, each has its project.
    """
    lines = []
    for each in found:
        place = "" if item else f" ({each.project})"
        if each.item == item:
            place = " (this item)"
        elif each.agent == reader.agent:
            place += " (yours)"
        lines.append(quoting.discovery(each, place=place))
    return noted(lines)


def page_hints(page: DiscoveryPage, *, new: bool, since: str) -> Iterator[str]:
    """Yield which projects were read, and how to read the rest."""
    if page.own_projects:
        yield f"Of the projects of your items: {', '.join(page.own_projects)}"
    if page.more and new:
        yield "There are more: rerun this command."
    elif page.more and not since:
        yield "There are older ones: --limit, or --since 0-0 for the oldest"
    elif page.discoveries and not new:
        yield f"Continue with --since {page.cursor}"


def notes(kept: tuple[Note, ...]) -> str:
    """Return private notes, oldest first."""
    lines = []
    for note in kept:
        at = timestamp(note.at)
        text = block(note.text, INDENT)
        lines.append(f"{at}  {text}")
    return noted(lines)


def identity(facts: Mapping[str, object]) -> str:
    """Return who the agent is, and the source of each setting."""
    sources = cast("Mapping[str, str]", facts["sources"])
    lines = []
    for name, value in facts.items():
        if name == "sources":
            continue
        label = f"{name}:"
        shown = line(str(value)) or "-"
        source = sources.get(name, "")
        lines.append(f"{label:15} {shown}  ({source})")
    return "\n".join(lines)


def _result(done: Receipt) -> str:
    item = done.id
    state = done.state
    if done.remark == "repeat" and not done.question:
        return f"{item} was {state_in_words(state)} already; nothing changed."
    details = str(state)
    match state:
        case State.IN_PROGRESS:
            until = timestamp(done.lease_expires_at)
            share = "" if done.percent is None else f"{done.percent}%, "
            details = f"in progress, {share}yours until {until}"
        case State.BLOCKED:
            asked = done.question in done.open_questions
            by = f" by question {done.question}" if asked else ""
            details = f"blocked{by}; you keep it until the answer arrives"
        case State.REVIEW:
            details = "in review: it is completed when its reviewer accepts it"
        case State.DELAYED:
            details = "delayed; it will be retried"
        case State.FAILED:
            details = "failed; it stays a dead letter until the orchestrator requeues it"
        case State.QUEUED:
            details = "back in the queue"
    if done.remark == "claimed" and state not in DELIVERED:
        details += " (claimed in this step)"
    return f"{item} is {details}.{_questions(done)}"


def _questions(done: Receipt) -> str:
    """Return what a step did to the questions of an item, and which are still open."""
    said = ""
    if done.closed_questions:
        closed = questions(done.closed_questions)
        said += f" Closed without an answer: {closed}."
    if done.question and done.question not in done.open_questions:
        said += f" Your question {done.question} is withdrawn."
    elif done.remark == "repeat":
        said += " It was open already."
    others = [each for each in done.open_questions if each != done.question]
    if others:
        verb = "is" if len(others) == 1 else "are"
        said += f" Your {questions(others)} {verb} still open."
    return said


def _with_news(lines: list[str], done: Receipt) -> str:
    """Return lines, what was edited, and the comments of a receipt with the notice."""
    lines += _edited(done.edited, done.id, done.state)
    comments = list(_new_comments(done.comments))
    if not comments:
        return "\n".join(lines)
    if done.comments_left:
        left = counted(
            done.comments_left,
            "earlier comment is new too",
            "earlier comments are new too",
        )
        comments.append(f"{left}: worker get {done.id} --peek")
    return noted([*lines, *comments])


def _edited(fields: Sequence[str], item: str, state: State) -> Iterator[str]:
    """Yield which fields of an item were edited, if any, and how to read them."""
    if fields:
        names = line(", ".join(fields))
        show = "" if state in OVER else f": worker get {item}"
        yield f"The orchestrator changed its {names}{show}"


def _new_comments(comments: Sequence[Report]) -> Iterator[str]:
    for comment in comments:
        text = block(comment.text, INDENT)
        yield f"New comment by {comment.agent}: {text}"


def in_full(taken: Claim) -> Iterator[str]:
    """Yield the lines of an item in full, without the notice."""
    package = taken.package
    item = package.item
    project = package.project_context
    yield f"=== Work Item: {item.id} ==="
    yield f"Title: {line(item.title)}"
    if returned := quoting.returned(item):
        yield returned
    yield from _texts("Requirements", item.requirements)
    if item.description:
        description = block(item.description, INDENT)
        yield f"Description: {description}"
    title = line(project.title)
    yield f"Project: {title} ({project.id})"
    if project.description:
        description = block(project.description, INDENT)
        yield f"Project description: {description}"
    yield from _texts("Acceptance criteria", item.criteria)
    if item.checks:
        # most items have no checks, and a command begins sooner without it
        from taskorch.cli.check_lines import check_lines

        yield from labelled("Acceptance checks", check_lines(item))
    if item.reviewer:
        yield f"Reviewed by: {item.reviewer}"
    yield from _texts("Expected deliverables", item.deliverables_expected)
    yield from _texts("Context", pairs(item.context))
    yield from _texts("Resources", item.resources)
    if item.labels:
        yield f"Labels: {', '.join(item.labels)}"
    yield from labelled("Depends on", _dependencies(package))
    yield from _history(package)
    yield from labelled(
        "Open questions", map(quoting.question, item.questions)
    )
    yield from labelled("Comments", _comments(taken))
    yield from labelled("Findings", quoting.findings(package))
    yield _status(taken)


def _texts(label: str, texts: Sequence[str]) -> list[str]:
    rows = [block(text, INDENT) for text in texts]
    return labelled(label, rows)


def _dependencies(package: Package) -> Iterator[str]:
    """Yield the dependencies with their results, and the number of the rest."""
    for item in package.dependencies:
        title = line(item.title)
        shown = f"{item.id} ({item.state}) {title}"
        if item.summary:
            shown += f": {block(item.summary, INDENT)}"
        for pair in pairs(item.deliverables):
            shown += f"\n{INDENT}- {block(pair, INDENT)}"
        yield shown
    item_id = package.item.id
    left = package.left_out.dependencies
    if left:
        yield f"… and {left} more: worker --json get {item_id} --peek has their ids"


def _older_reports(package: Package) -> Iterator[str]:
    if package.left_out.reports:
        item = package.item.id
        yield f"older reports: orchestrate show {item} prints all of them"


def _history(package: Package) -> Iterator[str]:
    """Yield earlier attempts, own reports, and all questions and answers."""
    asked = [
        entry
        for entry in package.history
        if entry.kind in ("blocker", "answer", "withdraw")
    ]
    yield from labelled("Earlier attempts", _earlier_attempts(package))
    yield from labelled("Reports of this attempt", _own_reports(package))
    yield from labelled("Questions and answers", map(quoting.report, asked))
    yield from labelled("Changed since you claimed it", _edits(package))
    yield from labelled("Left out", _older_reports(package))


def _earlier_attempts(package: Package) -> Iterator[str]:
    """Yield what each earlier attempt last reported, and how it ended.

    An attempt is a claim: one that was released has the number of the next.
    """
    item = package.item
    attempts: dict[int, list[Report]] = {}
    for entry in package.history:
        is_earlier = item.holder is None or entry.token < item.token
        if is_earlier and entry.kind in EARLIER:
            attempts.setdefault(entry.token, []).append(entry)
    yield from _left_out(item, len(attempts) - EARLIER_SHOWN)
    for reports in list(attempts.values())[-EARLIER_SHOWN:]:
        newest = {entry.kind == "progress": entry for entry in reports}
        for entry in reports:
            if entry in newest.values():
                number = f"attempt {entry.attempt}: " if entry.token else ""
                yield f"{number}{quoting.report(entry)}"


def _edits(package: Package) -> Iterator[str]:
    """Yield what the orchestrator has changed since the holder claimed the item."""
    item = package.item
    for entry in package.history:
        is_earlier = item.holder is None or entry.token < item.token
        if entry.kind == "edit" and not is_earlier:
            yield quoting.report(entry)


def _own_reports(package: Package) -> Iterator[str]:
    """Yield the newest reports of the attempt that runs."""
    item = package.item
    if item.holder is None:
        return
    own = [
        entry
        for entry in package.history
        if entry.token == item.token and entry.kind == "progress"
    ]
    yield from _left_out(item, len(own) - OWN_SHOWN)
    yield from map(quoting.report, own[-OWN_SHOWN:])


def _left_out(item: Item, number: int) -> Iterator[str]:
    if number > 0:
        yield f"… {number} more before: worker --json get {item.id} --peek"


def _comments(taken: Claim) -> Iterator[str]:
    """Yield all comments; those that are new to the holder say so."""
    for entry in taken.package.history:
        if entry.kind in ("comment", "agent_comment"):
            is_new = " (new)" if entry.id in taken.new_comments else ""
            text = block(entry.text, INDENT)
            yield f"by {entry.agent}{is_new}: {text}"


def _status(taken: Claim) -> str:
    item = taken.package.item
    if taken.lease and item.state is State.IN_PROGRESS:
        until = timestamp(taken.lease.expires_at)
        attempt = f"attempt {item.attempts} of {item.max_attempts}"
        return f"Status: in_progress, {item.percent}%, yours until {until} ({attempt})"
    if item.state is State.DELAYED:
        until = timestamp(item.not_before_at)
        return f"Status: delayed until {until}"
    return f"Status: {item.state}, {item.percent}%"
