"""The users of Redis for the roles: their names and their rules for ACL SETUSER.

A rule grants the commands that scripts run, on the kinds of keys that the role needs.
Three kinds of keys that never exist tell a script who its user is: a user may read
`as:<name>`, `from:<pool>` and `role:<role>`, and `prelude/call.lua` asks Redis whether it
may.
"""

import re
from collections.abc import Sequence

from taskorch.domain.role import Role
from taskorch.queue import keys

#: The commands of scripts that change nothing.
READING = (
    "exists", "hget", "hgetall", "hmget", "hscan", "llen", "lrange", "mget", "scard", "sismember", "smembers", "sscan",
    "time", "xrange", "xrevrange", "zcard", "zmscore", "zrange", "zrank", "zrevrange", "zrevrank", "zscan", "zscore",
)  # fmt: skip
WRITING = (
    "del", "hdel", "hincrby", "hset", "ltrim", "pexpire", "rpush", "rpushx", "sadd", "set", "spop", "srem", "xadd",
    "zadd", "zrem",
)  # fmt: skip
#: The commands of a connection, and the one that calls a function. XREAD waits for an
#: entry of a stream.
_CALLING = (
    "ping",
    "select",
    "wait",
    "command",
    "cluster|slots",
    "fcall",
    "xread",
)
#: What an administrator needs beyond that: the library is installed and removed, the
#: doctor looks at the server, and scripts serve where functions are not possible.
_ADMINISTERING = (
    "blpop", "hexists", "eval", "evalsha", "function|load", "function|list", "function|delete", "info",
)  # fmt: skip
#: Kinds of keys that only scripts of an administrator write.
_OF_ADMINISTRATORS = frozenset((
    "access_tokens", "access_token:<id>", "access_token:<id>:agents", "audit_log", "damaged:<number>", "mirrors",
    "mirror:<root>", "notes:<agent>:<id>", "notify:<target>", "notified:<target>",
))  # fmt: skip
#: Of these, the ones that an orchestrator and a viewer read.
_READ_BY_ALL = frozenset(("mirrors", "mirror:<root>"))
#: Kinds of keys that only scripts of an orchestrator, or an administrator, write. A viewer
#: reads them, and a worker does not.
_OF_ORCHESTRATORS = frozenset(("schedules", "schedule:<name>"))
#: Separates the parts of a user's name; it can be in no name of ours.
BETWEEN = "+"
#: What RQ needs beside its keys: no more than a program that holds no configuration.
_RQ_COMMANDS = ("+@all", "-@admin", "-@dangerous", "+info", "+function|delete")  # fmt: skip


def name_of(role: str, namespace: str, agent: str = "") -> str:
    """Return the name of the Redis user of a role, and of an agent if it is for one."""
    parts = ("taskorch", namespace, role, agent)
    return BETWEEN.join(part for part in parts if part)


def rule(
    role: Role, namespace: str, agent: str = "", pools: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the words of ACL SETUSER behind `on` and the password.

    A worker is for one agent, and takes items from its `pools`; an orchestrator or a
    viewer without a name may use any.
    """
    tag = keys.tag(namespace)
    if role is Role.ADMIN:
        granted = _grants(_CALLING, READING, WRITING, _ADMINISTERING)
        return (f"~{tag}*", *granted)
    marks = (f"%R~{tag}role:{role}", f"%R~{tag}as:{agent or '*'}")
    if role is Role.VIEWER:
        return (
            f"~{tag}meta",
            *(f"%R~{tag}{pattern}" for pattern in _patterns(readable=True)),
            *marks,
            *_grants(_CALLING, READING),
        )
    owned = [f"~{tag}{pattern}" for pattern in _patterns()]
    if role is Role.ORCHESTRATOR:
        owned += [
            f"~{tag}{_pattern(name)}" for name in sorted(_OF_ORCHESTRATORS)
        ]
        read = [f"%R~{tag}{_pattern(name)}" for name in sorted(_READ_BY_ALL)]
        return (*owned, *read, *marks, *_grants(_CALLING, READING, WRITING))
    waited_for = [f"~{tag}wake:{owner}" for owner in keys.owners(agent, pools)]
    return (
        *owned,
        f"~{tag}notes:{agent}:*",
        *marks,
        *(f"%R~{tag}from:{pool}" for pool in pools),
        *_grants(_CALLING, READING, WRITING),
        f"({' '.join(waited_for)} +blpop)",
    )


def service_rule(namespace: str) -> tuple[str, ...]:
    """Return the words for the service: the whole namespace, and the keys of RQ."""
    owned = (f"~{keys.tag(namespace)}*", f"~{keys.of_rq(namespace)}:*")
    return (*owned, "&rq:pubsub:*", *_RQ_COMMANDS)


def _patterns(*, readable: bool = False) -> list[str]:
    """Return the patterns of the keys that every role has.

    With `readable`, also of those that a viewer may read.
    """
    excluded = _OF_ADMINISTRATORS | _OF_ORCHESTRATORS
    if readable:
        excluded -= _READ_BY_ALL | _OF_ORCHESTRATORS
    names = [key.name for key in keys.KEYS if key.name not in excluded]
    return sorted(_pattern(name) for name in (*names, keys.FENCE))


def _pattern(name: str) -> str:
    return re.sub("<[a-z]+>", "*", name)


def _grants(*commands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"+{command}" for part in commands for command in part)
