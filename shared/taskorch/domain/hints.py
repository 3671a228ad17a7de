"""What leads out of it: out of the state of an item that a verb does not allow, out of a trouble that Redis has."""

from collections.abc import Mapping

#: By the state of the item, or the status of the project.
STATES: Mapping[str, str] = {
    "pending": "It is not assigned yet: orchestrate assign {item} AGENT",
    "waiting": "It is queued when its last open dependency completes.",
    "queued": "Nobody has claimed it yet.",
    "delayed": "It is queued again when its delay is over.",
    "blocked": "Its holder waits for an answer: orchestrate answer {item} TEXT",
    "in_progress": "Its holder is at work: orchestrate show {item}",
    "completed": "To have it done again: orchestrate requeue {item}",
    "failed": "To have it tried again: orchestrate requeue {item}",
    "cancelled": "To have it done after all: orchestrate requeue {item}",
    "active": "Complete it first: orchestrate complete {item}",
}

#: The same, where it is another one for the verbs of agents.
STATES_FOR_AGENTS: Mapping[str, str] = {
    "queued": "Claim it first: worker get {item}",
    "blocked": "Nobody holds it: it waits for an answer, which puts it back into your queue.",
    "completed": "Take other work: worker pop",
    "failed": "Take other work: worker pop",
}

#: By the word that Redis gives as the reason. Scripts look at everything before they write, and are refused as a whole.
TROUBLES: Mapping[str, str] = {
    "LOADING": "It reads its data from the disk. Try again in a moment.",
    "OOM": "Its memory is full: raise maxmemory, or free some: orchestrate purge",
    "READONLY": "It is a replica: name the primary, or the sentinels (redis+sentinel://…).",
    "MASTERDOWN": "It is a replica that has lost its primary: name the primary, or try again after the failover.",
    "CLUSTERDOWN": "A part of the cluster is down: try again. CLUSTER NODES shows who is missing.",
    "MOVED": "Another node of the cluster has the keys of this namespace now. Try again.",
    "TRYAGAIN": "The cluster moves the keys of this namespace to another node. Try again when it has.",
    "MISCONF": "It cannot write to its disk: make room there, and see its log.",
    "NOREPLICAS": "Too few replicas keep up (min-replicas-to-write). Bring them back, and try again.",
    "BUSY": "A script of somebody keeps it busy. Try again; SCRIPT KILL ends one that does not end.",
    "MAXCLIENTS": "It has as many connections as it takes: try again, or raise maxclients.",
    "UNBLOCKED": "It became a replica. Try again.",
}

#: By what forbids a connection.
FORBIDDEN: Mapping[str, str] = {
    "mode": "The owner of the socket must let this user in: unixsocketperm, or the group of the socket.",
    "sandbox": (
        "A sandbox or a firewall forbids it: run the command outside, or allow the connection. For Codex: "
        "network_access = true below [sandbox_workspace_write] in ~/.codex/config.toml."
    ),
}
#: Where the socket of the bundled server, or its folder, is not this user's own.
BUNDLED_SOCKET = "Act as its owner, or choose another root with TASKORCH_ROOT. Delete it if it came with a checkout."
#: Where a unix:// address leads to a server that any user may have started.
FOREIGN_SOCKET = (
    "A server of another user must have its socket in a folder that not every user can write to, "
    "such as /run/redis."
)

_RIGHTS = (
    "The rights that a user of Redis needs: orchestrate docs usage#a-redis-of-your-own"
)
#: By words that Redis, or a client of it, refuses with.
REFUSALS: Mapping[str, str] = {
    "DB index": "Name a database that is there.",
    "sentinel_password": "Put sentinel_username=…&sentinel_password=… behind a '?' into the URL.",
    "protected mode": "Set a password on that Redis (requirepass), or connect from the machine that it runs on.",
    "permission": _RIGHTS,
    "may not": _RIGHTS,
    "user executing the script": _RIGHTS,
}
#: Where it refuses for any other reason.
CREDENTIALS = (
    "Put the user into the URL (redis://user@host:6379/0), and the password into TASKORCH_REDIS_PASSWORD or into "
    "the file that TASKORCH_REDIS_PASSWORD_FILE names. In a URL, a password stands after a colon: redis://:PASSWORD@host"
)
