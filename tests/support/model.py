"""The queue as the design describes it, in plain Python: no Redis, no Lua, no times.

A lease is `expired` or not, and a delay is `early` or over; a test sets both. A verb
returns what its caller gets, or raises Refused, and adds one event per transition.
"""

from collections.abc import Iterable

from support.model_moves import (
    OVER,
    POOL,
    UNBEGUN,
    Actor,
    Item,
    Moves,
    Project,
    Refused,
)
from taskorch.domain.item import ReapCounts, State

#: Leases that a pop, get or check reaps, and items that it promotes.
BATCH = 10

#: The pool that all agents take items from.
OWN_POOL = f"{POOL}shared"

#: Reports of a holder: they claim an item that is queued for the caller.
REPORTS = ("progress", "discover", "blocker", "complete")

#: Verbs with an option, by the name of the verb in the queue.
VERB_NAMES = {
    "bury": "fail",
    "leave": "release",
    "ack": "complete",
    "complete-next": "complete",
    "fail-next": "fail",
}

#: Verbs that settle an item and claim the next one.
NEXT_VERBS = ("complete-next", "fail-next")

#: Steps that report a cost.
COSTLY = ("progress", "complete", "fail", "bury")

#: The kind of the report that each verb of a holder writes.
REPORT_KINDS = {
    verb: verb
    for verb in (
        "progress",
        "agent_comment",
        "blocker",
        "withdraw",
        "complete",
        "fail",
        "release",
    )
} | {"bury": "fail", "leave": "release"}


class Model(Moves):
    """A namespace, with the verbs of orchestrators, agents and holders."""

    # The orchestrator -----------------------------------------------------------------

    def project(self, id_: str) -> str:
        self.projects[id_] = Project(id_)
        self.events.append(("project", "", id_, "", "active"))
        return id_

    def create(self, new: Item, key: str, depends_on: Iterable[str]) -> str:
        """Add an item and return its id; a repeat of its key returns the first one."""
        project = self._project(new.project)
        if key in project.keys:
            return project.keys[key]
        if project.closed:
            raise Refused("ProjectClosed")
        others = [self._item(other) for other in dict.fromkeys(depends_on)]
        new.depends_on = [other.id for other in others]
        new.open = {
            other.id for other in others if other.state is not State.COMPLETED
        }
        new.place = self._next_place()
        if key:
            project.keys[key] = new.id
        self.items[new.id] = new
        self._enqueue_or_wait(new)
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
        if any(
            id_ in self._all_dependencies(other.id) for other in dependencies
        ):
            raise Refused("Cycle")
        item.open |= opened
        item.depends_on += [
            other.id
            for other in dependencies
            if other.id not in item.depends_on
        ]
        self._revoke_token(item)
        self._enqueue_or_wait(item)
        self._emit("depend", item)
        return item.state

    def edit(self, id_: str, field: str, value: object) -> State:
        """Change the title or the priority, or remove an item from `depends_on`."""
        item = self._item(id_)
        before = getattr(item, field)
        is_same = (
            value not in before if field == "depends_on" else value == before
        )
        if is_same:
            return item.state
        is_in_review = item.state is State.REVIEW and field != "priority"
        if item.state is State.COMPLETED or is_in_review:
            raise Refused("WrongState")
        if item.taken and field != "priority":
            raise Refused("Begun")
        if field != "priority" and item.live:
            self._revoke_token(item)
        self._report("edit", item, "planner")
        if field == "depends_on":
            self._remove_dependency(item, str(value))
        else:
            setattr(item, field, value)
        if item.live and field not in item.edited:
            item.edited.append(field)
        self._emit("edit", item)
        return item.state

    def _remove_dependency(self, item: Item, other: str) -> None:
        item.depends_on.remove(other)
        item.open.discard(other)
        if item.state in UNBEGUN:
            self._enqueue_or_wait(item)

    def assign(
        self, id_: str, owner: str, *, force: bool
    ) -> tuple[State, str]:
        """Return the item's state and its previous owner."""
        item = self._item(id_)
        previous = item.owner
        pool = owner.removeprefix(POOL) if owner.startswith(POOL) else ""
        is_there = item.pool == pool if pool else item.agent == owner
        if item.state in (*OVER, State.REVIEW):
            raise Refused("WrongState")
        if is_there and not force:
            item.pool = pool and item.pool
        else:
            self._reassign(item, "" if pool else owner, pool, force=force)
        self._emit("assign", item)
        return item.state, previous

    def _reassign(
        self, item: Item, agent: str, pool: str, *, force: bool
    ) -> None:
        if item.held and not force:
            raise Refused("Held")
        if item.taken:
            self._report("lost", item, item.agent)
            self._undo_attempt(item)
        self._revoke_token(item)
        if item.owner:
            self._report("assign", item, "planner")
        item.agent, item.pool = agent, pool
        item.place = self._next_place()
        self._enqueue_or_wait(item)

    def answer(
        self, id_: str, *, question: int = 0
    ) -> tuple[State, int, tuple[int, ...]]:
        """Return the state, the number of the question, and those still open."""
        item = self._item(id_)
        number = item.number_of(question)
        del item.questions[number]
        self._report("answer", item, "planner")
        goes_on = item.state is State.BLOCKED and not item.questions
        if goes_on and item.live:
            self._set_in_progress(item)
        elif goes_on:
            self._undo_attempt(item)
            self._enqueue_or_wait(item)
        self._emit("answer", item)
        return item.state, number, tuple(item.questions)

    def comment(self, id_: str) -> tuple[State, str]:
        """Return the item's state and its agent."""
        item = self._item(id_)
        if item.state in (State.COMPLETED, State.CANCELLED):
            raise Refused("WrongState")
        self._report("comment", item, "planner")
        self._emit("comment", item)
        return item.state, item.agent

    def accept(self, id_: str) -> tuple[State, str]:
        """Return the item's state and the remark."""
        item = self._item(id_)
        if item.state is State.COMPLETED:
            return item.state, "repeat"
        if item.state is not State.REVIEW:
            raise Refused("WrongState")
        self._report("accept", item, "planner")
        item.state = State.COMPLETED
        self._emit("complete", item)
        self._release_dependents(item)
        return item.state, ""

    def send_back(self, id_: str) -> tuple[State, str]:
        """Return the item's state and the remark."""
        item = self._item(id_)
        if item.state is not State.REVIEW:
            raise Refused("WrongState")
        self._report("send_back", item, "planner")
        self._undo_attempt(item)
        item.pool = ""  # the agent that knows it keeps it
        self._enqueue_or_wait(item)
        self._emit("send_back", item)
        return item.state, ""

    def cancel(self, id_: str) -> tuple[int, tuple[int, ...]]:
        """Return how many items wait for it, and the questions that it closed."""
        item = self._item(id_)
        if item.state is State.COMPLETED:
            raise Refused("WrongState")
        closed = tuple(item.questions)
        if item.state is not State.CANCELLED:
            self._cancel(item)
        done = (State.COMPLETED, State.CANCELLED)
        dependents = self._dependents(id_)
        return sum(other.state not in done for other in dependents), closed

    def requeue(
        self, id_: str, *, reopen: bool = False
    ) -> tuple[State, int, list[str]]:
        """Return its state, how many items wait again, and the held dependents."""
        item = self._item(id_)
        if item.state is State.QUEUED:
            return item.state, 0, []
        if item.state not in OVER:
            raise Refused("WrongState")
        if self.projects[item.project].closed and not reopen:
            raise Refused("NeedsReopen")
        self.reopen_project(item.project)
        self._revoke_token(item)
        self._report("requeue", item, "planner")
        item.attempts, item.early, item.summary, item.place = (
            0,
            False,
            "",
            self._next_place(),
        )
        delivered = item.state is State.COMPLETED
        self._enqueue_or_wait(item)
        self._emit("requeue", item)
        return item.state, *self._open_again(item, delivered=delivered)

    def cancel_project(self, id_: str) -> tuple[int, str]:
        """Return the number of items that were cancelled, and the remark."""
        project = self._project(id_)
        if project.closed:
            return 0, "repeat"
        return self._close(project), ""

    def reopen_project(self, id_: str) -> str:
        """Return the remark."""
        if not self._project(id_).closed:
            return "repeat"
        self.projects[id_].closed = False
        self.events.append(("reopen_project", "", id_, "", "active"))
        return ""

    def _open_items(self, project: str) -> list[Item]:
        done = (State.COMPLETED, State.CANCELLED)
        return [
            item
            for item in self.items.values()
            if item.project == project and item.state not in done
        ]

    def complete_project(self, id_: str, *, force: bool) -> None:
        project = self._project(id_)
        if project.closed:
            return
        opened = self._open_items(id_)
        if opened and not force:
            raise Refused("OpenItems")
        self._close(project)

    def _close(self, project: Project) -> int:
        """Cancel the open items, the newest first; return their number."""
        opened = self._open_items(project.id)
        for item in reversed(opened):
            self._cancel(item)
        project.closed = True
        self.events.append(
            ("complete_project", "", project.id, "", "completed")
        )
        return len(opened)

    def set_budget(self, owner: str, limit: int | None) -> bool:
        """Limit what an owner spends; None removes that. Return whether it was limited."""
        if owner.startswith("proj_"):
            self._project(owner)
        was_limited = owner in self.limits
        if limit is None:
            self.limits.pop(owner, None)
        else:
            self.limits[owner] = limit
        return was_limited

    def reap(self) -> ReapCounts:
        """Return the numbers of leases reaped and of items promoted."""
        reaped, promoted = self._maintain(len(self.items))
        return ReapCounts(reaped=reaped, promoted=promoted)

    # An agent -------------------------------------------------------------------------

    def check(self, agent: str) -> tuple[int, int]:
        """Return the numbers of the agent's items that are ready and not ready."""
        self._maintain(BATCH)
        mine = [item for item in self.items.values() if item.agent == agent]
        ready = sum(item.held or item.state is State.QUEUED for item in mine)
        ready += len(self.queue(OWN_POOL))
        left = sum(item.taken and not item.held for item in mine)
        return ready, left + sum(
            item.state in (State.WAITING, State.DELAYED) for item in mine
        )

    def claim(self, me: Actor) -> tuple[str, int] | None:
        """Return the item and its token."""
        self._maintain(BATCH)
        if self._keeps_from_claims(me):
            return None
        queue = [
            self.items[id_]
            for id_ in (*self.queue(me.agent), *self.queue(OWN_POOL))
            if not self.is_used_up(self.items[id_].project)
        ]
        if not queue:
            return None
        item = queue[0]
        self._new_claim(item, me)
        self._set_in_progress(item)
        self._emit("claim", item)
        return item.id, item.token

    def get(self, me: Actor, id_: str, token: int, mode: str) -> int:
        """Return the token under which the caller holds the item, or 0."""
        item = self._item(id_)
        self._act_if_due(
            item, keeps_lease=mode != "claim" or item.is_held_with(token)
        )
        if not item.is_in_pool:
            self._need_own(me, item, token)
        got = 0 if mode == "peek" else self._get(me, item, token, mode)
        self._maintain(BATCH)
        return got

    def _get(self, me: Actor, item: Item, token: int, mode: str) -> int:
        may_return = item.may_return_to(me.agent, token)
        is_mine = item.is_held_with(token) and (item.agent or may_return)
        if is_mine and item.state is not State.FAILED:
            item.agent = me.agent
            has_expired = not item.held
            if item.state is not State.BLOCKED:
                self._set_in_progress(item, late=has_expired)
            if has_expired:
                self._emit("renew", item)
            item.edited = []
            return item.token
        if item.held and mode != "takeover":
            raise Refused("Held")
        if item.held and item.attempts >= item.max_attempts:
            raise Refused("NoAttempts")
        if not item.held and item.state is not State.QUEUED:
            return 0
        self._need_budget(me, item)
        if item.held:
            self._report("lost", item, me.agent)
        self._new_claim(item, me)
        if item.state is not State.BLOCKED:
            self._set_in_progress(item)
        self._emit("claim", item)
        return item.token

    # The holder -----------------------------------------------------------------------

    def act(
        self, verb: str, me: Actor, id_: str, token: int, text: str
    ) -> object:
        """Do a verb of the holder, and claim the next item if it is to do that."""
        if verb == "ack":
            return self.step("complete", me, id_, token, text)
        if verb not in NEXT_VERBS:
            return self.step(verb, me, id_, token, text)
        done = self.step(VERB_NAMES[verb], me, id_, token, text)
        return *done, self.claim(me)

    def step(
        self, verb: str, me: Actor, id_: str, token: int, text: str = ""
    ) -> tuple[State, int, str, int, tuple[int, ...], tuple[int, ...]]:
        """Do a verb of the holder, who passes a token (0 for none).

        Return the state, the token, the remark, the number of the question, and those
        that are still open and that were closed.
        """
        item = self._item(id_)
        delivered = (
            item.state in (State.COMPLETED, State.REVIEW)
            and item.agent == me.agent
            and token in (0, item.token)
        )
        if verb == "complete" and delivered:
            if text not in ("", item.summary):
                raise Refused("AlreadyCompleted")
            item.edited = []
            return item.state, item.token, "repeat", 0, (), ()
        claims_now = self._check_holder(verb, me, item, token)
        is_repeat = text in item.questions.values()
        question = self._question(verb, item, text)
        item.agent = item.agent or me.agent
        if claims_now:
            self._new_claim(item, me)
        answered = verb == "leave" and item.state is not State.BLOCKED
        closed = item.close_questions() if verb == "complete" else ()
        self._do(
            "release" if answered else verb,
            item,
            text,
            late=not item.held and not claims_now,
        )
        if verb in COSTLY:
            self._spend(item, me)
        is_in_review = item.state is State.REVIEW
        name = "review" if is_in_review else VERB_NAMES.get(verb, verb)
        self._emit(name, item)
        item.edited = []
        if verb == "complete" and not is_in_review:
            self._release_dependents(item)
        remark = "claimed" if claims_now else ""
        if verb == "blocker" and is_repeat:
            remark = "repeat"
        open_ = tuple(item.questions)
        return item.state, item.token, remark, question, open_, closed

    def _question(self, verb: str, item: Item, text: str) -> int:
        """Ask or withdraw a question, and return its number; 0 for another verb."""
        if verb == "blocker":
            return item.ask(text)
        if verb != "withdraw":
            return 0
        number = item.number_of(0)
        del item.questions[number]
        return number

    def _check_holder(
        self, verb: str, me: Actor, item: Item, token: int
    ) -> bool:
        """Return whether the step claims the item first."""
        self._act_if_due(item, keeps_lease=item.is_held_with(token))
        if not item.may_return_to(me.agent, token):
            self._need_own(me, item, token)
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
        if verb != "complete":
            self._need_budget(me, item)
        return True

    def _need_own(self, me: Actor, item: Item, token: int) -> None:
        if item.agent == me.agent:
            return
        was_claimed = item.pool and item.state is not State.CANCELLED
        raise Refused("LeaseLost" if token and was_claimed else "NotYours")

    def _do(self, verb: str, item: Item, text: str, *, late: bool) -> None:
        """Change the item; a `late` step resumes it after its lease expired."""
        match verb:
            case "progress":
                self._set_in_progress(item, late=late)
            case "agent_comment" | "discover" | "renew" | "withdraw" if (
                item.state is not State.BLOCKED
                or (verb == "withdraw" and not item.questions)
            ):
                self._set_in_progress(item, late=late)
            case "blocker":
                item.attempts += late
                item.state, item.expired = State.BLOCKED, False
            case "complete" | "fail" | "bury" | "release" | "leave":
                self._revoke_token(item)
        if verb in REPORT_KINDS:
            self._report(REPORT_KINDS[verb], item, item.agent)
        match verb:
            case "complete":
                item.summary = text or item.summary
                item.state = State.REVIEW if item.reviewer else State.COMPLETED
            case "fail":
                self._retry(item)
            case "bury":
                item.state = State.FAILED
            case "release":
                self._undo_attempt(item)
                self._enqueue_or_wait(item)

    # The clock ------------------------------------------------------------------------

    def expire_lease(self, id_: str) -> None:
        self.items[id_].expired = True

    def end_delay(self, id_: str) -> None:
        self.items[id_].early = False

    # The state ------------------------------------------------------------------------

    def queue(self, owner: str) -> list[str]:
        """Return an agent's or a pool's queue: by priority, then first in, first out."""
        queued = [
            item
            for item in self.items.values()
            if item.state is State.QUEUED and item.owner == owner
        ]
        return [
            item.id
            for item in sorted(
                queued, key=lambda item: (item.priority, item.place)
            )
        ]
