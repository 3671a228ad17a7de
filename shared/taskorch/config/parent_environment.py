"""Our variables, from the process that started this one without passing them on.

Codex clears the environment of an MCP server. It passes on what its configuration names,
but `codex doctor` reports each name that is not set as a problem.
"""

import os
from collections.abc import Mapping, MutableMapping

#: The variables that may hold a secret, or the path of one.
SECRETS = (
    "TASKORCH_REDIS_PASSWORD", "TASKORCH_REDIS_PASSWORD_FILE", "TASKORCH_TOKEN", "TASKORCH_TOKEN_FILE",
)  # fmt: skip
#: Every variable that an MCP server reads, besides those of the system.
VARIABLES = (
    "AGENT_ID", "TM_AGENT_ID", "AGENT_POOLS", "AGENT_SESSION", "ORCHESTRATOR_ID", "TASKORCH_ROOT", "TASKORCH_NAMESPACE",
    "TASKORCH_URL", "TASKORCH_REDIS_URL", "REDIS_URL", *SECRETS, "TASKORCH_WAIT_REPLICAS", "TASKORCH_WAIT_TIMEOUT",
    "TASKORCH_SERVICE", "TASKORCH_RETENTION", "TASKORCH_RQ_URL", "TASKORCH_ITEM_ID", "TASKORCH_LEASE",
    "TASKORCH_RESULT_FILE", "TASKORCH_WORKTREE", "TASKORCH_BRANCH", "TASKORCH_CHECKS", "XDG_CONFIG_HOME",
)  # fmt: skip
#: The folder with a folder for each process, on Linux.
PROCESSES = "/proc"


def is_available() -> bool:
    """Return whether a process can read the variables of its parent on this system."""
    return os.path.exists(f"{PROCESSES}/self/environ")


def adopt(environment: MutableMapping[str, str]) -> None:
    """Add our variables that the parent process has and `environment` lacks.

    Raises OSError if the parent hides its variables, as one of another user does.
    """
    with open(f"{PROCESSES}/{os.getppid()}/environ", "rb") as file:
        variables = _parse(file.read())
    for name in VARIABLES:
        if name in variables:
            environment.setdefault(name, variables[name])


def _parse(block: bytes) -> Mapping[str, str]:
    """Return the variables of a process: NAME=VALUE, and a zero byte after each."""
    pairs = (entry.partition(b"=") for entry in block.split(b"\0") if entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
