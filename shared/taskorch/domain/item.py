"""Work items: their states, holders and leases, the reports on them, and replies.

    create             assign                     pop, get                     complete
    ------> [pending] --------> [queued] --------------------> [in_progress] ----------> [completed]
                |                ^  ^  ^                        |  |  |   ^
     assign,    |   last         |  |  '------- release --------'  |  |   | answer, withdraw, progress
     some       '-> [waiting] ---'  |                              |  |   |
     dependency     dependency      | promote when due             |  '-> [blocked]
     open           completed       |                              |
                                [delayed] <-- fail, lease expired: attempts left
                                [failed]  <-- fail --no-retry; or none left     (dead letter)

    With a reviewer, `complete` leads to [review]: `accept` to [completed], `send_back` to
    [queued].

Times are in ms since the epoch, by the clock of Redis; 0 means "not yet".
"""

import os
from collections.abc import Mapping
from enum import StrEnum

from taskorch.domain.acceptance import Check, CheckEvidence
from taskorch.domain.frozen import Frozen
from taskorch.domain.usage import NONE, ModelUsage

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

#: No process renews a lease between two commands, and a lease that is too short expires
#: while its holder works.
DEFAULT_LEASE_MS = 4 * HOUR_MS
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_PRIORITY = 2

#: Several texts. A text is not one: its values would be its characters.
Texts = tuple[str, ...] | list[str]


class State(StrEnum):
    """The state of an item; the diagram above shows which verb leads to which state."""

    PENDING = "pending"
    WAITING = "waiting"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    REVIEW = "review"
    DELAYED = "delayed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Caller(Frozen):
    """The caller: the name of an agent, and the session that uses it."""

    agent: str
    host: str
    pid: int
    #: Distinguishes two sessions of one agent (`AGENT_SESSION`).
    session: str
    #: The pools that it takes items from after its own queue, in this order. With (), the
    #: agent leaves its pools; with None, it takes items from none and stays in them.
    pools: tuple[str, ...] | None

    def __init__(
        self,
        *,
        agent: str,
        host: str = "",
        pid: int = 0,
        session: str = "",
        pools: tuple[str, ...] | None = None,
    ) -> None:
        """Without a host and a pid, they are those of this process."""
        super().__init__(
            agent=agent,
            host=host or os.uname().nodename,
            pid=pid or os.getpid(),
            session=session,
            pools=pools,
        )


class Holder(Frozen):
    """The session that claimed an item and still holds it."""

    agent: str
    host: str
    pid: int
    session: str
    since: int


class Lease(Frozen):
    """The right to act on an item: its id and the fencing token of the claim."""

    item: str
    #: 0 if the caller has no token. A report then claims an item that is queued for it.
    token: int = 0
    #: The id of the claim, shown with the token. A failover of Redis can lose a claim
    #: and use its token again.
    claim: str = ""
    #: 0 while the item is blocked: the lease does not expire.
    expires_at: int = 0

    def shown(self) -> str:
        """Return the token as scripts take it, such as "3:9f2c"; "" without a token."""
        return f"{self.token}:{self.claim}" if self.token else ""


class NewItem(Frozen):
    """An item to create."""

    title: str
    description: str = ""
    requirements: Texts = ()
    #: A value that is not a text becomes JSON text.
    context: Mapping[str, object] = {}
    resources: Texts = ()
    deliverables_expected: Texts = ()
    criteria: Texts = ()
    #: What must hold before it can be completed.
    checks: tuple[Check, ...] | list[Check] = ()
    #: The name of the person or the agent that accepts it, or "".
    reviewer: str = ""
    #: 0 (most urgent) to 4.
    priority: int = DEFAULT_PRIORITY
    lease_ms: int = DEFAULT_LEASE_MS
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    #: Ids of items. A number is the index of an earlier item of the same step.
    depends_on: tuple[str | int, ...] | list[str] | list[str | int] = ()
    #: The earliest start, as a time or as a delay from now.
    not_before_at: int = 0
    delay_ms: int = 0
    #: A repeat with the same key in the same project creates nothing and returns the id
    #: of the first item.
    key: str = ""
    #: The agent or the pool to assign it to in the same step, or "".
    agent: str = ""
    pool: str = ""
    #: At most 20 words for filters. None leaves those of an item that exists already.
    labels: Texts | None = None
    #: Its place in a trace, as W3C Trace Context writes it; "" for TRACEPARENT of the
    #: environment.
    traceparent: str = ""
    #: The id and creation time of an imported item. A repeat with the same id creates
    #: nothing.
    id: str = ""
    created_at: int = 0
    #: The SHA-256 of the secret of its task of MCP; "" for none.
    task: str = ""


class ItemEdit(Frozen):
    """The changes to make to an item; None leaves a field as it is.

    If an agent has begun the item, only priority, labels and context can change; if it
    is completed, only labels.
    """

    title: str | None = None
    description: str | None = None
    requirements: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    deliverables_expected: tuple[str, ...] | None = None
    criteria: tuple[str, ...] | None = None
    checks: tuple[Check, ...] | None = None
    #: "" for no review.
    reviewer: str | None = None
    priority: int | None = None
    lease_ms: int | None = None
    max_attempts: int | None = None
    #: Values to set, and the names of those to remove. `clears_context` removes all
    #: that are not set.
    context: Mapping[str, str] = {}
    remove_context: tuple[str, ...] = ()
    clears_context: bool = False
    add_labels: tuple[str, ...] = ()
    remove_labels: tuple[str, ...] = ()
    clears_labels: bool = False
    #: Ids of items that it is to wait for, too, and of those that it is not to wait for
    #: any more.
    add_dependencies: tuple[str, ...] = ()
    remove_dependencies: tuple[str, ...] = ()


class FieldChange(Frozen):
    """One changed field of an item, as people read it.

    Long values are cut to 400 bytes around their first difference.
    """

    field: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.field}: {self.before} -> {self.after}"


class EditedItem(Frozen):
    """The result of an edit: nothing has changed if there are no `changes`."""

    id: str
    state: State
    changes: tuple[FieldChange, ...]


class Question(Frozen):
    """An open question of an item."""

    #: The first question of an item has the number 1.
    number: int
    text: str
    #: What would answer it.
    needs: str
    #: The agent that asked, and when; 0 if that is not known.
    agent: str
    at: int


class Returned(Frozen):
    """Why an item was sent back or requeued, for its next holder."""

    text: str
    by: str
    at: int


class Item(Frozen):
    """A work item as stored in Redis."""

    _hidden = ("last_host", "task", "generation", "had_failed", "failure")
    id: str
    project: str
    title: str
    description: str
    requirements: tuple[str, ...]
    context: dict[str, str]
    resources: tuple[str, ...]
    deliverables_expected: tuple[str, ...]
    criteria: tuple[str, ...]
    #: What must hold before it can be completed.
    checks: tuple[Check, ...] = ()
    #: The name of the person or the agent that accepts it, or "".
    reviewer: str = ""
    labels: tuple[str, ...] = ()
    priority: int
    state: State
    #: "" if it is not assigned, or waits in its pool.
    agent: str
    #: The pool that it came from, and that it goes back to; "" for none.
    pool: str = ""
    holder: Holder | None
    token: int
    attempts: int
    max_attempts: int
    lease_expires_at: int
    depends_on: tuple[str, ...]
    percent: int
    summary: str
    deliverables: dict[str, str]
    #: The results of its checks when it was last completed.
    evidence: tuple[CheckEvidence, ...] = ()
    #: Those of its deliverables `branch`, `pr` and `commit` that are URLs.
    links: Mapping[str, str] = {}
    #: Its open questions, the oldest first.
    questions: tuple[Question, ...]
    assigned_by: str
    #: Its place in a trace, as W3C Trace Context writes it; "" without one.
    traceparent: str = ""
    #: Why it was sent back, or requeued, most recently; None if no reason was given.
    returned: Returned | None = None
    #: The machine of the newest claim, which may have ended; "" before the first.
    last_host: str = ""
    #: The SHA-256 of the secret of its task of MCP; "" for none.
    task: str = ""
    #: How often it was requeued.
    generation: int = 0
    #: Whether it had failed before it was cancelled.
    had_failed: bool = False
    #: Why its agent let it fail, for a dead letter of the inbox; "" elsewhere.
    failure: str = ""
    #: The tokens and the cost of all its attempts; None if no agent reported any.
    usage: ModelUsage | None = None
    not_before_at: int
    created_at: int
    assigned_at: int
    started_at: int
    completed_at: int
    #: The time of its newest event.
    changed_at: int = 0


class Report(Frozen):
    """One entry of an item's history, such as progress, a blocker or an answer."""

    id: str
    at: int
    kind: str
    agent: str
    attempt: int
    #: The token of the claim during which, or after which, it was made.
    token: int
    text: str = ""
    percent: int | None = None
    needs: str = ""
    #: The number of the question that it asks, answers or withdraws; 0 if unknown.
    question: int = 0
    #: What an edit has changed; its text says the same.
    changes: tuple[FieldChange, ...] = ()
    #: The request that made it, and its time in the file that it was imported from
    #: ("" if none).
    request: str = ""
    written_at: str = ""
    #: Of a requeue: how the run before it has ended; a failed one may be cancelled since.
    ended: str = ""
    #: What was used since the report before it; None if it reports nothing of that.
    usage: ModelUsage | None = None

    #: Of a completion that waits for a reviewer: its name.
    reviewer: str = ""

    _hidden = ("request", "ended", "reviewer")


class Discovery(Frozen):
    """A finding that an agent shared with its project."""

    _hidden = ("request",)
    cursor: str
    at: int
    project: str
    item: str
    agent: str
    text: str
    impact: str
    #: Whether these are only the beginnings of the texts, as in a package.
    cut: bool = False
    #: As in a report.
    request: str = ""
    written_at: str = ""


class Note(Frozen):
    """A private note of one agent on one item."""

    at: int
    text: str
    #: As in a report.
    written_at: str = ""


class Project(Frozen):
    """One user request; `counts` has the number of its items in each state."""

    id: str
    title: str
    description: str
    status: str
    orchestrator: str
    created_at: int
    completed_at: int
    counts: Mapping[State, int]

    @property
    def wanted(self) -> int:
        """The number of items to complete: all but the cancelled ones."""
        return sum(
            n
            for state, n in self.counts.items()
            if state is not State.CANCELLED
        )

    @property
    def completed(self) -> int:
        """The number of completed items."""
        return self.counts.get(State.COMPLETED, 0)

    @property
    def cancelled(self) -> int:
        """The number of cancelled items."""
        return self.counts.get(State.CANCELLED, 0)

    @property
    def open(self) -> int:
        """The number of items that are neither completed nor cancelled."""
        return self.wanted - self.completed

    @property
    def done(self) -> str:
        """Its completed and cancelled items in words."""
        if self.status == "completed" and self.cancelled:
            return f"{self.completed} completed, {self.cancelled} cancelled"
        items = "item" if self.wanted == 1 else "items"
        words = f"{self.completed} of {self.wanted} {items} completed"
        if self.cancelled:
            words += f", {self.cancelled} cancelled"
        return words

    @property
    def share(self) -> str:
        """The same, short enough for a table."""
        if self.status == "completed" and self.cancelled:
            return self.done
        words = f"{self.completed}/{self.wanted}"
        if self.cancelled:
            words += f", {self.cancelled} cancelled"
        return words

    @property
    def is_finished(self) -> bool:
        """Whether it has items, and none of them is open."""
        return (
            sum(self.counts.values())
            == self.completed + self.counts.get(State.CANCELLED, 0)
            > 0
        )


class Findings(Frozen):
    """The discoveries of others that an agent should know, the oldest first.

    Discoveries on the item itself are left out.
    """

    #: The newest discoveries on the dependencies of the item.
    of_dependencies: tuple[Discovery, ...] = ()
    #: The newest of its project on other items.
    of_project: tuple[Discovery, ...] = ()
    #: Whether there are more than these.
    more: bool = False

    @property
    def are_whole(self) -> bool:
        """Whether there are no more discoveries, and none of their texts is cut."""
        shown = (*self.of_dependencies, *self.of_project)
        return not self.more and not any(found.cut for found in shown)


class LeftOut(Frozen):
    """What a package has no room for: `orchestrate show` of the item prints it."""

    #: The number of dependencies after those of the package.
    dependencies: int = 0
    #: Whether there are older reports than those of the history.
    reports: bool = False


class Package(Frozen):
    """An item with its project, dependencies, history and the findings of others."""

    _flat = "item"
    item: Item
    project_context: Project
    dependencies: tuple[Item, ...]
    history: tuple[Report, ...]
    findings: Findings = Findings()
    left_out: LeftOut = LeftOut()


class NewDiscoveries(Frozen):
    """The number of discoveries that a reader has not read."""

    count: int
    #: Whether there may be more: a call counts a bounded number.
    more: bool


class ProjectProgress(Frozen):
    """A project and its items, with the newest report on each that has one."""

    _flat = "project"
    project: Project
    items: tuple[Item, ...]
    last_reports: Mapping[str, Report]
    #: Those that the caller has not read.
    new_discoveries: NewDiscoveries = NewDiscoveries(count=0, more=False)
    #: The number of its oldest discoveries that made room for newer ones.
    dropped_discoveries: int = 0


class ClosedQuestions(Frozen):
    """The questions on an item that were closed without an answer when it was over."""

    item: str
    questions: tuple[int, ...]


class CompletedProject(ProjectProgress):
    """A completed project and its items."""

    #: Those on the open items that the call has cancelled.
    closed_questions: tuple[ClosedQuestions, ...] = ()


class Claim(Frozen):
    """The package of an item, and the lease if the caller holds it."""

    _flat = "package"
    package: Package
    lease: Lease | None
    #: The ids of the comments in the history that are new to the holder.
    new_comments: tuple[str, ...] = ()


class Delivery(Frozen):
    """What completes an item."""

    summary: str = ""
    #: A value that is not a text becomes JSON text.
    deliverables: Mapping[str, object] = {}
    #: The results of the checks of the item that the caller has run.
    evidence: tuple[CheckEvidence, ...] = ()
    #: What was used since the report before.
    used: ModelUsage = NONE


class Receipt(Frozen):
    """The result of a step: the item after it."""

    id: str
    state: State
    token: int
    claim: str
    lease_expires_at: int
    #: "claimed" if the step also claimed the item, "repeat" if nothing changed, or "".
    remark: str = ""
    #: The id of the stream entry that the step wrote, such as a discovery's cursor.
    entry: str = ""
    #: The recorded percentage, after a report of progress; None if none was ever given.
    percent: int | None = None
    #: What the orchestrator has changed of the item since the holder's last step.
    edited: tuple[str, ...] = ()
    #: The comments on the item that are new to the holder, the newest ten.
    comments: tuple[Report, ...] = ()
    #: The number of new comments before these. `get` returns all of them.
    comments_left: int = 0
    #: The number of the question that the step asked or withdrew, or 0.
    question: int = 0
    #: The numbers of the item's open questions, and of those that the step closed
    #: without an answer.
    open_questions: tuple[int, ...] = ()
    closed_questions: tuple[int, ...] = ()

    @property
    def lease(self) -> Lease:
        """The lease for the next step."""
        return Lease(
            item=self.id,
            token=self.token,
            claim=self.claim,
            expires_at=self.lease_expires_at,
        )


class SettledReceipt(Receipt):
    """The result of a step that settles an item, and the claim of the next one."""

    #: The expected deliverables of a completed item that were not delivered.
    missing_deliverables: tuple[str, ...] = ()
    #: The next item, if the step was to claim one and one was ready.
    next: Claim | None = None


class Assignments(Frozen):
    """The first items that are assigned to an agent and ready, and their number."""

    agent: str
    #: When they were read, by the clock of Redis.
    at: int
    count: int
    #: The number of assigned items that are not ready: they wait for dependencies or
    #: for an answer, or are delayed.
    later: int
    items: tuple[Item, ...]
    #: The number of items that are ready in each pool of the agent, in its order.
    pools: Mapping[str, int] = {}


class Assignment(Frozen):
    """The result of an assignment."""

    _hidden = ("is_new_agent", "other_agents", "has_no_agents", "other_pools")
    id: str
    project: str
    #: "" if it waits in its pool.
    agent: str
    #: The pool that it was assigned to, or "".
    pool: str = ""
    state: State
    #: The agent that it was assigned to before, or the pool that it waited in, or "".
    previous: str
    previous_pool: str = ""
    #: Whether the namespace did not know the agent: it has never called, and had no
    #: items.
    is_new_agent: bool = False
    #: The agents that were known then, the last callers first; () for a known agent.
    other_agents: tuple[str, ...] = ()
    #: Whether no agent takes items from the pool, and the other pools then.
    has_no_agents: bool = False
    other_pools: tuple[str, ...] = ()


class AnsweredItem(Frozen):
    """The result of an answer."""

    id: str
    state: State
    #: The number of the question that was answered.
    question: int
    #: The numbers of the item's open questions.
    open_questions: tuple[int, ...]


class ReviewedItem(Frozen):
    """The result of the decision of a reviewer."""

    id: str
    state: State
    #: The agent that completed it.
    agent: str
    #: "repeat" if it was completed before, else "".
    remark: str = ""


class CancelledItem(Frozen):
    """The result of a cancellation."""

    id: str
    state: State
    #: The number of items that wait for it.
    waiting: int
    #: The numbers of the questions that are closed without an answer.
    closed_questions: tuple[int, ...]


class HeldDependent(Frozen):
    """An item that an agent holds although a dependency of it was requeued."""

    id: str
    agent: str


class Requeued(Frozen):
    """The result of a requeue."""

    id: str
    state: State
    #: The number of dependents that were ready and now wait for it again.
    waiting: int
    #: The dependents that an agent holds; they do not wait for it.
    held: tuple[HeldDependent, ...]


class Order(StrEnum):
    """The order of a search: the newest, the last changed, or the most urgent first."""

    CREATED = "created"
    CHANGED = "changed"
    PRIORITY = "priority"


class ItemFilter(Frozen):
    """The items to search for; an empty field is for any."""

    project: str = ""
    states: tuple[State, ...] = ()
    agents: tuple[str, ...] = ()
    pools: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    #: An item must have all of them.
    labels: tuple[str, ...] = ()
    #: All of them are in its title or its description; ASCII letters match in either case.
    texts: tuple[str, ...] = ()
    #: It changed at this time or later, or at most this long ago.
    since_at: int = 0
    since_ago_ms: int = 0
    #: It has not changed for this long.
    until_ago_ms: int = 0
    #: None: the newest project first, its items in the order of their creation.
    order: Order | None = None


class Found(Frozen):
    """The result of a search."""

    items: tuple[Item, ...]
    #: The cursor to continue from; "" if every item was visited. With an order, the
    #: items are then the first of those that were visited.
    cursor: str
    #: The number of items that match; without an order, of those returned.
    matching: int
    #: The number of items and projects that were looked at.
    visited: int
    #: The titles of the projects of these items, by the id.
    project_titles: Mapping[str, str]


class ClosedProject(Frozen):
    """The result of completing or cancelling a project."""

    _flat = "project"
    project: Project
    #: The number of items that were cancelled; 0 if it was completed before.
    cancelled: int
    #: "repeat" if it was completed before, else "".
    remark: str = ""
    #: Those on the items that were cancelled.
    closed_questions: tuple[ClosedQuestions, ...] = ()


class ReapCounts(Frozen):
    """What a reap has done."""

    #: The number of leases that had expired.
    reaped: int
    #: The number of delayed items that were due.
    promoted: int
    #: The number of items that no longer wait for an item that was completed before.
    released: int = 0
    #: The number of open items, of projects that were being closed, that were cancelled.
    cancelled: int = 0


class ReopenedProject(Frozen):
    """The result of reopening a project."""

    _flat = "project"
    project: Project
    #: "repeat" if it was active, else "".
    remark: str = ""


class Page(Frozen):
    """A page of a list, and the cursor of the next page ("" at the end)."""

    items: tuple[Item, ...]
    cursor: str


class ProjectPage(Frozen):
    """A page of the projects, the newest first."""

    projects: tuple[Project, ...]
    #: The number of projects to skip for the next page; None at the end.
    skip: int | None


class DiscoveryPage(Frozen):
    """Discoveries of one or more projects in the order in which they were made."""

    discoveries: tuple[Discovery, ...]
    #: Whether there are more in this order; of the newest ones, whether there are older.
    more: bool
    #: The cursor of the last one, or else that of the call.
    cursor: str
    #: The number of projects that were read, and with those that are too many.
    looked_at: int
    project_count: int
    #: The projects of the caller's items, if it asked for them.
    own_projects: tuple[str, ...] = ()
