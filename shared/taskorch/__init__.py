"""Task Orchestrator: a Redis-backed distributed task queue whose workers are AI agents.

    from taskorch import NewItem, Queue

These are the public names. Each is loaded when it is first used, so that a short command,
which imports this package, too, loads nothing more.
"""

from typing import TYPE_CHECKING

from taskorch.version import __version__

if TYPE_CHECKING:
    from taskorch.connections import connect
    from taskorch.domain import errors
    from taskorch.domain.acceptance import (
        DeliverableCheck,
        FileCheck,
        RunCheck,
    )
    from taskorch.domain.item import Caller, NewItem, State
    from taskorch.domain.usage import ModelUsage
    from taskorch.library.agent import Agent
    from taskorch.library.async_queue import AsyncAgent, AsyncQueue, AsyncTask
    from taskorch.library.async_worker import AsyncWorker
    from taskorch.library.queue import Queue
    from taskorch.library.task import Task
    from taskorch.library.worker import Worker
    from taskorch.queue.wait_results import Goal
else:
    #: Public name -> its module.
    _MODULES = {
        "Agent": "taskorch.library.agent",
        "AsyncAgent": "taskorch.library.async_queue",
        "AsyncQueue": "taskorch.library.async_queue",
        "AsyncTask": "taskorch.library.async_queue",
        "AsyncWorker": "taskorch.library.async_worker",
        "Caller": "taskorch.domain.item",
        "DeliverableCheck": "taskorch.domain.acceptance",
        "FileCheck": "taskorch.domain.acceptance",
        "Goal": "taskorch.queue.wait_results",
        "ModelUsage": "taskorch.domain.usage",
        "NewItem": "taskorch.domain.item",
        "Queue": "taskorch.library.queue",
        "RunCheck": "taskorch.domain.acceptance",
        "State": "taskorch.domain.item",
        "Task": "taskorch.library.task",
        "Worker": "taskorch.library.worker",
        "connect": "taskorch.connections",
        "errors": "taskorch.domain.errors",
    }

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"taskorch has no name {name!r}.")
        from importlib import import_module

        module = import_module(_MODULES[name])
        # `errors` is a module itself
        return getattr(module, name, module)


__all__ = [
    "Agent",
    "AsyncAgent",
    "AsyncQueue",
    "AsyncTask",
    "AsyncWorker",
    "Caller",
    "DeliverableCheck",
    "FileCheck",
    "Goal",
    "ModelUsage",
    "NewItem",
    "Queue",
    "RunCheck",
    "State",
    "Task",
    "Worker",
    "__version__",
    "connect",
    "errors",
]
