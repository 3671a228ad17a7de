"""A queue and its model in step: what is done to the one is done to the other, then both are compared."""

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from hypothesis.stateful import RuleBasedStateMachine, invariant, multiple
from support import raw_keys
from support.builders import Bench
from support.model import Model
from support.model_moves import HELD, UNBEGUN, Actor, Item, Refused
from support.raw_keys import RawKeys
from support.repeats import Call, Remembering
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    MINUTE_MS,
    Caller,
    Claim,
    Lease,
    NewItem,
    Receipt,
    Requeued,
    State,
)
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Reply
from taskorch.queue.queue import Queue

AGENTS = ("ada", "bob")
MODES = ("claim", "takeover", "peek")
EVENT = ("verb", "item", "project", "agent", "state")


@dataclass(frozen=True)
class Grip:
    """A lease that somebody got once, and who; the claim may be over by now."""

    me: Actor
    lease: Lease


class InStep(RuleBasedStateMachine):
    """A namespace of the queue on one lane, and its model."""

    #: A bench on the lane; each run has another namespace there.
    lane: ClassVar[Bench]
    #: How often each verb had each outcome.
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        connection, namespace = (
            self.lane.queue._scripts.connection,
            f"test-{os.urandom(4).hex()}",
        )
        queue = Queue(
            connection, namespace, Caller(agent="planner", host="here", pid=1)
        )
        self.bench = replace(self.lane, queue=queue, namespace=namespace)
        self.memory = Remembering(connection)
        self.told = self.bench.over(lambda _: self.memory)
        self.model: Model = Model()
        self.held: dict[tuple[str, int], Grip] = {}
        self.happened = 0
        self.strangers = raw_keys.all_keys(self.bench)

    def teardown(self) -> None:
        try:
            wrong = self.bench.inconsistencies()
            assert not wrong, wrong
            self.purge_everything()
        finally:
            self.bench.raw.delete(*raw_keys.all_keys(self.bench) - self.strangers)

    def purge_everything(self) -> None:
        """Close and purge what there is: whatever happened before, nothing is left of it."""
        queue = self.bench.queue
        projects = [project.id for project in queue.views.projects()]
        for project in projects:
            queue.complete_project(project, force=True)
        for project in projects:
            assert queue.purge(project)[0] == 0
        left = raw_keys.read(self.bench, but=self.strangers)
        assert {name.partition(":")[0] for name in left.values} <= {
            "meta",
            "agents",
            "agent",
            "wake",
            "events",
        }
        assert left.wrong() == []

    # What the rules are made of ---------------------------------------------------------------------------------------

    def still_kept(self, first: Call) -> Reply:
        """Return what a repeat of a call gets now: its first reply, without the tokens that have died since."""
        kept = first.kept()
        if first.script.name == "claim":
            return [
                self._with_living_token(row) for row in cast("list[list[Reply]]", kept)
            ]
        return (
            self._with_living_token(cast("list[Reply]", kept))
            if first.script.name == "get"
            else kept
        )

    def _with_living_token(self, row: list[Reply]) -> list[Reply]:
        item, token, *rest = row
        is_living = token == self.bench.lease_of(str(item)).shown()
        return [item, token if is_living else "", *rest]

    def step(
        self, verb: str, real: Callable[[], object], model: Callable[[], object]
    ) -> object:
        """Do a step to the queue and to the model; return what its caller is told, if it is not refused."""
        before = len(self.model.events)
        should, refused = _outcome(model)
        does, why = _outcome(real)
        self.note(verb, why or "accepted")
        assert (does, why) == (should, refused), (
            f"{verb}: {why or does}, not {refused or should}"
        )
        for what, item, *_, state in self.model.events[before:]:
            if what in ("fail", "expire") and state in (State.DELAYED, State.WAITING):
                self.bench.let_delay_last(item)
        return does

    def note(self, verb: str, outcome: str) -> None:
        self.tally[f"{verb}: {outcome}"] += 1

    def agent(self, me: Actor) -> AgentQueue:
        return self.told.agent(me.agent, session=me.session)

    def grip(self, me: Actor, lease: Lease | None) -> Any:
        """Return the grip that a lease gives, if it is a new one, for the bundle."""
        if lease is None or not lease.token or (lease.item, lease.token) in self.held:
            return multiple()
        self.held[lease.item, lease.token] = Grip(me, lease)
        return self.held[lease.item, lease.token]

    def number(self, lease: Lease) -> int:
        """Return the number of the token as the model knows it; -1 where the claim never was."""
        known = self.held.get((lease.item, lease.token))
        return (
            lease.token
            if not lease.token or (known and known.lease.claim == lease.claim)
            else -1
        )

    def owner(self, item: str, agent: str, session: str) -> Actor:
        """Return the session of that agent, or of the one that has the item."""
        return Actor(agent or self.model.items[item].agent or "ada", session)

    def living(self) -> list[Grip]:
        tokens = [
            (item.id, item.token) for item in self.model.items.values() if item.living
        ]
        return [self.held[token] for token in tokens if token in self.held]

    def ids(self, which: Callable[[Item], bool]) -> list[str]:
        return [item.id for item in self.model.items.values() if which(item)]

    def lapsed(self) -> list[Grip]:
        """Return the grips of those whose lease ran out, and whose token may still act."""
        items = self.model.items
        return [
            grip
            for grip in self.living()
            if not items[grip.lease.item].held or items[grip.lease.item].run_out
        ]

    def adrift(self) -> list[Grip]:
        """Return the grips of those whose item was taken off them by the clock, and by nobody else yet."""
        return [
            grip
            for grip in self.living()
            if self.model.items[grip.lease.item].state in UNBEGUN
        ]

    def asking(self) -> list[Grip]:
        """Return the grips of those who have an open question."""
        return [
            grip for grip in self.living() if self.model.items[grip.lease.item].asked
        ]

    def queued(self) -> list[str]:
        return self.ids(lambda item: item.state is State.QUEUED)

    def running(self) -> list[str]:
        return self.ids(
            lambda item: item.state is State.IN_PROGRESS and not item.run_out
        )

    def early(self) -> list[str]:
        return self.ids(lambda item: item.early and item.state in UNBEGUN)

    def new_item(self, project: str, **fields: Any) -> Any:
        """Create an item, in a project that is opened if need be; return its id, for the bundle."""
        if project not in self.model.projects:
            self.step(
                "project",
                lambda: self.told.queue.project("P", id=project),
                lambda: self.model.project(project),
            )
        id_ = f"item_{len(self.model.items):02}"
        words = {
            "agent": "",
            "priority": 2,
            "max_attempts": 3,
            "depends_on": (),
            "early": False,
            "key": "",
            **fields,
        }
        early, depends_on, key = (
            words.pop("early"),
            tuple(words.pop("depends_on")),
            words.pop("key"),
        )
        new = NewItem(
            title="T",
            id=id_,
            depends_on=depends_on,
            key=key,
            delay_ms=3_600_000 * early,
            **words,
        )
        item = Item(id=id_, project=project, early=early, place=0, **words)
        made = self.step(
            "create",
            lambda: self.told.queue.create(project, new),
            lambda: self.model.create(item, key, depends_on),
        )
        return id_ if made == id_ else multiple()

    def assign_to(self, agent: str, item: str, *, force: bool) -> None:
        def real() -> object:
            done = self.told.queue.assign(item, agent, force=force)
            return done.state, done.previous

        self.step(
            "assign --force" if force else "assign",
            real,
            lambda: self.model.assign(item, agent, force=force),
        )

    def mend(self, verb: str, item: str) -> None:
        words = (item, "Go on.") if verb == "answer" else (item,)

        def real() -> object:
            done = getattr(self.told.queue, verb)(*words)
            if isinstance(done, Requeued):
                return done.state, done.waiting, [each.id for each in done.held]
            return done

        self.step(verb, real, lambda: getattr(self.model, verb)(item))

    def close(self, project: str, *, force: bool) -> None:
        def real() -> None:
            self.told.queue.complete_project(project, force=force)

        verb = "complete_project --force" if force else "complete_project"
        self.step(verb, real, lambda: self.model.complete_project(project, force=force))

    def check_as(self, agent: str) -> None:
        def real() -> object:
            shown = self.agent(Actor(agent)).check()
            return shown.count, shown.later

        self.step("check", real, lambda: self.model.check(agent))

    def claim_as(self, me: Actor) -> Any:
        """Pop; return the new grip, for the bundle."""
        got: list[Lease | None] = [None]

        def real() -> object:
            claim = self.agent(me).claim()
            got[0] = claim.lease if claim else None
            return got[0] and (got[0].item, got[0].token)

        self.step("claim", real, lambda: self.model.claim(me))
        return self.grip(me, got[0])

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
        return self.grip(me, got[0])

    def act(self, me: Actor, lease: Lease, verb: str) -> Any:
        """Do what an agent may do to an item; return the new grip, for the bundle."""
        return (
            self._get(me, lease, verb) if verb in MODES else self._step(me, lease, verb)
        )

    def _step(self, me: Actor, lease: Lease, verb: str) -> Any:
        got: list[Lease | None] = [None]
        said = f"{verb} {len(self.model.events)}"

        def real() -> object:
            receipt = _do(self.agent(me), lease, verb, said)
            got[0] = receipt.lease
            return receipt.state, receipt.token, receipt.remark

        self.step(
            verb,
            real,
            lambda: self.model.step(verb, me, lease.item, self.number(lease), said),
        )
        return self.grip(me, got[0])

    def lease_runs_out(self, item: str) -> None:
        self.bench.let_lease_run_out(item)
        self.model.lease_runs_out(item)
        self.note("clock", "a lease ran out")

    def delay_passes(self, item: str) -> None:
        self.bench.let_delay_pass(item)
        self.model.delay_passes(item)
        self.note("clock", "a delay passed")

    # What holds after each step --------------------------------------------------------------------------------------

    @invariant()
    def the_queue_is_as_the_model_says(self) -> None:
        found = raw_keys.read(self.bench, but=self.strangers)
        shown, meant = _shown(found), self._meant()
        events = [
            tuple(fields[name] for name in EVENT)
            for _, fields in found.values.get("events", [])
        ]
        shown["events"] = Counter(events[self.happened :])
        meant["events"] = Counter(self.model.events[self.happened :])
        self.happened = len(events)
        names = sorted({*shown, *meant})
        wrong = [
            f"{name}: {shown.get(name)}, not {meant.get(name)}"
            for name in names
            if shown.get(name) != meant.get(name)
        ]
        wrong += found.wrong()
        assert not wrong, wrong

    def _meant(self) -> dict[str, object]:
        """Return all that the model has, in the words of `_shown`."""
        meant: dict[str, object] = {
            f"{id_} closed": project.closed
            for id_, project in self.model.projects.items()
        }
        meant |= {f"queue:{agent}": self.model.queue(agent) for agent in AGENTS}
        for id_, item in self.model.items.items():
            fields = {
                "state": item.state,
                "agent": item.agent,
                "token": item.token,
                "living": item.living,
                "attempts": item.attempts,
                "early": item.early,
                "lease": item.state is State.IN_PROGRESS
                and ("over" if item.run_out else "full"),
                "asked": item.asked,
                "session": item.session if item.taken else "",
                "summary": item.summary,
                "depends_on": item.depends_on,
                "open": item.open,
                "history": item.history,
            }
            meant |= {f"{id_} {name}": value for name, value in fields.items()}
        return meant


def _outcome(act: Callable[[], object]) -> tuple[object, str]:
    """Return what an act brings, or the name of the refusal."""
    try:
        return act(), ""
    except Refused as refusal:
        return None, str(refusal)
    except TaskOrchestratorError as error:
        return None, type(error).__name__


def _do(me: AgentQueue, lease: Lease, verb: str, said: str) -> Receipt:
    match verb:
        case "renew":
            return me.renew(lease)
        case "fail" | "bury":
            return me.fail(lease, said, retry=verb == "fail")
        case "release" | "leave":
            return me.release(lease, reason=said, asks=verb == "leave")
    step: Callable[[Lease, str], Receipt] = getattr(me, verb)
    return step(lease, said)


def _shown(found: RawKeys) -> dict[str, object]:
    """Return what the keys have of projects, queues and items."""
    shown: dict[str, object] = {
        f"{id_} closed": it["status"] == "completed"
        for id_, it in found.projects().items()
    }
    shown |= {
        f"queue:{agent}": list(found.values.get(f"queue:{agent}", {}))
        for agent in AGENTS
    }
    for id_, item in found.items.items():
        reports = [report for _, report in found.values.get(f"progress:{id_}", [])]
        fields = {
            "state": item["state"],
            "agent": item["agent"],
            "token": int(item["token"]),
            "living": "live_token" in item,
            "attempts": int(item["attempts"]),
            "early": int(item["not_before"]) > found.now_ms,
            "lease": _lease(found, id_),
            "asked": "blocker" in item,
            "session": item["holder_session"] if item["state"] in HELD else "",
            "summary": item.get("summary", ""),
            "depends_on": json.loads(item.get("depends_on", "[]")),
            "open": found.values.get(f"deps:{id_}", set()),
            "history": [
                (one["kind"], one["agent"], int(one["attempt"]), int(one["token"]))
                for one in reports
            ],
        }
        shown |= {f"{id_} {name}": value for name, value in fields.items()}
    return shown


def _lease(found: RawKeys, id_: str) -> object:
    """Return whether the lease of an item is over, or as full as a step leaves it; False for none."""
    ends = found.values.get("leases", {}).get(id_)
    if ends is None:
        return False
    left_ms = ends - found.now_ms
    return (
        "over"
        if left_ms <= 0
        else "full"
        if left_ms > DEFAULT_LEASE_MS - 10 * MINUTE_MS
        else "short"
    )
