"""What tests say instead of Redis commands: items in a given state, and a clock that can be moved past a lease."""

from dataclasses import dataclass

import redis
from taskorch import keys
from taskorch.agent_queue import AgentQueue
from taskorch.item import Claim, Lease, NewItem, State
from taskorch.queue import Queue


@dataclass(frozen=True)
class Bench:
    """A queue under test, and what stands behind it."""

    queue: Queue
    raw: redis.Redis
    namespace: str
    url: str

    def agent(self, name: str = "ada", *, session: str = "") -> AgentQueue:
        return self.queue.agent(name, session=session)

    def project(self) -> str:
        return self.queue.project("A project")

    def item(self, project: str = "", *, agent: str = "ada", **fields: object) -> str:
        """Create an item, assigned to ada unless said otherwise."""
        fields = {"title": "An item", **fields}
        return self.queue.create(project or self.project(), NewItem(agent=agent, **fields))  # type: ignore[arg-type]

    def claimed(self, item: str = "", *, agent: str = "ada", session: str = "") -> Lease:
        """Create an item if none is named, claim it, and return the lease."""
        return held(self.agent(agent, session=session).get(Lease(item=item or self.item(agent=agent))))

    def state(self, item: str) -> State:
        return self.queue.views.show(item).item.state

    def let_lease_run_out(self, item: str) -> None:
        """Move the end of a lease into the past; nothing acts on it yet."""
        self.raw.zadd(keys.tag(self.namespace) + "leases", {item: 1}, xx=True)

    def let_delay_pass(self, item: str) -> None:
        """Move the time at which a delayed item is due into the past."""
        tag = keys.tag(self.namespace)
        self.raw.zadd(tag + "delayed", {item: 1}, xx=True)
        self.raw.hset(f"{tag}item:{item}", "not_before", 1)

    def events(self) -> list[dict[str, str]]:
        """Return all events so far."""
        return [fields for _, fields in self.raw.xrange(keys.tag(self.namespace) + "events")]


def held(claim: Claim | None) -> Lease:
    """Return the lease of a claim that must have one."""
    assert claim is not None
    assert claim.lease is not None
    return claim.lease
