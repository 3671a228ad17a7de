"""A queue under test: items in a given state, times moved past, damage to the keys."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import sleep
from typing import Any, cast

import redis
from taskorch.connections import RETRIES, connect
from taskorch.domain import limits
from taskorch.domain.item import (
    HOUR_MS,
    Caller,
    Claim,
    ItemFilter,
    Lease,
    NewItem,
    State,
)
from taskorch.domain.schedule import NewSchedule
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.plan import CreatedItem
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue

#: The indexes of an item by state; those of an agent without the agent's name.
STATE_INDEXES: dict[State, set[str]] = {
    State.PENDING: {"unassigned"},
    State.WAITING: {"waiting"},
    State.QUEUED: {"queue"},
    State.IN_PROGRESS: {"leases", "held"},
    State.BLOCKED: {"blocked", "held"},
    State.REVIEW: {"reviews"},
    State.DELAYED: {"delayed"},
    State.COMPLETED: set(),
    State.FAILED: {"dead"},
    State.CANCELLED: set(),
}
INDEXES = set().union(*STATE_INDEXES.values())


DAY_MS = 24 * HOUR_MS
#: The end of an hour or a day is near: a slow test may still run when it comes.
NEAR_MS = 30_000
#: The smallest plan of a project.
PLAN = "project: Nightly\nitems:\n  - {name: a, title: A, agent: ada}\n"


def new_schedule(
    name: str, *, plan: str = PLAN, next_at: int = 1, cron: str = "0 6 * * *"
) -> NewSchedule:
    """Return a schedule, by default one that is due since 1970."""
    return NewSchedule(
        name=name, cron=cron, zone="UTC", plan=plan, values={}, next_at=next_at
    )


@dataclass(frozen=True)
class Bench:
    """A queue under test, and its keys in Redis."""

    queue: Queue
    raw: redis.Redis
    namespace: str
    url: str

    def agent(
        self,
        name: str = "ada",
        *,
        session: str = "",
        pools: Sequence[str] | None = None,
    ) -> AgentQueue:
        return self.queue.agent_queue(name, session=session, pools=pools)

    def project(self) -> str:
        return self.queue.project("A project")

    def item(
        self, project: str = "", *, agent: str = "ada", **fields: object
    ) -> str:
        """Create an item, by default assigned to ada."""
        fields = {"title": "An item", **fields}
        new = NewItem(agent=agent, **fields)  # type: ignore[arg-type]
        return self.queue.create(project or self.project(), new)

    def pool_item(self, pool: str = "backend", **fields: object) -> str:
        """Create an item in a pool."""
        return self.item(agent="", pool=pool, **fields)  # type: ignore[arg-type]

    def create_many(
        self, project: str, items: Sequence[NewItem]
    ) -> list[CreatedItem]:
        """Create any number of items in as many calls as they need."""
        each = max((len(new.depends_on) for new in items), default=0)
        most = limits.BATCH_DEPENDENCIES // max(each, 1)
        step = max(1, min(limits.BATCH_ITEMS, most))
        return [
            created
            for first in range(0, len(items), step)
            for created in self.queue.create_many(
                project, items[first : first + step]
            )
        ]

    def claimed(
        self, item: str = "", *, agent: str = "ada", session: str = ""
    ) -> Lease:
        """Claim an item, by default a new one, and return the lease."""
        wanted = Lease(item=item or self.item(agent=agent))
        return need_lease(self.agent(agent, session=session).get(wanted))

    def lease_in(self, state: State) -> Lease:
        """Return the lease on a new item of ada in a state, without a token if unheld."""
        item = self.item(agent="" if state is State.PENDING else "ada")
        return self.bring_to(item, state)

    def bring_to(self, item: str, state: State) -> Lease:
        """Bring a queued item of ada, or for pending any item, into a state."""
        match state:
            case State.WAITING:
                self.queue.depend(item, [self.item(agent="bob")])
            case State.IN_PROGRESS:
                return self.claimed(item)
            case State.BLOCKED:
                return (
                    self.agent()
                    .blocker(self.claimed(item), "Which one?")
                    .lease
                )
            case State.REVIEW:
                self.set_reviewer(item, "lead")
                self.agent().complete(self.claimed(item), "done")
            case State.DELAYED:
                self.agent().fail(self.claimed(item), "no luck")
                self.prolong_delay(item)
            case State.COMPLETED:
                self.agent().complete(self.claimed(item), "done")
            case State.FAILED:
                self.agent().fail(self.claimed(item), "hopeless", retry=False)
            case State.CANCELLED:
                self.queue.cancel(item)
        return Lease(item=item)

    def set_reviewer(self, item: str, reviewer: str) -> None:
        """Set the reviewer of an item, whatever its state."""
        key = f"{keys.tag(self.namespace)}item:{item}"
        self.raw.hset(key, "reviewer", reviewer)

    def completed_item(self) -> str:
        """Return a completed item of bob."""
        item = self.item(agent="bob")
        self.agent("bob").complete(Lease(item=item), "done")
        return item

    def expired_lease(self, state: State) -> Lease:
        """Return the expired lease on an item of ada in the given state.

        The state is waiting, delayed, queued or failed.
        """
        depends_on = (self.completed_item(),) if state is State.WAITING else ()
        lease = self.claimed(
            self.item(
                max_attempts=1 if state is State.FAILED else 3,
                depends_on=depends_on,
            )
        )
        if state is State.WAITING:
            self.queue.requeue(*depends_on)
        self.expire_lease(lease.item)
        self.queue.reap()
        if state is State.QUEUED:
            self.end_delay(lease.item)
            self.queue.reap()
        assert self.state(lease.item) is state
        if state is State.DELAYED:
            self.prolong_delay(lease.item)
        return lease

    def claimed_next(self) -> str:
        """Return the item that ada would claim next, or ""."""
        claim = self.agent().claim()
        return claim.package.item.id if claim else ""

    def lease_of(self, item: str) -> Lease:
        """Return the lease on an item; without a holder, it has no token."""
        (found,) = self.queue.views.records([item])
        (asked,) = self.queue.views.records([item], session=found.session)
        return asked.lease

    def add_discovery(self, item: str, entry: str, text: str = "It") -> None:
        """Add a discovery of bob on an item, with an entry id of its own."""
        project = self.queue.views.show(item).item.project
        fields = {"item": item, "agent": "bob", "text": text, "impact": ""}
        self.raw.xadd(
            f"{keys.tag(self.namespace)}discoveries:{project}",
            cast(Any, fields),
            id=entry,
        )

    def set_reader(self, project: str, reader: str, cursor: str) -> None:
        """Set the cursor of a reader of discoveries."""
        key = f"{keys.tag(self.namespace)}readers:{project}"
        self.raw.hset(key, reader, cursor)

    def blocked_clients(self) -> int:
        """Return the number of clients that block on a list or a stream."""
        return int(cast("Any", self.raw).info("clients")["blocked_clients"])

    def schema(self) -> str:
        """Return the schema version of the namespace."""
        return str(self.raw.hget(f"{keys.tag(self.namespace)}meta", "schema"))

    def with_connection(
        self, wrap: Callable[[Connection], Connection]
    ) -> "Bench":
        """Return the same queue over a wrapped connection."""
        scripts = self.queue._scripts
        return replace(
            self,
            queue=Queue(
                wrap(scripts.connection), self.namespace, scripts.caller
            ),
        )

    def state(self, item: str) -> State:
        return self.queue.views.show(item).item.state

    def expire_lease(self, item: str) -> None:
        """Move the end of a lease into the past, before any reap."""
        self.raw.zadd(keys.tag(self.namespace) + "leases", {item: 1}, xx=True)

    def shorten_lease(self, item: str, *, left_ms: int) -> None:
        """Set the time that is left of a lease."""
        self.raw.zadd(
            keys.tag(self.namespace) + "leases",
            {item: self.now_ms() + left_ms},
            xx=True,
        )

    def end_delay(self, item: str) -> None:
        """Let a delayed item be due.

        The schedule is changed last, because other processes act on it.
        """
        tag = keys.tag(self.namespace)
        if self.raw.exists(f"{tag}item:{item}"):
            self.raw.hset(f"{tag}item:{item}", "not_before", 1)
        self.raw.zadd(tag + "delayed", {item: 1}, xx=True)

    def prolong_delay(self, item: str) -> None:
        """Postpone a delayed item by an hour, so that a slow test does not reach it."""
        tag, due = keys.tag(self.namespace), self.now_ms() + 3_600_000
        self.raw.hset(f"{tag}item:{item}", "not_before", due)
        self.raw.zadd(tag + "delayed", {item: due}, xx=True)

    def delete_item(self, item: str) -> None:
        """Delete the hash of an item, as an eviction would."""
        self.delete_key(f"item:{item}")

    def undo_claim(self, item: str) -> None:
        """Undo the last claim of ada, as a failover to a lagging replica does."""
        self.agent().release(self.lease_of(item))
        self.raw.hincrby(f"{keys.tag(self.namespace)}item:{item}", "token", -1)

    def delete_everything(self) -> None:
        """Empty the namespace."""
        for key in self.raw.scan_iter(
            f"{keys.tag(self.namespace)}*", count=1000
        ):
            self.raw.delete(key)

    def delete_lease_entry(self, item: str) -> None:
        """Delete the entry of an item in the index of leases."""
        self.raw.zrem(keys.tag(self.namespace) + "leases", item)

    def add_queue_entry(self, item: str) -> None:
        """Put an item first in the queue of ada, whatever its state."""
        self.raw.zadd(keys.tag(self.namespace) + "queue:ada", {item: 0})

    def members(self, name: str) -> list[str]:
        """Return the members of a sorted set or a set of the namespace."""
        key = keys.tag(self.namespace) + name
        raw = cast(Any, self.raw)
        if raw.type(key) == "set":
            return sorted(raw.smembers(key))
        return sorted(raw.zrange(key, 0, -1))

    def delete_entry(self, index: str, member: str) -> None:
        """Remove a member of a sorted set or a set of the namespace."""
        key = keys.tag(self.namespace) + index
        if self.raw.type(key) == "set":
            self.raw.srem(key, member)
        else:
            self.raw.zrem(key, member)

    def add_entry(self, index: str, member: str, score: float = 1) -> None:
        """Add a member to a sorted set; for `deps` and `dependents`, to a set."""
        key = keys.tag(self.namespace) + index
        if index.startswith(("dep", "satisfied")):
            self.raw.sadd(key, member)
        else:
            self.raw.zadd(key, {member: score})

    def delete_key(self, name: str) -> None:
        """Delete a key."""
        self.raw.delete(keys.tag(self.namespace) + name)

    def make_due(self, schedule: str, at: int = 1000) -> None:
        """Move the next run of a schedule into the past, by default to 1970."""
        self.set_schedule(schedule, next=str(at))
        self.add_entry("schedules", schedule, at)

    def set_schedule(self, name: str, **fields: str) -> None:
        """Write fields of a schedule."""
        key = f"{keys.tag(self.namespace)}schedule:{name}"
        self.raw.hset(key, mapping=cast("Any", fields))

    def age_project(self, project: str, *, days: int = 100) -> None:
        """Move the completion of a project into the past."""
        key = f"{keys.tag(self.namespace)}project:{project}"
        at = self.now_ms() - days * 86_400_000
        self.raw.hset(key, "completed_at", at)

    def age_item(self, item: str, *, hours: int) -> None:
        """Move the newest event of an item into the past."""
        key = f"{keys.tag(self.namespace)}item:{item}"
        at = self.now_ms() - hours * 3_600_000
        self.raw.hset(key, "event", f"{at}-0")

    def delete_project(self, project: str) -> None:
        """Delete the hash of a project."""
        self.delete_key(f"project:{project}")

    def expire_access_token(self, token: str) -> None:
        """Let an access token expire, as if its lifetime were over."""
        key = keys.tag(self.namespace) + f"access_token:{token}"
        self.raw.hset(key, "expires_at", 1)

    def was_claimed_with(self, item: str, completed: str) -> bool:
        """Tell whether one call completed an item and claimed another one."""
        tag = keys.tag(self.namespace)
        claim = self.raw.hget(f"{tag}item:{item}", "claim")
        return claim == self.raw.hget(f"{tag}item:{completed}", "completion")

    def add_without_wake_token(self, item: str) -> None:
        """Queue an item of bob for ada, as if its wake token had been lost."""
        tag = keys.tag(self.namespace)
        self.raw.hset(f"{tag}item:{item}", "agent", "ada")
        self.raw.zrem(f"{tag}queue:bob", item)
        self.raw.zadd(f"{tag}queue:ada", {item: 1})

    def set_schema(self, version: str) -> None:
        """Set the schema version of the namespace."""
        self.raw.hset(keys.tag(self.namespace) + "meta", "schema", version)

    def set_kinds_with_budgets(self, kinds: str) -> None:
        """Say which kinds of owners have budgets; older versions wrote 1 for any."""
        self.raw.hset(keys.meta(self.namespace), "budgets", kinds)

    def shift_count(self, owner: str, state: State, *, by: int = 1) -> None:
        """Add a number to a count of `project:<id>` or `agent:<name>`."""
        self.raw.hincrby(keys.tag(self.namespace) + owner, f"n_{state}", by)

    def set_sum(self, name: str, field: str, numbers: str) -> None:
        """Set a sum in a hash of them, such as `agent:ada:usage`."""
        self.raw.hset(keys.tag(self.namespace) + name, field, numbers)

    def sums(self, name: str) -> dict[str, str]:
        """Return the fields of a hash; {} if there is none."""
        found = cast(Any, self.raw).hgetall(keys.tag(self.namespace) + name)
        return dict(found)

    def today(self) -> int:
        """Return the days since the epoch by the clock of Redis."""
        return self.now_ms() // DAY_MS

    def add_cycle(self, items: Sequence[str]) -> None:
        """Make items depend on each other in a cycle, without `depend`."""
        for item, dependency in zip(
            items, [items[-1], *items[:-1]], strict=True
        ):
            self.raw.hset(
                f"{keys.tag(self.namespace)}item:{item}",
                "depends_on",
                json.dumps([dependency]),
            )
            self.add_entry(f"deps:{item}", dependency)
            self.add_entry(f"dependents:{dependency}", item)

    def now_ms(self) -> int:
        """Return the time by the clock of Redis."""
        seconds, microseconds = self.raw.time()
        return seconds * 1000 + microseconds // 1000

    def wait_for_next_ms(self) -> None:
        """Wait for the next millisecond, so that the next step has a later time."""
        before = self.now_ms()
        while self.now_ms() == before:
            pass

    def stay_in_one_hour(self) -> None:
        """Wait for the next hour if it is near, so that the test ends before another."""
        self._pass_near_end(HOUR_MS)

    def stay_in_one_day(self) -> None:
        """Wait for midnight if it is near, so that the test ends on the same day."""
        self._pass_near_end(DAY_MS)

    def _pass_near_end(self, period_ms: int) -> None:
        while period_ms - self.now_ms() % period_ms < NEAR_MS:
            sleep(0.05)

    def indexes_of(self, item: str) -> set[str]:
        """Return the indexes that have an entry of an item."""
        return self._indexes().get(item, set())

    def inconsistencies(self) -> list[str]:
        """Return how items, indexes, dependencies and counts contradict each other."""
        items, indexes = (
            self.queue.views.search(ItemFilter(), limit=5000).items,
            self._indexes(),
        )
        wrong = []
        for item in items:
            left = (
                {"held"} if item.holder is None else set()
            )  # to the answer, by who asked
            owner = item.agent or f"pool:{item.pool}"
            homes = {
                f"{home}:{owner}" if home in ("queue", "held") else home
                for home in STATE_INDEXES[item.state] - left
            }
            if homes != indexes.get(item.id, set()):
                wrong.append(
                    f"{item.id} is {item.state} but in {indexes.get(item.id)}"
                )
            if item.state in (State.WAITING, State.QUEUED) and (
                item.state is State.WAITING
            ) != self._waits(item.id):
                wrong.append(
                    f"{item.id} is {item.state}, its dependencies say otherwise"
                )
        there = Counter(
            (owner, item.state)
            for item in items
            for owner in (
                item.project,
                item.agent or (item.pool and f"pool:{item.pool}"),
            )
        )
        owners = {
            project.id: project.counts
            for project in self.queue.views.projects()
        }
        owners |= {
            agent.name: agent.counts for agent in self.queue.views.agents()
        }
        for name in self._names("pool:*"):
            kept = cast("dict[str, str]", self._value(name))
            owners[name] = {
                state: int(kept.get(f"n_{state}", 0)) for state in State
            }
        wrong += [
            f"{owner} counts {counts[state]} {state}, there are {there[owner, state]}"
            for owner, counts in owners.items()
            for state in State
            if counts[state] != there[owner, state]
        ]
        return wrong

    def _indexes(self) -> dict[str, set[str]]:
        """Return the indexes with their items."""
        found: dict[str, set[str]] = {}
        for name in self._names("*"):
            if name.partition(":")[0] in INDEXES:
                for item, _ in cast(Any, self._value(name)):
                    found.setdefault(item, set()).add(name)
        return found

    def _waits(self, item: str) -> bool:
        """Tell whether an item has an open dependency."""
        return bool(self.raw.exists(f"{keys.tag(self.namespace)}deps:{item}"))

    def everything(self) -> dict[str, object]:
        """Return the content of the namespace.

        The last calls of agents and the replies kept for repeats are left out.
        """
        names = [
            name
            for name in self._names("*")
            if name != "agents" and not name.startswith("req:")
        ]
        return {name: self._value(name) for name in names if self._value(name)}

    def kept_replies(self) -> list[object]:
        """Return the replies that are kept for repeats."""
        return [self._value(name) for name in self._names("req:*")]

    def _names(self, pattern: str) -> list[str]:
        tag = keys.tag(self.namespace)
        return sorted(
            str(key).removeprefix(tag)
            for key in self.raw.scan_iter(tag + pattern, count=1000)
        )

    def _value(self, name: str) -> object:
        key = keys.tag(self.namespace) + name
        raw = cast(Any, self.raw)
        match raw.type(key):
            case "hash":
                bookkeeping = (
                    ("host", "pid", "session")
                    if name.startswith("agent:")
                    else ()
                )
                return {
                    field: value
                    for field, value in raw.hgetall(key).items()
                    if field not in bookkeeping
                }
            case "zset":
                return raw.zrange(key, 0, -1, withscores=True)
            case "set":
                return raw.smembers(key)
            case "list":
                return raw.lrange(key, 0, -1)
            case "stream":
                return raw.xrange(key)
        return raw.get(key)

    def events(self) -> list[dict[str, str]]:
        """Return all events."""
        return [
            fields
            for _, fields in cast(Any, self.raw).xrange(
                keys.tag(self.namespace) + "events"
            )
        ]


def need_lease(claim: Claim | None) -> Lease:
    """Return the lease of a claim, which must have one."""
    assert claim is not None
    assert claim.lease is not None
    return claim.lease


def stream_readers(raw: redis.Redis) -> int:
    """Return the number of clients that block on a stream."""
    return sum(
        client["cmd"] == "xread" for client in cast(Any, raw).client_list()
    )


@contextmanager
def opened(
    url: str, namespace: str, *, retries: int = RETRIES
) -> Iterator[Bench]:
    """Open a queue, to prepare and inspect items without processes."""
    connection = connect(url, retries=retries)
    caller = Caller(agent="planner", host="here", pid=1)
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        yield Bench(Queue(connection, namespace, caller), raw, namespace, url)
    connection.close()
