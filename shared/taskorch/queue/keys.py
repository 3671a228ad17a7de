"""Every key of a namespace, with its type and content.

Scripts get the first key, and `scripts/prelude/` derives the other names from it.
"""

import re
from collections.abc import Iterable

from taskorch.domain.frozen import Frozen


class Key(Frozen):
    """A kind of key: its name after the tag of the namespace, its type and content."""

    name: str
    type: str
    holds: str
    #: False for keys that expire.
    permanent: bool = True


KEYS = (
    Key(
        name="meta",
        type="hash",
        holds=(
            "schema version, created_at, sequence counter, numbers of purges and quarantined records, newest hour, "
            "which kinds of owners have budgets"
        ),
    ),
    Key(
        name="counters",
        type="hash",
        holds="numbers that only increase: of events by verb, and of times by bucket",
    ),
    Key(
        name="hours",
        type="hash",
        holds="hour since the epoch -> some counters when it began, as JSON; the last 8 days",
    ),
    Key(
        name="usage",
        type="hash",
        holds="tokens and microdollars of the namespace: in total, by model, and by day for 90 days",
    ),
    Key(
        name="budgets",
        type="hash",
        holds="owner and period of a budget -> its microdollars and tokens",
    ),
    Key(
        name="budget_waiters",
        type="zset",
        holds="agent that waits because a budget is used up -> ms since when",
    ),
    Key(name="projects", type="zset", holds="project id -> created_ms"),
    Key(
        name="purged",
        type="zset",
        holds="id of a purged project -> ms when it was purged, capped",
    ),
    Key(
        name="project:<id>",
        type="hash",
        holds="title, description, status, orchestrator, a count per item state",
    ),
    Key(name="project:<id>:items", type="zset", holds="item id -> sequence"),
    Key(
        name="project:<id>:keys",
        type="hash",
        holds="idempotency key -> item id",
    ),
    Key(
        name="project:<id>:usage",
        type="hash",
        holds="the same as usage for the items of a project, and by agent",
    ),
    Key(
        name="archive:<project>",
        type="hash",
        holds="the root that archives a project, its run, ms until when, and the file once it is complete",
    ),
    Key(name="plans", type="hash", holds="plan key -> project id"),
    Key(
        name="item:<id>",
        type="hash",
        holds="every field of the item, its state, holder, token, attempts",
    ),
    Key(
        name="queue:<agent>",
        type="zset",
        holds="item id -> priority, then sequence",
    ),
    Key(
        name="wake:<agent>",
        type="list",
        holds="at most two wake tokens, on which a waiting pop blocks",
    ),
    Key(
        name="pools",
        type="zset",
        holds="pool -> ms when it was first named",
    ),
    Key(
        name="pool:<name>",
        type="hash",
        holds="a count per item state of the items without an agent in the pool",
    ),
    Key(
        name="queue:pool:<name>",
        type="zset",
        holds="the queue of a pool, as that of an agent",
    ),
    Key(
        name="wake:pool:<name>",
        type="list",
        holds="the wake tokens of a pool, as those of an agent",
    ),
    Key(
        name="members:<pool>",
        type="zset",
        holds="agent that takes items from the pool -> ms since when",
    ),
    Key(
        name="held:<agent>",
        type="zset",
        holds="item id -> ms since when it is in progress or blocked",
    ),
    Key(name="unassigned", type="zset", holds="pending item id -> sequence"),
    Key(name="waiting", type="zset", holds="waiting item id -> ms since when"),
    Key(
        name="leases",
        type="zset",
        holds="item id -> ms when the lease expires",
    ),
    Key(
        name="blocked",
        type="zset",
        holds="item id -> ms since when it is blocked",
    ),
    Key(
        name="reviews",
        type="zset",
        holds="item id -> ms since when it waits for its reviewer",
    ),
    Key(name="delayed", type="zset", holds="item id -> ms when it is due"),
    Key(name="dead", type="zset", holds="failed item id -> ms since when"),
    Key(
        name="questions",
        type="zset",
        holds="id of an item with open questions -> ms of the oldest",
    ),
    Key(
        name="questions:<project>",
        type="zset",
        holds="the same for the items of a project",
    ),
    Key(name="deps:<id>", type="set", holds="open dependencies of the item"),
    Key(
        name="dependents:<id>",
        type="set",
        holds="items that wait for the item",
    ),
    Key(
        name="satisfied:<id>",
        type="set",
        holds="items that depend on the item, if it is completed",
    ),
    Key(
        name="unfinished",
        type="zset",
        holds="step that a call left for later ones (close a project, release an item) -> ms since when; inf: stopped",
    ),
    Key(
        name="progress:<id>", type="stream", holds="the item's reports, capped"
    ),
    Key(
        name="discoveries:<project>",
        type="stream",
        holds="findings, with item, agent, impact, capped",
    ),
    Key(
        name="readers:<project>",
        type="hash",
        holds="role:name of a reader -> cursor of the last discovery that it has read",
    ),
    Key(
        name="found:<id>",
        type="list",
        holds="cursors of the item's discoveries, capped",
    ),
    Key(
        name="notes:<agent>:<id>", type="stream", holds="private notes, capped"
    ),
    Key(
        name="noted:<id>",
        type="set",
        holds="agents that have notes on the item",
    ),
    Key(
        name="agents",
        type="zset",
        holds="agent -> ms when last seen (0: never)",
    ),
    Key(
        name="agent:<name>",
        type="hash",
        holds="host, pid, session, version, pools, when it was first named, a count per item state",
    ),
    Key(
        name="agent:<name>:usage",
        type="hash",
        holds="the same as usage for what an agent has reported",
    ),
    Key(
        name="events",
        type="stream",
        holds="one per transition: ids and names only, capped",
    ),
    Key(
        name="mirrors",
        type="zset",
        holds="root -> ms of the last pass over its files",
    ),
    Key(
        name="mirror:<root>",
        type="hash",
        holds="the writer of its files, the end of its lease, the result of the last pass",
    ),
    Key(
        name="damaged:<number>",
        type="hash",
        holds="a record in quarantine: its fields, kind, id, time and reason",
    ),
    Key(
        name="access_tokens",
        type="zset",
        holds="access token id -> created_ms",
    ),
    Key(
        name="access_token:<id>",
        type="hash",
        holds="the SHA-256 of its secret, name, role, project, times, quotas, bytes written today",
    ),
    Key(
        name="access_token:<id>:agents",
        type="set",
        holds="agents that its client has assigned items to",
    ),
    Key(
        name="open_items:<token>",
        type="set",
        holds="items that the client of an access token has created, until they are completed or cancelled",
    ),
    Key(
        name="schedules",
        type="zset",
        holds="name of a schedule -> ms when a service acts on it",
    ),
    Key(
        name="schedule:<name>",
        type="hash",
        holds="its cron line, time zone, plan, values and access token; times and result of its runs",
    ),
    Key(
        name="audit_log",
        type="stream",
        holds="a line for each step of a client of a gateway: ids and names only, capped",
    ),
    Key(
        name="notify:<target>",
        type="hash",
        holds="cursor of a target of notifications, the message that is being sent, numbers of messages",
    ),
    Key(
        name="notified:<target>",
        type="zset",
        holds="subject that the target got a notification about -> ms when, capped",
    ),
    Key(
        name="signals",
        type="stream",
        holds="what gateways tell their waiting clients beside the events, capped",
    ),
    Key(
        name="req:<id>",
        type="string",
        holds="the first reply of a request, for 10 minutes",
        permanent=False,
    ),
)

#: Begins the name of a pool where that of an agent could be. No agent has a colon in its
#: name.
POOL = "pool:"

#: Keys that never exist: every call reads them, for the sake of a moving Cluster.
FENCE = "fence:<number>"


def tag(namespace: str) -> str:
    """Return the prefix of every key; its braces select one slot of a cluster."""
    return f"taskorch:{{{namespace}}}:"


def of_rq(namespace: str) -> str:
    """Return the prefix of the keys of RQ, apart from those that agents need."""
    return f"taskorch-rq:{{{namespace}}}"


def meta(namespace: str) -> str:
    """Return the key that every script gets, and derives the others from."""
    return tag(namespace) + "meta"


def wake(namespace: str, owner: str) -> str:
    """Return the list on which a `pop` waits for an item of an agent or of a pool."""
    return f"{tag(namespace)}wake:{owner}"


def of_pool(pool: str) -> str:
    """Return a pool as the owner of a queue."""
    return f"{POOL}{pool}"


def owners(agent: str, pools: Iterable[str]) -> tuple[str, ...]:
    """Return the owners of the queues that an agent takes items from, in their order."""
    return (agent, *map(of_pool, pools))


def events(namespace: str) -> str:
    """Return the stream of events, on which waits block."""
    return tag(namespace) + "events"


def audit_log(namespace: str) -> str:
    """Return the stream of lines about the clients of gateways."""
    return tag(namespace) + "audit_log"


def signals(namespace: str) -> str:
    """Return the stream of what gateways tell their waiting clients."""
    return tag(namespace) + "signals"


def reports(namespace: str, item: str) -> str:
    """Return the stream of an item's reports, on which waits for the item block."""
    return f"{tag(namespace)}progress:{item}"


def known(name: str) -> Key | None:
    """Return the kind of a key by its name after the tag, or None."""
    for key in KEYS:
        pattern = re.sub("<[a-z]+>", "[^:]+", key.name)
        if re.fullmatch(pattern, name):
            return key
    return None
