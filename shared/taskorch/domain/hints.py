"""The next step after an error, by the state of the item or the reason of Redis."""

from collections.abc import Mapping

#: By the state of the item, or the status of the project.
STATES: Mapping[str, str] = {
    "pending": "Assign it first: orchestrate assign {item} AGENT",
    "waiting": "It is queued when its last open dependency completes.",
    "queued": "No agent has claimed it yet.",
    "delayed": "It is queued again when its delay ends.",
    "blocked": "Answer its question: orchestrate answer {item} TEXT",
    "review": (
        "Decide about it: orchestrate accept {item}, or orchestrate send-back {item} TEXT"
    ),
    "in_progress": "An agent is working on it: orchestrate show {item}",
    "completed": "To have it done again: orchestrate requeue {item}",
    "failed": "To retry it: orchestrate requeue {item}",
    "cancelled": "To have it done after all: orchestrate requeue {item}",
    "active": "Complete the project first: orchestrate complete {item}",
    "closing": "Its open items are being cancelled. Try again in a moment.",
}

#: The same for the verbs of agents, if it differs.
STATES_FOR_AGENTS: Mapping[str, str] = {
    "queued": "Claim it first: worker get {item}",
    "blocked": "No agent holds it. An answer returns it to your queue.",
    "review": "It waits for its reviewer. Take other work: worker pop",
    "completed": "Take other work: worker pop",
    "failed": "Take other work: worker pop",
}

#: For a delivery that waits for its reviewer.
IN_REVIEW = (
    "To see what was delivered: worker get {item} --peek. To have it done again, its "
    "reviewer sends it back: orchestrate send-back {item} TEXT"
)

#: For an item or a project that is in the archive of the root.
ARCHIVED = (
    "To read it, import that file into an empty namespace: "
    "orchestrate --namespace NAME import {archive}"
)

#: What a command that requeues an item of a completed project needs.
REOPEN = " --reopen"

#: By the verb that needs an open question.
NO_QUESTION: Mapping[str, str] = {
    "answer": "List the open questions: orchestrate inbox",
    "withdraw": "Its questions and their answers: worker get {item} --peek",
    "wait": "Its questions and their answers: worker get {item} --peek",
}
#: By the verb that needs the number of a question.
SEVERAL_QUESTIONS: Mapping[str, str] = {
    "answer": "Say which one: orchestrate answer {item} --question N TEXT",
    "withdraw": "Say which one: worker blocker {item} --withdraw N",
}

#: By the first word of the reply with which Redis refuses a script.
STALLS: Mapping[str, str] = {
    "LOADING": "It is loading its data from disk. Try again in a moment.",
    "OOM": "Its memory is full. Raise maxmemory, or free some: orchestrate purge",
    "READONLY": (
        "It is a replica. Use the address of the primary, or of the sentinels "
        "(redis+sentinel://…)."
    ),
    "MASTERDOWN": (
        "It is a replica that has lost its primary. Use the address of the primary, or "
        "try again after the failover."
    ),
    "CLUSTERDOWN": (
        "Part of the cluster is down. Try again. CLUSTER NODES shows which node is "
        "missing."
    ),
    "MOVED": (
        "Another node of the cluster has the keys of this namespace now. Try again."
    ),
    "TRYAGAIN": (
        "The cluster is moving the keys of this namespace to another node. Try again "
        "when it has finished."
    ),
    "MISCONF": "It cannot write to its disk. Free disk space there, and see its log.",
    "NOREPLICAS": (
        "Too few replicas are up to date (min-replicas-to-write). Bring them back, then "
        "try again."
    ),
    "BUSY": "A script keeps it busy. Try again. SCRIPT KILL ends a script that hangs.",
    "MAXCLIENTS": (
        "It has reached its limit of connections. Try again, or raise maxclients."
    ),
    "UNBLOCKED": "It became a replica. Try again.",
}

#: By what forbids a connection.
FORBIDDEN: Mapping[str, str] = {
    "mode": (
        "Ask the owner of the socket to give this user access, with unixsocketperm or "
        "the group of the socket."
    ),
    "sandbox": (
        "A sandbox or a firewall blocks it. Run the command outside, allow the "
        "connection, or use the MCP tools of task-orchestrator, which run outside. To "
        "allow it in Codex: sandbox_workspace_write.network_access = true in "
        "~/.codex/config.toml."
    ),
}
#: For the bundled server, if another user owns its socket or the folder.
BUNDLED_SOCKET = (
    "Run the command as its owner, or choose another root with TASKORCH_ROOT. If it "
    "came with a checkout, delete it."
)
#: For a unix:// address of a server that any user could have started.
FOREIGN_SOCKET = (
    "A server of another user must have its socket in a folder that only some users "
    "can write to, such as /run/redis."
)

_RIGHTS = "The rights that a Redis user needs: orchestrate docs operations#details-of-a-redis-of-your-own"
#: By words in the reply with which Redis, or its client, refuses a connection.
REFUSALS: Mapping[str, str] = {
    "DB index": "Use the number of an existing database.",
    "sentinel_password": (
        "Add sentinel_username=…&sentinel_password=… to the URL, after a '?'."
    ),
    "protected mode": (
        "Set a password on that Redis (requirepass), or connect from the machine that "
        "it runs on."
    ),
    "a gateway passes": (
        "Run this command where Redis itself can be reached, without TASKORCH_URL."
    ),
    "not installed": (
        "As a user who may run FUNCTION LOAD: orchestrate doctor. The service of this "
        "version does it too."
    ),
    "permission": _RIGHTS,
    "may not": _RIGHTS,
    "user executing the script": _RIGHTS,
}
#: For any other refusal.
CREDENTIALS = (
    "Put the user into the URL (redis://user@host:6379/0). Put the password into "
    "TASKORCH_REDIS_PASSWORD, or into the file that TASKORCH_REDIS_PASSWORD_FILE names. "
    "A password in a URL follows a colon: redis://:PASSWORD@host"
)


def state_in_words(state: str) -> str:
    """Return a state for a sentence, such as "item_1a2b3c4d is in review"."""
    return "in review" if state == "review" else state


def with_reopen(hint: str, *, reopens: bool) -> str:
    """Return a hint that ends with a requeue, if it has one, for its project's status."""
    is_needed = reopens and "orchestrate requeue" in hint
    return hint + REOPEN if is_needed else hint


def closing(project: str, left: int) -> str:
    """Return who finishes the closing of a project that has `left` open items."""
    items = "1 item is" if left == 1 else f"{left} items are"
    return (
        f"{project} is being closed, and {items} left to cancel. The service and the "
        "next claims of workers do that. To do it now: orchestrate reap"
    )
