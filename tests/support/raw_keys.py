"""The raw keys of a namespace, read in one go, and what must hold among them whatever happened before."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot
from support.builders import HOMES, Bench
from support.model_moves import HELD, UNBEGUN
from taskorch.domain.item import State
from taskorch.queue import keys
from taskorch.queue.replies import LEFT_OUT

INDEXES = {home for homes in HOMES.values() for home in homes}


@dataclass(frozen=True)
class RawKeys:
    """What Redis holds, by what stands after the namespace's tag; the replies kept for repeats aside."""

    #: Hashes and sorted sets as dictionaries, the latter in their order.
    values: dict[str, Any]
    #: Keys that are not among those of `keys.py`, or not in the slot of the namespace.
    strange: tuple[str, ...]
    now_ms: int

    @property
    def items(self) -> dict[str, dict[str, str]]:
        """Return the fields of the items, by id, with what goes without saying."""
        there = (
            (name, value)
            for name, value in self.values.items()
            if name.startswith("item:")
        )
        return {name.removeprefix("item:"): LEFT_OUT | value for name, value in there}

    def projects(self) -> dict[str, dict[str, str]]:
        """Return the fields of the projects, by id."""
        names = (
            name
            for name in self.values
            if name.startswith("project:") and name.count(":") == 1
        )
        return {name.removeprefix("project:"): self.values[name] for name in names}

    def wrong(self) -> list[str]:
        """Return what does not fit together."""
        found = [
            *self._misplaced(),
            *self._miscounted(),
            *self._misnumbered(),
            *self._miswired(),
        ]
        return [*found, *(f"{key} is a strange key" for key in self.strange)]

    def _misplaced(self) -> Iterator[str]:
        """An item is in the index of its state and in no other: leased iff in_progress, held iff somebody holds it."""
        homes: dict[str, set[str]] = {id_: set() for id_ in self.items}
        for name, value in self.values.items():
            for item in value if name.partition(":")[0] in INDEXES else ():
                homes.setdefault(item, set()).add(name)
        for id_, found in homes.items():
            state, agent = State(self.items[id_]["state"]), self.items[id_]["agent"]
            homes_of_state = (
                HOMES[state]
                if "live_token" in self.items[id_]
                else HOMES[state] - {"held"}
            )
            meant = {
                f"{home}:{agent}" if home in ("queue", "held") else home
                for home in homes_of_state
            }
            if found != meant:
                yield f"{id_} is {state} and in {found}"

    def _miscounted(self) -> Iterator[str]:
        """Projects and agents count their items by state."""
        items = self.items.values()
        there = Counter(
            (kind, item[kind], item["state"])
            for item in items
            for kind in ("project", "agent")
        )
        for name, fields in self.values.items():
            kind, _, owner = name.partition(":")
            if kind in ("project", "agent") and ":" not in owner:
                for state in State:
                    count = int(fields.get(f"n_{state}", 0))
                    if count != there.pop((kind, owner, state), 0):
                        yield f"{name} counts {count} {state}"
        if any(owner for _, owner, _ in there):
            yield f"nobody counts {there}"

    def _misnumbered(self) -> Iterator[str]:
        """Attempts never exceed what there is; one is left to whom nobody has begun, one is spent by who holds.

        A delivery counts once until the item is requeued, and no token of a report is lower than one before it.
        """
        for id_, item in self.items.items():
            attempts, most = int(item["attempts"]), int(item["max_attempts"])
            least = 1 if item["state"] in HELD or "live_token" in item else 0
            if not least <= attempts <= most - (item["state"] in UNBEGUN):
                yield f"{id_} is {item['state']} at {attempts} of {most} attempts"
            if item.get("live_token", item["token"]) != item["token"]:
                yield f"{id_} lets an old token act"
            if item["state"] == State.IN_PROGRESS and "live_token" not in item:
                yield f"{id_} is held by no token"
            reports = [fields for _, fields in self.values.get(f"progress:{id_}", [])]
            deliveries = "".join(
                fields["kind"][0]
                for fields in reports
                if fields["kind"] in ("complete", "requeue")
            )
            if "cc" in deliveries:
                yield f"{id_} was delivered twice"
            tokens = [int(fields["token"]) for fields in reports]
            if sorted(tokens) != tokens:
                yield f"the token of {id_} fell: {tokens}"

    def _miswired(self) -> Iterator[str]:
        """A dependency is among the open ones of both sides, or among the satisfied ones; who waits has an open one."""
        listed = {
            (id_, other)
            for id_, item in self.items.items()
            for other in json.loads(item.get("depends_on", "[]"))
        }
        done = {
            (id_, other)
            for id_, other in listed
            if self.items[other]["state"] == State.COMPLETED
        }
        sides = {
            "deps": {
                (id_, other)
                for id_ in self.items
                for other in self.values.get(f"deps:{id_}", ())
            },
            "dependents": {
                (id_, other)
                for other in self.items
                for id_ in self.values.get(f"dependents:{other}", ())
            },
        }
        satisfied = {
            (id_, other)
            for other in self.items
            for id_ in self.values.get(f"satisfied:{other}", ())
        }
        for name, found, meant in (
            *((name, side, listed - done) for name, side in sides.items()),
            ("satisfied", satisfied, done),
        ):
            if found != meant:
                yield f"{name}: {found ^ meant}"
        waiting = {
            id_ for id_, item in self.items.items() if item["state"] == State.WAITING
        }
        open_ = {id_ for id_, _ in listed - done}
        if waiting - open_:
            yield f"some wait for nothing: {waiting - open_}"
        ready = {
            id_
            for id_, item in self.items.items()
            if item["state"] in (State.QUEUED, State.DELAYED)
        }
        if ready & open_:
            yield f"some are ready, and a dependency is open: {ready & open_}"


def read(bench: Bench, *, but: frozenset[str] = frozenset()) -> RawKeys:
    """Read all keys of the server `but` those that were there before, in two round trips."""
    tag = keys.tag(bench.namespace)
    slot = key_slot(keys.meta(bench.namespace).encode())
    names = all_keys(bench) - but
    kinds = {
        key: keys.known(key.removeprefix(tag))
        for key in sorted(names)
        if not key.startswith(f"{tag}req:")
    }
    strange = tuple(
        key
        for key in names
        if key_slot(key.encode()) != slot or kinds.get(key, ...) is None
    )
    pipeline: Any = bench.raw.pipeline(transaction=False)
    pipeline.time()
    known = {
        key.removeprefix(tag): kind.type
        for key, kind in kinds.items()
        if kind and key not in strange
    }
    for name, kind_of_value in known.items():
        _ask(pipeline, tag + name, kind_of_value)
    (seconds, microseconds), *values = pipeline.execute()
    found = {
        name: dict(value) if known[name] == "zset" else value
        for name, value in zip(known, values, strict=True)
    }
    return RawKeys(found, strange, seconds * 1000 + microseconds // 1000)


def all_keys(bench: Bench) -> frozenset[str]:
    """Return all keys of the server, whosesoever."""
    return frozenset(str(key) for key in bench.raw.scan_iter("*", count=5000))


def _ask(pipeline: Any, key: str, kind: str) -> None:
    match kind:
        case "hash":
            pipeline.hgetall(key)
        case "zset":
            pipeline.zrange(key, 0, -1, withscores=True)
        case "set":
            pipeline.smembers(key)
        case "list":
            pipeline.lrange(key, 0, -1)
        case "stream":
            pipeline.xrange(key)
