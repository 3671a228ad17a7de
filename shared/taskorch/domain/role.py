"""The roles of those who call the queue."""

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do; `taskorch.queue.roles` has the scripts of each."""

    WORKER = "worker"
    ORCHESTRATOR = "orchestrator"
    VIEWER = "viewer"
    ADMIN = "admin"
