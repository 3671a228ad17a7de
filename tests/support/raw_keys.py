"""The raw keys of a namespace, and the invariants that hold among them."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from redis.crc import key_slot
from support.builders import INDEXES, STATE_INDEXES, Bench
from support.model_moves import HELD, UNBEGUN
from taskorch.domain.item import State
from taskorch.queue import keys
from taskorch.queue.replies import with_defaults


@dataclass(frozen=True)
class RawKeys:
    """The keys without the namespace's tag, and without replies kept for repeats."""

    #: Hashes and sorted sets are dictionaries, the latter in their order.
    values: dict[str, Any]
    #: Keys that `keys.py` does not know, or that are in another slot.
    unknown: tuple[str, ...]
    now_ms: int

    @property
    def items(self) -> dict[str, dict[str, str]]:
        """Return the fields of the items by id, with defaults for absent ones."""
        there = (
            (name, value)
            for name, value in self.values.items()
            if name.startswith("item:")
        )
        return {
            name.removeprefix("item:"): with_defaults(value)
            for name, value in there
        }

    def projects(self) -> dict[str, dict[str, str]]:
        """Return the fields of the projects by id."""
        names = (
            name
            for name in self.values
            if name.startswith("project:") and name.count(":") == 1
        )
        return {
            name.removeprefix("project:"): self.values[name] for name in names
        }

    def wrong(self) -> list[str]:
        """Return the inconsistencies."""
        found = [
            *self._misplaced(),
            *self._miscounted(),
            *self._misnumbered(),
            *self._mislinked(),
            *self._misasked(),
        ]
        return [*found, *(f"{key} is an unknown key" for key in self.unknown)]

    def _misplaced(self) -> Iterator[str]:
        """Return items that are not exactly in the index of their state.

        An item is in `held:<agent>` too if it has a holder.
        """
        homes: dict[str, set[str]] = {id_: set() for id_ in self.items}
        for name, value in self.values.items():
            if name.partition(":")[0] not in INDEXES:
                continue
            for item in value:
                homes.setdefault(item, set()).add(name)
        for id_, found in homes.items():
            state, owner = (
                State(self.items[id_]["state"]),
                _owner(self.items[id_]),
            )
            homes_of_state = set(STATE_INDEXES[state])
            if "live_token" not in self.items[id_]:
                homes_of_state.discard("held")
            expected = {
                f"{home}:{owner}" if home in ("queue", "held") else home
                for home in homes_of_state
            }
            if found != expected:
                yield f"{id_} is {state} and in {found}"

    def _miscounted(self) -> Iterator[str]:
        """Return projects and agents whose counts differ from their items."""
        items = self.items.values()
        there = Counter(
            (kind, owner, item["state"])
            for item in items
            for kind, owner in (
                ("project", item["project"]),
                ("agent", item["agent"]),
                ("pool", "" if item["agent"] else item.get("pool", "")),
            )
        )
        for name, fields in self.values.items():
            kind, _, owner = name.partition(":")
            if kind in ("project", "agent", "pool") and ":" not in owner:
                for state in State:
                    count = int(fields.get(f"n_{state}", 0))
                    if count != there.pop((kind, owner, state), 0):
                        yield f"{name} counts {count} {state}"
        if any(owner for _, owner, _ in there):
            yield f"no owner counts {there}"

    def _misnumbered(self) -> Iterator[str]:
        """Return items with impossible attempts, tokens or deliveries.

        A held item has spent an attempt, and an item that is not begun has one left.
        An item is delivered once until it is requeued or sent back, and tokens in its history never
        descend.
        """
        for id_, item in self.items.items():
            attempts, most = int(item["attempts"]), int(item["max_attempts"])
            least = 1 if item["state"] in HELD or "live_token" in item else 0
            if not least <= attempts <= most - (item["state"] in UNBEGUN):
                yield f"{id_} is {item['state']} at {attempts} of {most} attempts"
            if item.get("live_token", item["token"]) != item["token"]:
                yield f"{id_} lets an old token act"
            if item["state"] == State.IN_PROGRESS and "live_token" not in item:
                yield f"{id_} is held without a token"
            reports = [
                fields for _, fields in self.values.get(f"progress:{id_}", [])
            ]
            if not reports and item["state"] == State.COMPLETED:
                continue  # its only report is in its hash
            deliveries = "".join(
                fields["kind"][0]
                for fields in reports
                if fields["kind"] in ("complete", "requeue", "send_back")
            )
            if "cc" in deliveries:
                yield f"{id_} was delivered twice"
            tokens = [int(fields["token"]) for fields in reports]
            if sorted(tokens) != tokens:
                yield f"the token of {id_} fell: {tokens}"

    def _mislinked(self) -> Iterator[str]:
        """Return dependencies that are in the wrong sets, and items that wait wrongly.

        An open dependency is in the sets of both items, a completed one in `satisfied`.
        """
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
        open_ = listed - done
        expected = {"deps": open_, "dependents": open_, "satisfied": done}
        found = {
            "deps": self._pairs("deps"),
            "dependents": {
                (other, id_) for id_, other in self._pairs("dependents")
            },
            "satisfied": {
                (other, id_) for id_, other in self._pairs("satisfied")
            },
        }
        for name, pairs in expected.items():
            if found[name] != pairs:
                yield f"{name}: {found[name] ^ pairs}"
        must_wait = {id_ for id_, _ in open_}
        for id_, item in self.items.items():
            if item["state"] == State.WAITING and id_ not in must_wait:
                yield f"{id_} waits without an open dependency"
            if (
                item["state"] in (State.QUEUED, State.DELAYED)
                and id_ in must_wait
            ):
                yield f"{id_} is ready with an open dependency"

    def _misasked(self) -> Iterator[str]:
        """Return items whose open questions are not where they should be."""
        expected: dict[str, set[str]] = {}
        for id_, item in self.items.items():
            questions = json.loads(item.get("questions", "[]"))
            numbers = [question["number"] for question in questions]
            if item.get("open_questions", "").split() != numbers:
                yield f"{id_} has the questions {numbers}"
            if item["state"] == State.BLOCKED and not numbers:
                yield f"{id_} is blocked without a question"
            if questions:
                for name in ("questions", f"questions:{item['project']}"):
                    expected.setdefault(name, set()).add(id_)
        found = {
            name: set(value)
            for name, value in self.values.items()
            if name.partition(":")[0] == "questions"
        }
        if found != expected:
            yield f"questions are in {found}, not in {expected}"

    def _pairs(self, kind: str) -> set[tuple[str, str]]:
        """Return each item with each member of its set of that kind."""
        return {
            (id_, member)
            for id_ in self.items
            for member in self.values.get(f"{kind}:{id_}", ())
        }


def _owner(item: dict[str, str]) -> str:
    """Return the agent of an item, or the pool in which it waits."""
    return item["agent"] or keys.of_pool(item.get("pool", ""))


def read(bench: Bench, *, but: frozenset[str] = frozenset()) -> RawKeys:
    """Read all keys of the server except `but`, in two round trips."""
    tag = keys.tag(bench.namespace)
    slot = key_slot(keys.meta(bench.namespace).encode())
    names = all_keys(bench) - but
    kinds = {
        key: keys.known(key.removeprefix(tag))
        for key in sorted(names)
        if not key.startswith(f"{tag}req:")
    }
    unknown = tuple(
        key
        for key in names
        if key_slot(key.encode()) != slot or kinds.get(key, ...) is None
    )
    pipeline: Any = bench.raw.pipeline(transaction=False)
    pipeline.time()
    known = {
        key.removeprefix(tag): kind.type
        for key, kind in kinds.items()
        if kind and key not in unknown
    }
    for name, kind_of_value in known.items():
        _ask(pipeline, tag + name, kind_of_value)
    (seconds, microseconds), *values = pipeline.execute()
    found = {
        name: dict(value) if known[name] == "zset" else value
        for name, value in zip(known, values, strict=True)
    }
    return RawKeys(found, unknown, seconds * 1000 + microseconds // 1000)


def all_keys(bench: Bench) -> frozenset[str]:
    """Return all keys of the server, of every namespace."""
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
