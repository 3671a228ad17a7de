"""The domain: a work item, its states, who holds it, and what is reported about it.

    create             assign                     pop, get                     complete
    ------> [pending] --------> [queued] --------------------> [in_progress] ----------> [completed]
                |                ^  ^  ^                        |  |  |   ^
     assign,    |   last         |  |  '------- release --------'  |  |   | answer, progress
     some       '-> [waiting] ---'  |                              |  |   |
     dependency     dependency      | promote when due             |  '-> [blocked]
     open           completed       |                              |
                                [delayed] <-- fail, lease expired: attempts left
                                [failed]  <-- fail --no-retry; or none left     (dead letter)

Times are milliseconds since the epoch by the clock of Redis; 0 stands for "not yet".
"""

from collections.abc import Mapping
from enum import StrEnum

from taskorch.domain.frozen import Frozen

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS

#: No process lives to renew a lease between two commands, and a short one makes live work look dead.
DEFAULT_LEASE_MS = 4 * HOUR_MS
DEFAULT_MAX_ATTEMPTS = 3
DEFAULT_PRIORITY = 2


class State(StrEnum):
    """Where an item stands; the diagram above says which verb leads where."""

    PENDING = "pending"
    WAITING = "waiting"
    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    BLOCKED = "blocked"
    DELAYED = "delayed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Caller(Frozen):
    """Who makes a call: an agent's name, and the session that uses it."""

    agent: str
    host: str = ""
    pid: int = 0
    #: Tells two sessions of one agent apart (`AGENT_SESSION`).
    session: str = ""


class Holder(Frozen):
    """The session that claimed an item and has not given it up."""

    agent: str
    host: str
    pid: int
    session: str
    since: int


class Lease(Frozen):
    """The right to act on an item: its id and the fencing token of the claim."""

    item: str
    #: 0 when the caller holds no token; a report then claims an item that is queued for it.
    token: int = 0
    #: The id of the claim, shown with the token: a failover of Redis may lose a claim and give its number out again.
    claim: str = ""
    #: 0 while the item is blocked: no clock runs.
    expires_at: int = 0

    def shown(self) -> str:
        """Return what a holder's verb shows to Redis; "" for no token."""
        return f"{self.token}:{self.claim}" if self.token else ""


class NewItem(Frozen):
    """What an orchestrating agent says of an item that it creates."""

    title: str
    description: str = ""
    requirements: tuple[str, ...] = ()
    context: Mapping[str, str] = {}
    resources: tuple[str, ...] = ()
    deliverables_expected: tuple[str, ...] = ()
    criteria: tuple[str, ...] = ()
    #: 0 (most urgent) to 4.
    priority: int = DEFAULT_PRIORITY
    lease_ms: int = DEFAULT_LEASE_MS
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    #: Ids of items; a number is the place of an item that is created before it in the same step, from 0.
    depends_on: tuple[str | int, ...] = ()
    #: Not claimable before this time; `delay_ms` says the same relative to the clock of Redis.
    not_before_at: int = 0
    delay_ms: int = 0
    #: A repeat with the same key in the same project creates nothing and returns the first item's id.
    key: str = ""
    #: Assign it to this agent in the same step.
    agent: str = ""
    #: The id and the time that it had elsewhere; a repeat with the same id creates nothing.
    id: str = ""
    created_at: int = 0


class Item(Frozen):
    """A work item as Redis holds it."""

    id: str
    project: str
    title: str
    description: str
    requirements: tuple[str, ...]
    context: dict[str, str]
    resources: tuple[str, ...]
    deliverables_expected: tuple[str, ...]
    criteria: tuple[str, ...]
    priority: int
    state: State
    agent: str
    holder: Holder | None
    token: int
    attempts: int
    max_attempts: int
    lease_expires_at: int
    depends_on: tuple[str, ...]
    percent: int
    summary: str
    deliverables: dict[str, str]
    #: The question of its open blocker, and what would settle it.
    blocker: str
    needs: str
    assigned_by: str
    not_before_at: int
    created_at: int
    assigned_at: int
    started_at: int
    completed_at: int


class Report(Frozen):
    """One entry of an item's history: a progress report, blocker, answer, failure or delivery."""

    id: str
    at: int
    kind: str
    agent: str
    attempt: int
    #: The token of the claim that it was made under, or came after.
    token: int
    text: str = ""
    percent: int | None = None
    needs: str = ""
    #: The request that made it, and the time that it bears in a file ("" for one that comes from no file).
    request: str = ""
    written_at: str = ""

    _hidden = ("request",)


class Discovery(Frozen):
    """A finding that an agent shares with its project."""

    _hidden = ("request",)
    cursor: str
    at: int
    item: str
    agent: str
    text: str
    impact: str
    #: As of a report.
    request: str = ""
    written_at: str = ""


class Note(Frozen):
    """A private memo of one agent on one item."""

    at: int
    text: str
    #: As of a report.
    written_at: str = ""


class Project(Frozen):
    """One user request, made of items; `counts` has the number of items in each state."""

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
        """Return how many items it takes to finish: all but the cancelled ones."""
        return sum(
            n for state, n in self.counts.items() if state is not State.CANCELLED
        )

    @property
    def completed(self) -> int:
        """Return how many items are completed."""
        return self.counts.get(State.COMPLETED, 0)

    @property
    def is_finished(self) -> bool:
        """Return whether it has items, and none of them is open."""
        return (
            sum(self.counts.values())
            == self.completed + self.counts.get(State.CANCELLED, 0)
            > 0
        )


class Package(Frozen):
    """Everything that an item carries: what `worker get` and `orchestrate show` print."""

    _flat = "item"
    item: Item
    project_context: Project
    dependencies: tuple[Item, ...]
    history: tuple[Report, ...]


class ProjectProgress(Frozen):
    """How far a project is: its items, and the newest report on each that has one."""

    _flat = "project"
    project: Project
    items: tuple[Item, ...]
    last_reports: Mapping[str, Report]


class Claim(Frozen):
    """An item that was taken, or looked at: the package, and the lease if the caller holds it."""

    _flat = "package"
    package: Package
    lease: Lease | None


class Receipt(Frozen):
    """What a step did: the item as it is now."""

    id: str
    state: State
    token: int
    claim: str
    lease_expires_at: int
    #: "" for an ordinary step; "claimed" when the step claimed the item too; "repeat" when nothing changed.
    remark: str = ""
    #: The id of the stream entry that the step wrote: a discovery's cursor, for one.
    entry: str = ""

    @property
    def lease(self) -> Lease:
        """Return the lease to show at the next step."""
        return Lease(
            item=self.id,
            token=self.token,
            claim=self.claim,
            expires_at=self.lease_expires_at,
        )


class Assignments(Frozen):
    """What is assigned to an agent and ready: the first items of it, and how many there are in all."""

    agent: str
    count: int
    #: Assigned too, but not ready: waiting for dependencies or for an answer, or delayed.
    later: int
    items: tuple[Item, ...]


class Assignment(Frozen):
    """The reply to an assignment."""

    id: str
    project: str
    agent: str
    state: State
    #: The agent it was assigned to before, or "".
    previous: str


class HeldDependent(Frozen):
    """An item that an agent works on although a dependency of it was requeued."""

    id: str
    agent: str


class Requeued(Frozen):
    """The reply to a requeue."""

    id: str
    state: State
    #: The number of its dependents that were ready, and wait for it again.
    waiting: int
    #: Its dependents that an agent holds: they go on without it.
    held: tuple[HeldDependent, ...]


class Page(Frozen):
    """A bounded part of a listing, and the cursor that continues it ("" at the end)."""

    items: tuple[Item, ...]
    cursor: str
