"""What the design says must happen to items, in plain Python: no Redis, no Lua, no times and no wake lists.

A lease has `run_out` or not, a delay is `early` or over; a test moves both. A verb returns what its caller is told, or
raises Refused; what it leaves behind is the state of the model, and one event for each transition.
"""

from collections.abc import Iterable

from support.model_moves import OVER, UNBEGUN, Actor, Item, Moves, Project, Refused
from taskorch.domain.item import State

#: How many leases a pop, get or check reaps, and how many items it promotes.
BATCH = 10

#: The reports of a holder: they claim the item where it is queued for the caller.
REPORTS = ("progress", "discover", "blocker", "complete")

#: Verbs with an option: what the queue calls them.
SPOKEN = {"bury": "fail", "leave": "release"}

#: What the history of an item calls each verb of its holder that it tells of.
REPORTED = {
    verb: verb for verb in ("progress", "blocker", "complete", "fail", "release")
} | SPOKEN


class Model(Moves):
    """A namespace: the verbs of the orchestrator, of agents and of holders, by the names that the scripts have."""

    # The orchestrator ------------------------------------------------------------------------------------------------

    def project(self, id_: str) -> str:
        self.projects[id_] = Project(id_)
        self.events.append(("project", "", id_, "", "active"))
        return id_

    def create(self, new: Item, key: str, depends_on: Iterable[str]) -> str:
        """Add an item, whose place is yet to be given; a repeat of its key gets the first item."""
        project = self._project(new.project)
        if key in project.keys:
            return project.keys[key]
        if project.closed:
            raise Refused("ProjectClosed")
        others = [self._item(other) for other in dict.fromkeys(depends_on)]
        new.depends_on = [other.id for other in others]
        new.open = {other.id for other in others if other.state is not State.COMPLETED}
        new.place = self._next_place()
        if key:
            project.keys[key] = new.id
        self.items[new.id] = new
        self._place(new)
        self._emit("create", new)
        return new.id

    def depend(self, id_: str, others: Iterable[str]) -> State:
        item = self._item(id_)
        if item.state not in UNBEGUN:
            raise Refused("WrongState")
        dependencies = [self._item(other) for other in others]
        opened = {
            other.id
            for other in dependencies
            if other.state is not State.COMPLETED or other is item
        }
        if any(id_ in self._awaited_by(other.id) for other in dependencies):
            raise Refused("Cycle")
        item.open |= opened
        item.depends_on += [
            other.id for other in dependencies if other.id not in item.depends_on
        ]
        self._settle(item)
        self._place(item)
        self._emit("depend", item)
        return item.state

    def assign(self, id_: str, agent: str, *, force: bool) -> tuple[State, str]:
        """Return the item's state, and who had it before."""
        item = self._item(id_)
        previous = item.agent
        if item.state in OVER:
            raise Refused("WrongState")
        if previous != agent or force:
            if item.held and not force:
                raise Refused("Held")
            if item.taken:
                self._report("lost", item, previous)
                self._refund(item)
            self._settle(item)
            item.agent, item.place = agent, self._next_place()
            self._place(item)
        self._emit("assign", item)
        return item.state, previous

    def answer(self, id_: str) -> State:
        item = self._item(id_)
        if not item.taken or not item.asked:
            raise Refused("WrongState")
        item.asked = False
        self._report("answer", item, "planner")
        if item.state is State.BLOCKED and item.living:
            self._run(item)
        elif item.state is State.BLOCKED:
            self._refund(item)
            self._place(item)
        self._emit("answer", item)
        return item.state

    def cancel(self, id_: str) -> int:
        """Return how many items wait for it."""
        item = self._item(id_)
        if item.state is State.COMPLETED:
            raise Refused("WrongState")
        if item.state is not State.CANCELLED:
            self._cancel(item)
        done = (State.COMPLETED, State.CANCELLED)
        return sum(other.state not in done for other in self._dependents(id_))

    def requeue(self, id_: str) -> tuple[State, int, list[str]]:
        """Return its state, how many items wait for it again, and who depends on it and is held."""
        item = self._item(id_)
        if item.state is State.QUEUED:
            return item.state, 0, []
        if item.state not in OVER:
            raise Refused("WrongState")
        self.projects[item.project].closed = False
        self._settle(item)
        self._report("requeue", item, "planner")
        item.attempts, item.early, item.summary, item.place = (
            0,
            False,
            "",
            self._next_place(),
        )
        delivered = item.state is State.COMPLETED
        self._place(item)
        self._emit("requeue", item)
        return item.state, *self._open_again(item, delivered=delivered)

    def complete_project(self, id_: str, *, force: bool) -> None:
        project = self._project(id_)
        if project.closed:
            return
        done = (State.COMPLETED, State.CANCELLED)
        opened = [
            item
            for item in self.items.values()
            if item.project == id_ and item.state not in done
        ]
        if opened and not force:
            raise Refused("OpenItems")
        for item in opened:
            self._cancel(item)
        project.closed = True
        self.events.append(("complete_project", "", id_, "", "completed"))

    def reap(self) -> tuple[int, int]:
        """Return how many leases ran out, and how many delays were over."""
        return self._maintain(len(self.items))

    # An agent --------------------------------------------------------------------------------------------------------

    def check(self, agent: str) -> tuple[int, int]:
        """Return how many items are the agent's and ready, and how many are not ready."""
        self._maintain(BATCH)
        mine = [item for item in self.items.values() if item.agent == agent]
        ready = sum(item.held or item.state is State.QUEUED for item in mine)
        left = sum(item.taken and not item.held for item in mine)
        return ready, left + sum(
            item.state in (State.WAITING, State.DELAYED) for item in mine
        )

    def claim(self, me: Actor) -> tuple[str, int] | None:
        """Return the item and its token."""
        self._maintain(BATCH)
        queue = self.queue(me.agent)
        if not queue:
            return None
        item = self.items[queue[0]]
        self._start(item, me)
        self._run(item)
        self._emit("claim", item)
        return item.id, item.token

    def get(self, me: Actor, id_: str, token: int, mode: str) -> int:
        """Return the token under which the caller has the item, or 0."""
        item = self._item(id_)
        self._let_happen(item, spared=mode != "claim" or item.is_held_with(token))
        if item.agent != me.agent:
            raise Refused("NotYours")
        got = 0 if mode == "peek" else self._get(me, item, token, mode)
        self._maintain(BATCH)
        return got

    def _get(self, me: Actor, item: Item, token: int, mode: str) -> int:
        if item.is_held_with(token) and item.state is not State.FAILED:
            lapsed = not item.held
            if item.state is not State.BLOCKED:
                self._run(item, again=lapsed)
            if lapsed:
                self._emit("renew", item)
            return item.token
        if item.held and mode != "takeover":
            raise Refused("Held")
        if item.held and item.attempts >= item.max_attempts:
            raise Refused("NoAttempts")
        if not item.held and item.state is not State.QUEUED:
            return 0
        if item.held:
            self._report("lost", item, me.agent)
        self._start(item, me)
        if item.state is not State.BLOCKED:
            self._run(item)
        self._emit("claim", item)
        return item.token

    # The holder ------------------------------------------------------------------------------------------------------

    def step(
        self, verb: str, me: Actor, id_: str, token: int, said: str = ""
    ) -> tuple[State, int, str]:
        """Do a verb of the holder, who shows a token (0 for none); return the state, the token and the remark."""
        item = self._item(id_)
        delivered = (
            item.state is State.COMPLETED
            and item.agent == me.agent
            and token in (0, item.token)
        )
        if verb == "complete" and delivered:
            return item.state, item.token, "repeat"
        fresh = self._hold(verb, me, item, token)
        if fresh:
            self._start(item, me)
        answered = verb == "leave" and item.state is not State.BLOCKED
        self._do(
            "release" if answered else verb,
            item,
            said,
            again=not item.held and not fresh,
        )
        self._emit(SPOKEN.get(verb, verb), item)
        if verb == "complete":
            self._release_dependents(item)
        return item.state, item.token, "claimed" if fresh else ""

    def _hold(self, verb: str, me: Actor, item: Item, token: int) -> bool:
        """Return whether the step is to claim the item first."""
        self._let_happen(item, spared=item.is_held_with(token))
        if item.agent != me.agent:
            raise Refused("NotYours")
        if item.state is State.CANCELLED:
            raise Refused("Cancelled")
        if item.is_held_with(token):
            if item.state is State.FAILED and verb != "complete":
                raise Refused("WrongState")
            return False
        if token:
            raise Refused("LeaseLost")
        if item.held:
            raise Refused("Held")
        if item.state is not State.QUEUED or verb not in REPORTS:
            raise Refused("WrongState")
        return True

    def _do(self, verb: str, item: Item, said: str, *, again: bool) -> None:
        """Do what the holder says; some verbs take the item up `again` after its lease ran out: another attempt."""
        match verb:
            case "progress":
                self._run(item, again=again)
            case "discover" | "renew" if item.state is not State.BLOCKED:
                self._run(item, again=again)
            case "blocker":
                item.attempts += again
                item.state, item.asked, item.run_out = State.BLOCKED, True, False
            case "complete" | "fail" | "bury" | "release" | "leave":
                self._settle(item, asks=verb == "leave")
        if verb in REPORTED:
            self._report(REPORTED[verb], item, item.agent)
        match verb:
            case "complete":
                item.state, item.summary = State.COMPLETED, said
            case "fail":
                self._retry(item)
            case "bury":
                item.state = State.FAILED
            case "release":
                self._refund(item)
                self._place(item)

    # The clock -------------------------------------------------------------------------------------------------------

    def lease_runs_out(self, id_: str) -> None:
        self.items[id_].run_out = True

    def delay_passes(self, id_: str) -> None:
        self.items[id_].early = False

    # What is so ------------------------------------------------------------------------------------------------------

    def queue(self, agent: str) -> list[str]:
        """Return the agent's queue, the most urgent item first, and first in, first out among equals."""
        queued = [
            item
            for item in self.items.values()
            if item.state is State.QUEUED and item.agent == agent
        ]
        return [
            item.id
            for item in sorted(queued, key=lambda item: (item.priority, item.place))
        ]
