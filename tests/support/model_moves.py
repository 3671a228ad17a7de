"""The items of the model, and the moves that its verbs share."""

from dataclasses import dataclass, field

from taskorch.domain.item import State

HELD = (State.IN_PROGRESS, State.BLOCKED)
UNBEGUN = (State.PENDING, State.WAITING, State.QUEUED, State.DELAYED)
OVER = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Refused(Exception):
    """A refusal, by the name of its class in `errors`."""


@dataclass(frozen=True)
class Actor:
    """Who calls: an agent's name, and one of its sessions."""

    agent: str
    session: str = ""


@dataclass
class Item:
    """A work item, as far as its lifecycle goes."""

    id: str
    project: str
    agent: str
    priority: int
    max_attempts: int
    #: Its place among those of its priority: higher comes later.
    place: int
    #: Not claimable yet: the time that it must wait for is in the future.
    early: bool
    state: State = State.PENDING
    #: How often it was claimed: the number of its newest claim.
    token: int = 0
    #: Whether the newest token may act.
    living: bool = False
    attempts: int = 0
    #: Its lease is over, and nobody has acted on that.
    run_out: bool = False
    session: str = ""
    asked: bool = False
    depends_on: list[str] = field(default_factory=list)
    open: set[str] = field(default_factory=set)
    summary: str = ""
    #: Its reports: kind, agent, attempt, token.
    history: list[tuple[str, str, int, int]] = field(default_factory=list)

    @property
    def taken(self) -> bool:
        return self.state in HELD

    @property
    def held(self) -> bool:
        """Return whether somebody has it: a question that its holder has left to the answer is nobody's."""
        return self.taken and (self.living or self.state is not State.BLOCKED)

    def is_held_with(self, token: int) -> bool:
        """Return whether this token may act on it."""
        return self.living and token == self.token


@dataclass
class Project:
    """A project: whether it is closed, and which item each idempotency key stands for."""

    id: str
    closed: bool = False
    keys: dict[str, str] = field(default_factory=dict)


class Moves:
    """Projects, items, events, and how an item gets from one state to another."""

    def __init__(self) -> None:
        self.projects: dict[str, Project] = {}
        self.items: dict[str, Item] = {}
        #: What happened: verb, item or '', project, agent, state.
        self.events: list[tuple[str, str, str, str, str]] = []
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

    def _awaited_by(self, id_: str) -> set[str]:
        """Return the item and all that it depends on, near and far."""
        found, more = {id_}, [id_]
        while more:
            new = set(self.items[more.pop()].depends_on) - found
            found |= new
            more += new
        return found

    def _dependents(self, id_: str) -> list[Item]:
        return [item for item in self.items.values() if id_ in item.open]

    def _place(self, item: Item) -> None:
        """Put an item that nobody holds where it belongs."""
        item.run_out = False
        if not item.agent:
            item.state = State.PENDING
        elif item.open:
            item.state = State.WAITING
        else:
            item.state = State.DELAYED if item.early else State.QUEUED

    def _start(self, item: Item, me: Actor) -> None:
        """Claim: another token, another attempt, another holder. A question of an attempt before it is closed."""
        item.token += 1
        item.attempts += 1
        item.living, item.session = True, me.session
        item.asked = item.asked and item.taken

    def _run(self, item: Item, *, again: bool = False) -> None:
        """In progress, for a full lease; taking it up `again` after the lease ran out is another attempt."""
        item.attempts += again
        item.state, item.run_out = State.IN_PROGRESS, False

    def _settle(self, item: Item, *, asks: bool = False) -> None:
        """Let the token die, and the question with it where its holder does not leave it."""
        item.living = item.run_out = False
        item.asked = item.asked and asks

    def _refund(self, item: Item) -> None:
        item.attempts -= 1
        item.early = False

    def _retry(self, item: Item) -> None:
        item.run_out = False
        if item.attempts >= item.max_attempts:
            item.state = State.FAILED
            return
        item.early = True
        self._place(item)

    def _cancel(self, item: Item) -> None:
        self._settle(item)
        self._report("cancel", item, "planner")
        item.state = State.CANCELLED
        self._emit("cancel", item)

    def _release_dependents(self, done: Item) -> None:
        for item in self._dependents(done.id):
            item.open.discard(done.id)
            if item.state is State.WAITING and not item.open:
                self._place(item)
                self._emit("ready", item)

    def _open_again(self, requeued: Item, *, delivered: bool) -> tuple[int, list[str]]:
        """Let what depends on a delivered item wait for it again; return how many do, and who is held."""
        dependents = [
            item
            for item in self.items.values()
            if delivered and requeued.id in item.depends_on
        ]
        ready = [
            item for item in dependents if item.state in (State.QUEUED, State.DELAYED)
        ]
        for item in dependents:
            item.open.add(requeued.id)
        for item in ready:
            item.state = State.WAITING
            self._emit("wait", item)
        return len(ready), sorted(item.id for item in dependents if item.held)

    def _let_happen(self, item: Item, *, spared: bool) -> None:
        """Do what is due for one item; a lease that ran out is `spared` for its holder, and for who takes it over."""
        if item.state is State.DELAYED and not item.early:
            self._promote(item)
        if item.run_out and not spared:
            self._expire(item)

    def _maintain(self, limit: int) -> tuple[int, int]:
        run_out = sorted(item.id for item in self.items.values() if item.run_out)[
            :limit
        ]
        for id_ in run_out:
            self._expire(self.items[id_])
        due = sorted(
            item.id
            for item in self.items.values()
            if item.state is State.DELAYED and not item.early
        )[:limit]
        for id_ in due:
            self._promote(self.items[id_])
        return len(run_out), len(due)

    def _expire(self, item: Item) -> None:
        """The attempt is over, and its token lives on: nobody else has claimed the item yet."""
        self._report("expire", item, item.agent)
        self._retry(item)
        self._emit("expire", item)

    def _promote(self, item: Item) -> None:
        self._place(item)
        self._emit("promote", item)

    def _report(self, kind: str, item: Item, agent: str) -> None:
        item.history.append((kind, agent, item.attempts, item.token))

    def _emit(self, verb: str, item: Item) -> None:
        self.events.append((verb, item.id, item.project, item.agent, item.state))
