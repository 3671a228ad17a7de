"""A queue and its model in step: both do each step, and then they are compared."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from hypothesis.stateful import RuleBasedStateMachine, invariant, multiple
from support import raw_keys
from support.builders import Bench, need_lease
from support.model import NEXT_VERBS, OWN_POOL, Model
from support.model_moves import (
    HELD,
    POOL,
    STEP_COST,
    UNBEGUN,
    Actor,
    Item,
    Refused,
)
from support.raw_keys import RawKeys
from support.repeats import SETTLING, Call, RecordingConnection
from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    MINUTE_MS,
    Caller,
    Claim,
    ItemEdit,
    Lease,
    NewItem,
    Receipt,
    Requeued,
    ReviewedItem,
    SettledReceipt,
    State,
)
from taskorch.domain.usage import ModelUsage
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Reply
from taskorch.queue.queue import Queue

AGENTS = ("ada", "bob")
#: The agents, and the pool from which both take items.
OWNERS = (*AGENTS, OWN_POOL)
MODES = ("claim", "takeover", "peek")
#: What a step with a cost reports.
USED = ModelUsage(cost_micros=STEP_COST)
#: The names of fields in the history, if they differ.
NAMES = {"depends_on": "dependencies"}
EVENT = ("verb", "item", "project", "agent", "state")


@dataclass(frozen=True)
class HeldLease:
    """A lease that was given once, and to whom; the claim may be over."""

    me: Actor
    lease: Lease


class InStep(RuleBasedStateMachine):
    """A namespace of the queue on one lane, and its model."""

    #: A bench on the lane; each run has its own namespace there.
    lane: ClassVar[Bench]
    #: The number of times that each verb had each outcome.
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        connection = self.lane.queue._scripts.connection
        namespace = f"test-{os.urandom(4).hex()}"
        queue = Queue(
            connection, namespace, Caller(agent="planner", host="here", pid=1)
        )
        self.bench = replace(self.lane, queue=queue, namespace=namespace)
        self.recorder = RecordingConnection(connection)
        self.recorded = self.bench.with_connection(lambda _: self.recorder)
        self.model: Model = Model()
        self.held: dict[tuple[str, int], HeldLease] = {}
        self.events_seen = 0
        self.other_keys = raw_keys.all_keys(self.bench)

    def teardown(self) -> None:
        try:
            wrong = self.bench.inconsistencies()
            assert not wrong, wrong
            self.purge_everything()
        finally:
            self.bench.raw.delete(
                *raw_keys.all_keys(self.bench) - self.other_keys
            )

    def purge_everything(self) -> None:
        """Complete and purge all projects, and check that nothing is left of them."""
        queue = self.bench.queue
        projects = [project.id for project in queue.views.projects()]
        for project in projects:
            queue.complete_project(project, force=True)
        for project in projects:
            assert queue.purge(project)[0] == 0
        left = raw_keys.read(self.bench, but=self.other_keys)
        assert {name.partition(":")[0] for name in left.values} <= {
            "meta",
            "counters",
            "hours",
            "agents",
            "agent",
            "pools",
            "pool",
            "members",
            "wake",
            "events",
            "purged",
            "signals",
            "usage",
            "budgets",
        }
        assert left.wrong() == []

    # What the rules use ---------------------------------------------------------------

    def claims_again(self, number: int) -> bool:
        """Return whether the repeat of a claim finds none of its items any more."""
        first = self.recorder.calls[number]
        if first.script.name != "claim":
            return False
        return not self._live(cast("list[list[Reply]]", first.kept()))

    def still_held(self, call: Call) -> Reply:
        """Return the reply to a call, without claims that are over."""
        kept = call.kept()
        if call.script.name == "claim":
            return self._live(cast("list[list[Reply]]", kept))
        if call.script.name in SETTLING:
            receipts, claims = cast("list[list[list[Reply]]]", kept)
            return [cast("Reply", receipts), self._live(claims)]
        return (
            self._with_live_token(cast("list[Reply]", kept))
            if call.script.name == "get"
            else kept
        )

    def _live(self, claims: list[list[Reply]]) -> list[Reply]:
        # The token of an expired lease lives on, but its item is no longer held. What a
        # repeat shows of the lease and the comments is of its own time.
        found = [self._with_live_token(row)[:2] for row in claims]
        return [row for row in found if row[1] and self._is_held(str(row[0]))]

    def _is_held(self, item: str) -> bool:
        state = self.bench.queue.views.show(item).item.state
        return state in (State.IN_PROGRESS, State.BLOCKED)

    def _with_live_token(self, row: list[Reply]) -> list[Reply]:
        item, token, *rest = row
        is_live = token == self.bench.lease_of(str(item)).shown()
        return [item, token if is_live else "", *rest]

    def step(
        self,
        verb: str,
        real: Callable[[], object],
        model: Callable[[], object],
    ) -> object:
        """Do a step to the queue and the model; return its result, None if refused."""
        before = len(self.model.events)
        should, refused = _outcome(model)
        does, refusal = _outcome(real)
        self.note(verb, refusal or "accepted")
        assert (does, refusal) == (should, refused), (
            f"{verb}: {refusal or does}, not {refused or should}"
        )
        for what, item, *_, state in self.model.events[before:]:
            if what in ("fail", "expire") and state in (
                State.DELAYED,
                State.WAITING,
            ):
                self.bench.prolong_delay(item)
        return does

    def note(self, verb: str, outcome: str) -> None:
        self.tally[f"{verb}: {outcome}"] += 1

    def agent(self, me: Actor) -> AgentQueue:
        pools = [OWN_POOL.removeprefix(POOL)]
        return self.recorded.agent(me.agent, session=me.session, pools=pools)

    def held_lease(self, me: Actor, lease: Lease | None) -> Any:
        """Return a new lease with its holder, for the bundle."""
        if (
            lease is None
            or not lease.token
            or (lease.item, lease.token) in self.held
        ):
            return multiple()
        self.held[lease.item, lease.token] = HeldLease(me, lease)
        return self.held[lease.item, lease.token]

    def number(self, lease: Lease) -> int:
        """Return the token number as the model knows it; -1 if the claim never was."""
        known = self.held.get((lease.item, lease.token))
        return (
            lease.token
            if not lease.token or (known and known.lease.claim == lease.claim)
            else -1
        )

    def owner(self, item: str, agent: str, session: str) -> Actor:
        """Return a session of that agent, or else of the item's agent."""
        return Actor(agent or self.model.items[item].agent or "ada", session)

    def live(self) -> list[HeldLease]:
        tokens = [
            (item.id, item.token)
            for item in self.model.items.values()
            if item.live
        ]
        return [self.held[token] for token in tokens if token in self.held]

    def ids(self, which: Callable[[Item], bool]) -> list[str]:
        return [item.id for item in self.model.items.values() if which(item)]

    def expired(self) -> list[HeldLease]:
        """Return expired leases whose token may still act."""
        items = self.model.items
        return [
            held
            for held in self.live()
            if not items[held.lease.item].held
            or items[held.lease.item].expired
        ]

    def expired_unclaimed(self) -> list[HeldLease]:
        """Return reaped leases whose item nobody has claimed since."""
        return [
            held
            for held in self.live()
            if self.model.items[held.lease.item].state in UNBEGUN
        ]

    def delivered(self) -> list[HeldLease]:
        """Return the leases under which items were completed."""
        items = self.model.items
        tokens = [
            (item.id, item.token)
            for item in items.values()
            if item.state in (State.COMPLETED, State.REVIEW)
        ]
        return [self.held[token] for token in tokens if token in self.held]

    def in_review(self) -> list[str]:
        """Return the items that wait for their reviewer."""
        return self.ids(lambda item: item.state is State.REVIEW)

    def asking(self) -> list[HeldLease]:
        """Return the leases whose holder has an open question."""
        return [
            held
            for held in self.live()
            if self.model.items[held.lease.item].questions
        ]

    def queued(self) -> list[str]:
        return self.ids(lambda item: item.state is State.QUEUED)

    def running(self) -> list[str]:
        return self.ids(
            lambda item: item.state is State.IN_PROGRESS and not item.expired
        )

    def early(self) -> list[str]:
        return self.ids(lambda item: item.early and item.state in UNBEGUN)

    def closed(self) -> list[str]:
        """Return the items of closed projects."""
        projects = self.model.projects
        return self.ids(lambda item: projects[item.project].closed)

    def new_item(self, project: str, **fields: Any) -> Any:
        """Create an item, and its project if needed; return its id, for the bundle."""
        if project not in self.model.projects:
            self.step(
                "project",
                lambda: self.recorded.queue.project("P", id=project),
                lambda: self.model.project(project),
            )
        id_ = f"item_{len(self.model.items):02}"
        early = fields.pop("early", False)
        depends_on = tuple(fields.pop("depends_on", ()))
        key = fields.pop("key", "")
        owner = fields.pop("agent", "")
        is_pool = owner.startswith(POOL)
        lifecycle = {
            "agent": "" if is_pool else owner,
            "pool": owner.removeprefix(POOL) if is_pool else "",
            "priority": 2,
            "max_attempts": 3,
            "reviewer": "",
            **fields,
        }
        new = NewItem(
            title="T",
            id=id_,
            depends_on=depends_on,
            key=key,
            delay_ms=3_600_000 * early,
            **lifecycle,
        )
        item = Item(id=id_, project=project, early=early, place=0, **lifecycle)
        made = self.step(
            "create",
            lambda: self.recorded.queue.create(project, new),
            lambda: self.model.create(item, key, depends_on),
        )
        return id_ if made == id_ else multiple()

    def edit_item(self, item: str, field: str, value: Any) -> None:
        edits = {
            "title": ItemEdit(title=value),
            "priority": ItemEdit(priority=value),
            "depends_on": ItemEdit(remove_dependencies=(value,)),
        }
        edit = edits[field]
        self.step(
            "edit",
            lambda: self.recorded.queue.edit([item], edit)[0].state,
            lambda: self.model.edit(item, field, value),
        )

    def set_budget(self, owner: str, limit: int | None) -> None:
        # In total: the sums of a day would end with the day of the test.
        self.step(
            "set_budget",
            lambda: (
                self.recorded.queue.set_budget(
                    owner, period="total", limit_micros=limit
                ).existed
            ),
            lambda: self.model.set_budget(owner, limit),
        )

    def used_up(self) -> list[str]:
        """Return the owners of budgets that are used up."""
        return [
            owner
            for owner in self.model.limits
            if self.model.is_used_up(owner)
        ]

    def assign_to(self, owner: str, item: str, *, force: bool) -> None:
        def real() -> object:
            pool = owner.removeprefix(POOL) if owner == OWN_POOL else ""
            agent = "" if pool else owner
            done = self.recorded.queue.assign(
                item, agent, pool=pool, force=force
            )
            before = done.previous_pool and f"{POOL}{done.previous_pool}"
            return done.state, done.previous or before

        self.step(
            "assign --force" if force else "assign",
            real,
            lambda: self.model.assign(item, owner, force=force),
        )

    def answer(self, item: str, question: int) -> None:
        def real() -> object:
            done = self.recorded.queue.answer(
                item, "Go on.", question=question
            )
            return done.state, done.question, done.open_questions

        self.step(
            "answer",
            real,
            lambda: self.model.answer(item, question=question),
        )

    def repair(self, verb: str, item: str) -> None:
        def real() -> object:
            has_text = verb in ("comment", "send_back")
            words = (item, "Go on.") if has_text else (item,)
            done = getattr(self.recorded.queue, verb)(*words)
            if isinstance(done, tuple):
                return done
            if isinstance(done, Requeued):
                return (
                    done.state,
                    done.waiting,
                    [each.id for each in done.held],
                )
            if isinstance(done, ReviewedItem):
                return done.state, done.remark
            return done.waiting, done.closed_questions

        self.step(verb, real, lambda: getattr(self.model, verb)(item))

    def requeue_and_reopen(self, item: str) -> None:
        def real() -> object:
            done = self.recorded.queue.requeue(item, reopen=True)
            return done.state, done.waiting, [each.id for each in done.held]

        self.step(
            "requeue --reopen",
            real,
            lambda: self.model.requeue(item, reopen=True),
        )

    def cancel_project(self, project: str) -> None:
        def real() -> object:
            done = self.recorded.queue.cancel_project(project, reason="no")
            return done.cancelled, done.remark

        self.step(
            "cancel_project",
            real,
            lambda: self.model.cancel_project(project),
        )

    def reopen_project(self, project: str) -> None:
        self.step(
            "reopen_project",
            lambda: self.recorded.queue.reopen_project(project).remark,
            lambda: self.model.reopen_project(project),
        )

    def close(self, project: str, *, force: bool) -> None:
        def real() -> None:
            self.recorded.queue.complete_project(project, force=force)

        verb = "complete_project --force" if force else "complete_project"
        self.step(
            verb,
            real,
            lambda: self.model.complete_project(project, force=force),
        )

    def check_as(self, agent: str) -> None:
        def real() -> object:
            shown = self.agent(Actor(agent)).check()
            return shown.count, shown.later

        self.step("check", real, lambda: self.model.check(agent))

    def claim_as(self, me: Actor) -> Any:
        """Pop; return the new lease, for the bundle."""
        got: list[Lease | None] = [None]

        def real() -> object:
            claim = self.agent(me).claim()
            got[0] = claim.lease if claim else None
            return got[0] and (got[0].item, got[0].token)

        self.step("claim", real, lambda: self.model.claim(me))
        return self.held_lease(me, got[0])

    def _get(self, me: Actor, lease: Lease, mode: str) -> Any:
        got: list[Lease | None] = [None]

        def real() -> int:
            shown: Claim = self.agent(me).get(
                lease, peek=mode == "peek", takeover=mode == "takeover"
            )
            got[0] = shown.lease
            return shown.lease.token if shown.lease else 0

        self.step(
            f"get --{mode}",
            real,
            lambda: self.model.get(me, lease.item, self.number(lease), mode),
        )
        return self.held_lease(me, got[0])

    def act(self, me: Actor, lease: Lease, verb: str) -> Any:
        """Do a verb of an agent; return the new lease, for the bundle."""
        return (
            self._get(me, lease, verb)
            if verb in MODES
            else self._step(me, lease, verb)
        )

    def _step(self, me: Actor, lease: Lease, verb: str) -> Any:
        got: list[Lease | None] = [None]
        text = "" if verb == "ack" else f"{verb} {len(self.model.events)}"
        if verb == "blocker":  # sometimes the same question again
            text = f"{verb} {len(self.model.events) % 5}"

        def real() -> object:
            receipt = _do(self.agent(me), lease, verb, text)
            got[0] = receipt.lease
            shown = (
                receipt.state,
                receipt.token,
                receipt.remark,
                receipt.question,
                receipt.open_questions,
                receipt.closed_questions,
            )
            if verb not in NEXT_VERBS:
                return shown
            claimed = self._next_lease(me, receipt)
            return *shown, claimed and (claimed.item, claimed.token)

        self.step(
            verb,
            real,
            lambda: self.model.act(
                verb, me, lease.item, self.number(lease), text
            ),
        )
        return self.held_lease(me, got[0])

    def _next_lease(self, me: Actor, receipt: Receipt) -> Lease | None:
        """Return the lease that a step has claimed for its caller, and keep it."""
        assert isinstance(receipt, SettledReceipt)
        if receipt.next is None:
            return None
        lease = need_lease(receipt.next)
        self.held[lease.item, lease.token] = HeldLease(me, lease)
        return lease

    def expire_lease(self, item: str) -> None:
        self.bench.expire_lease(item)
        self.model.expire_lease(item)
        self.note("clock", "a lease expired")

    def end_delay_of(self, item: str) -> None:
        self.bench.end_delay(item)
        self.model.end_delay(item)
        self.note("clock", "a delay ended")

    # What is checked after each step --------------------------------------------------

    @invariant()
    def queue_equals_model(self) -> None:
        found = raw_keys.read(self.bench, but=self.other_keys)
        shown, expected = _shown(found), self._expected()
        events = [
            tuple(fields[name] for name in EVENT)
            for _, fields in found.values.get("events", [])
        ]
        shown["events"] = Counter(events[self.events_seen :])
        expected["events"] = Counter(self.model.events[self.events_seen :])
        self.events_seen = len(events)
        shown["counters"] = _counters(found)
        expected["counters"] = self._expected_counters()
        names = sorted({*shown, *expected})
        wrong = [
            f"{name}: {shown.get(name)}, not {expected.get(name)}"
            for name in names
            if shown.get(name) != expected.get(name)
        ]
        wrong += found.wrong()
        assert not wrong, wrong

    def _expected_counters(self) -> dict[str, int]:
        """Return what the model has counted, in the form of `_counters`."""
        verbs = Counter(verb for verb, *_ in self.model.events)
        return {
            **verbs,
            "claims from queue": self.model.claims_from_queue,
            "ends": verbs["complete"] + verbs["fail"],
        }

    def _expected(self) -> dict[str, object]:
        """Return the state of the model in the form of `_shown`."""
        expected: dict[str, object] = {
            f"{id_} closed": project.closed
            for id_, project in self.model.projects.items()
        }
        expected |= {
            f"queue:{owner}": self.model.queue(owner) for owner in OWNERS
        }
        expected["limits"] = self.model.limits
        expected["spent"] = dict(self.model.spent)
        for id_, item in self.model.items.items():
            fields = {
                "state": item.state,
                "cost": item.cost,
                "agent": item.agent,
                "pool": item.pool,
                "token": item.token,
                "live": item.live,
                "attempts": item.attempts,
                "early": item.early,
                "lease": item.state is State.IN_PROGRESS
                and ("over" if item.expired else "full"),
                "asked": item.asked,
                "questions": item.questions,
                "session": item.session if item.taken else "",
                "summary": item.summary,
                "title": item.title,
                "priority": item.priority,
                "edited": [NAMES.get(each, each) for each in item.edited],
                "depends_on": item.depends_on,
                "open": item.open,
                "history": item.history,
            }
            expected |= {
                f"{id_} {name}": value for name, value in fields.items()
            }
        return expected


def _outcome(act: Callable[[], object]) -> tuple[object, str]:
    """Return the result of a step, or the name of its refusal."""
    try:
        return act(), ""
    except Refused as refusal:
        return None, str(refusal)
    except TaskOrchestratorError as error:
        return None, type(error).__name__


def _do(me: AgentQueue, lease: Lease, verb: str, text: str) -> Receipt:
    """Do a verb of the holder; most of them take a text."""
    steps: dict[str, Callable[[], Receipt]] = {
        "renew": lambda: me.renew(lease),
        "withdraw": lambda: me.withdraw(lease),
        "agent_comment": lambda: me.comment(lease, text),
        "progress": lambda: me.progress(lease, text, used=USED),
        "complete": lambda: me.complete(lease, text, used=USED),
        "ack": lambda: me.complete(lease, used=USED),
        "complete-next": lambda: me.complete(
            lease, text, next=True, used=USED
        ),
        "fail": lambda: me.fail(lease, text, used=USED),
        "bury": lambda: me.fail(lease, text, retry=False, used=USED),
        "fail-next": lambda: me.fail(lease, text, next=True, used=USED),
        "release": lambda: me.release(lease, reason=text),
        "leave": lambda: me.release(lease, reason=text, asks=True),
    }
    if verb in steps:
        return steps[verb]()
    step: Callable[[Lease, str], Receipt] = getattr(me, verb)
    return step(lease, text)


def _counters(found: RawKeys) -> dict[str, int]:
    """Return the number of events of each verb, and of times, as they were counted."""
    verbs: Counter[str] = Counter()
    buckets: Counter[str] = Counter()
    for field, number in found.values.get("counters", {}).items():
        word, colon, _ = field.partition(":")
        events = int(number) // 10**12 if colon else int(number)
        if colon:
            buckets[word] += events
        if word != "queue_wait":
            verbs[word] += events
    return {
        **verbs,
        "claims from queue": buckets["claim"] + buckets["queue_wait"],
        "ends": buckets["complete"] + buckets["fail"],
    }


def _shown(found: RawKeys) -> dict[str, object]:
    """Return projects, queues and items as the keys have them."""
    shown: dict[str, object] = {
        f"{id_} closed": it["status"] == "completed"
        for id_, it in found.projects().items()
    }
    shown |= {
        f"queue:{owner}": list(found.values.get(f"queue:{owner}", {}))
        for owner in OWNERS
    }
    shown["limits"] = {
        _owner(name.removesuffix(":total")): int(limits.split()[0])
        for name, limits in found.values.get("budgets", {}).items()
    }
    shown["spent"] = {
        _owner(name.removesuffix("usage").rstrip(":")): _cost(sums["total"])
        for name, sums in found.values.items()
        if name.rpartition(":")[2] == "usage"
    }
    for id_, item in found.items.items():
        reports = [
            report for _, report in found.values.get(f"progress:{id_}", [])
        ]
        if not reports and item["state"] == State.COMPLETED:
            reports = [_completion(item)]
        fields = {
            "state": item["state"],
            "cost": int(item.get("cost_micros", 0)),
            "agent": item["agent"],
            "pool": item.get("pool", ""),
            "token": int(item["token"]),
            "live": "live_token" in item,
            "attempts": int(item["attempts"]),
            "early": int(item["not_before"]) > found.now_ms,
            "lease": _lease(found, id_),
            "asked": int(item.get("asked", 0)),
            "questions": {
                int(question["number"]): question["text"]
                for question in json.loads(item.get("questions", "[]"))
            },
            "session": item.get("holder_session", "")
            if item["state"] in HELD
            else "",
            "summary": item.get("summary", ""),
            "title": item["title"],
            "priority": int(item["priority"]),
            "edited": item["edited"].split(",") if "edited" in item else [],
            "depends_on": json.loads(item.get("depends_on", "[]")),
            "open": found.values.get(f"deps:{id_}", set()),
            "history": [
                (
                    one["kind"],
                    one["agent"],
                    int(one["attempt"]),
                    int(one["token"]),
                )
                for one in reports
            ],
        }
        shown |= {f"{id_} {name}": value for name, value in fields.items()}
    return shown


def _completion(item: dict[str, str]) -> dict[str, str]:
    """Return the only report of a completed item, which its own fields have."""
    return {
        "kind": "complete",
        "agent": item["agent"],
        "attempt": item["attempts"],
        "token": item["token"],
    }


def _owner(name: str) -> str:
    """Return the owner of a budget or of sums as the model names it."""
    return name.rpartition(":")[2] or NAMESPACE


def _cost(numbers: str) -> int:
    """Return the cost in a sum of tokens and cost."""
    return int(numbers.rsplit(maxsplit=1)[-1])


def _lease(found: RawKeys, id_: str) -> object:
    """Return "over", "full" (as after a step) or "short"; False without a lease."""
    ends = found.values.get("leases", {}).get(id_)
    if ends is None:
        return False
    left_ms = ends - found.now_ms
    if left_ms <= 0:
        return "over"
    is_full = left_ms > DEFAULT_LEASE_MS - 10 * MINUTE_MS
    return "full" if is_full else "short"
