"""The items of the model, and the moves that its verbs share."""

from collections import Counter
from dataclasses import dataclass, field

from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.item import State

HELD = (State.IN_PROGRESS, State.BLOCKED)
UNBEGUN = (State.PENDING, State.WAITING, State.QUEUED, State.DELAYED)
OVER = (State.COMPLETED, State.FAILED, State.CANCELLED)
#: Open questions of an item.
MAX_QUESTIONS = 10
#: Precedes the name of a pool where that of an agent may be.
POOL = "pool:"
#: What a step with a cost costs, in microdollars.
STEP_COST = 1


class Refused(Exception):
    """A refusal, with the name of its class in `errors`."""


@dataclass(frozen=True)
class Actor:
    """A caller: an agent's name and one of its sessions."""

    agent: str
    session: str = ""


@dataclass
class Item:
    """A work item with the fields of its lifecycle."""

    id: str
    project: str
    agent: str
    priority: int
    max_attempts: int
    #: Its place within its priority; higher comes later.
    place: int
    #: Its `not_before` is in the future.
    early: bool
    state: State = State.PENDING
    #: The number of its claims so far, and of its newest one.
    token: int = 0
    #: Whether the newest token may act.
    live: bool = False
    attempts: int = 0
    #: Its lease has expired and was not reaped yet.
    expired: bool = False
    session: str = ""
    #: The number of its newest question, and its open ones: number -> text.
    asked: int = 0
    questions: dict[int, str] = field(default_factory=dict)
    depends_on: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    summary: str = ""
    #: Who accepts it, or "".
    reviewer: str = ""
    title: str = "T"
    #: What its holder has yet to learn of edits.
    edited: list[str] = field(default_factory=list)
    #: The pool that it goes back to, and the agent of its newest claim from there.
    pool: str = ""
    claimer: str = ""
    #: The agent that has just given it back to its pool.
    left: str = ""
    #: What its steps have cost, in microdollars.
    cost: int = 0
    #: Its reports: kind, agent, attempt, token.
    history: list[tuple[str, str, int, int]] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        return self.state in HELD

    @property
    def held(self) -> bool:
        """Return whether it has a holder; a holder may have left its question."""
        return self.taken and (self.live or self.state is not State.BLOCKED)

    @property
    def is_in_pool(self) -> bool:
        return bool(self.pool and not self.agent)

    @property
    def owner(self) -> str:
        """Return its agent, or else `pool:` and its pool, or ""."""
        return f"{POOL}{self.pool}" if self.is_in_pool else self.agent

    def may_return_to(self, agent: str, token: int) -> bool:
        """Return whether an agent is the late holder of an item that is in its pool."""
        was_claimer = self.is_in_pool and self.claimer == agent
        is_known = self.is_held_with(token) or self.state is State.CANCELLED
        return was_claimer and is_known

    def is_held_with(self, token: int) -> bool:
        """Return whether this token may act on it."""
        return self.live and token == self.token

    def number_of(self, question: int) -> int:
        """Return the number of an open question; 0 stands for the only one."""
        if question == 0 and len(self.questions) > 1:
            raise Refused("SeveralQuestions")
        number = question or next(iter(self.questions), 0)
        if number not in self.questions:
            raise Refused("NoQuestion")
        return number

    def ask(self, text: str) -> int:
        """Return the number of a question, which is a new one unless it is open."""
        for number, asked in self.questions.items():
            if asked == text:
                return number
        if len(self.questions) == MAX_QUESTIONS:
            raise Refused("TooMany")
        self.asked += 1
        self.questions[self.asked] = text
        return self.asked

    def close_questions(self) -> tuple[int, ...]:
        """Close the questions; return their numbers."""
        closed = tuple(self.questions)
        self.questions.clear()
        return closed


@dataclass
class Project:
    """A project: whether it is closed, and the item of each idempotency key."""

    id: str
    closed: bool = False
    keys: dict[str, str] = field(default_factory=dict)


class Moves:
    """Projects, items, events, and the transitions between states."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.items: dict[str, Item] = {}
        #: The events: verb, item or '', project, agent, state.
        self.events: list[tuple[str, str, str, str, str]] = []
        #: The number of claims of queued items, by reports, too.
        self.claims_from_queue = 0
        #: What was spent, and the limits of it, in microdollars, by owner: an agent, a
        #: project or the namespace.
        self.spent: Counter[str] = Counter()
        self.limits: dict[str, int] = {}
        self._places = 0

    def _project(self, id_: str) -> Project:
        if id_ not in self.projects:
            raise Refused("NoProject")
        return self.projects[id_]

    def _item(self, id_: str) -> Item:
        if id_ not in self.items:
            raise Refused("NoItem")
        return self.items[id_]

    def _next_place(self) -> int:
        self._places += 1
        return self._places

    def _all_dependencies(self, id_: str) -> set[str]:
        """Return the item and everything that it depends on, directly or not."""
        found, more = {id_}, [id_]
        while more:
            new = set(self.items[more.pop()].depends_on) - found
            found |= new
            more += new
        return found

    def _dependents(self, id_: str) -> list[Item]:
        return [item for item in self.items.values() if id_ in item.open]

    def _enqueue_or_wait(self, item: Item) -> None:
        """Give an item without a holder its state."""
        item.expired = False
        if item.pool:
            item.left, item.agent = item.agent, ""
        if not item.owner:
            item.state = State.PENDING
        elif item.open:
            item.state = State.WAITING
        else:
            item.state = State.DELAYED if item.early else State.QUEUED

    def _new_claim(self, item: Item, me: Actor) -> None:
        """Claim an item: token and attempts increase."""
        self.claims_from_queue += item.state is State.QUEUED
        item.token += 1
        item.attempts += 1
        item.live, item.session, item.edited = True, me.session, []
        item.agent = item.agent or me.agent
        if item.pool:
            item.claimer = item.agent

    def _set_in_progress(self, item: Item, *, late: bool = False) -> None:
        """Give a full lease; a `late` return after it expired is another attempt."""
        item.attempts += late
        item.state, item.expired = State.IN_PROGRESS, False

    def _spend(self, item: Item, me: Actor) -> None:
        """Count the cost of a step; an item keeps it whatever becomes of its attempt."""
        item.cost += STEP_COST
        for owner in (NAMESPACE, me.agent, item.project):
            self.spent[owner] += STEP_COST

    def is_used_up(self, owner: str) -> bool:
        """Return whether the owner has a budget, and has spent it."""
        limit = self.limits.get(owner)
        return limit is not None and self.spent[owner] >= limit

    def _keeps_from_claims(self, me: Actor) -> bool:
        """Return whether a budget keeps a caller from claiming anything."""
        return self.is_used_up(NAMESPACE) or self.is_used_up(me.agent)

    def _need_budget(self, me: Actor, item: Item) -> None:
        if self._keeps_from_claims(me) or self.is_used_up(item.project):
            raise Refused("OverBudget")

    def _revoke_token(self, item: Item) -> None:
        item.live = item.expired = False

    def _undo_attempt(self, item: Item) -> None:
        item.attempts -= 1
        item.early = False

    def _retry(self, item: Item) -> None:
        item.expired = False
        if item.attempts >= item.max_attempts:
            item.state = State.FAILED
            return
        item.early = True
        self._enqueue_or_wait(item)

    def _cancel(self, item: Item) -> None:
        self._revoke_token(item)
        item.close_questions()
        self._report("cancel", item, "planner")
        item.state = State.CANCELLED
        self._emit("cancel", item)

    def _release_dependents(self, done: Item) -> None:
        for item in self._dependents(done.id):
            item.open.discard(done.id)
            if item.state is State.WAITING and not item.open:
                self._enqueue_or_wait(item)
                self._emit("ready", item)

    def _open_again(
        self, requeued: Item, *, delivered: bool
    ) -> tuple[int, list[str]]:
        """Let dependents wait again; return the number that do, and the held ones."""
        dependents = [
            item
            for item in self.items.values()
            if delivered and requeued.id in item.depends_on
        ]
        ready = [
            item
            for item in dependents
            if item.state in (State.QUEUED, State.DELAYED)
        ]
        for item in dependents:
            item.open.add(requeued.id)
        for item in ready:
            item.state = State.WAITING
            self._emit("wait", item)
        return len(ready), sorted(item.id for item in dependents if item.held)

    def _act_if_due(self, item: Item, *, keeps_lease: bool) -> None:
        """Promote or reap an item that is due, unless the caller keeps its lease."""
        if item.state is State.DELAYED and not item.early:
            self._promote(item)
        if item.expired and not keeps_lease:
            self._expire(item)

    def _maintain(self, limit: int) -> tuple[int, int]:
        expired = sorted(
            item.id for item in self.items.values() if item.expired
        )[:limit]
        for id_ in expired:
            self._expire(self.items[id_])
        due = sorted(
            item.id
            for item in self.items.values()
            if item.state is State.DELAYED and not item.early
        )[:limit]
        for id_ in due:
            self._promote(self.items[id_])
        return len(expired), len(due)

    def _expire(self, item: Item) -> None:
        """End the attempt; its token stays alive until the next claim."""
        self._report("expire", item, item.agent)
        self._retry(item)
        self._emit("expire", item)

    def _promote(self, item: Item) -> None:
        self._enqueue_or_wait(item)
        self._emit("promote", item)

    def _report(self, kind: str, item: Item, agent: str) -> None:
        item.history.append((kind, agent, item.attempts, item.token))

    def _emit(self, verb: str, item: Item) -> None:
        agent, item.left = item.left if item.is_in_pool else item.agent, ""
        self.events.append((verb, item.id, item.project, agent, item.state))
