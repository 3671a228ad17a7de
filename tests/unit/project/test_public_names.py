"""The public names of `taskorch`: which they are, when they load, and their types."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import taskorch
from support.python_blocks import check_types
from taskorch import (
    AsyncAgent,
    AsyncQueue,
    AsyncTask,
    AsyncWorker,
    Queue,
    Task,
    Worker,
    connect,
)
from taskorch.library.async_queue import AsyncViews
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.views import Views

REPOSITORY = Path(__file__).parents[3]
NAMES = {
    *("Queue", "Agent", "Task", "Worker"),
    *("AsyncQueue", "AsyncAgent", "AsyncTask", "AsyncWorker"),
    *("RunCheck", "FileCheck", "DeliverableCheck"),
    *("Caller", "ModelUsage", "NewItem", "State", "Goal"),
    *("connect", "errors"),
    "__version__",
}
#: Methods of `Queue` that are no coroutines of `AsyncQueue`: parts of it, what only
#: commands use, and waits, which are `AsyncQueue.until`.
NOT_ASYNC = {
    *(
        "agent_queue",
        "over",
        "under_token",
        "waits",
        "access_tokens",
        "audit_log",
        "signals",
        "notifications",
        "schedules",
    ),
    *("connection", "caller", "namespace", "pools"),
    *("audit", "audit_index", "recount", "quarantine", "quarantined"),
    *("mirror_take", "mirror_give"),
    *("archive_take", "archive_done", "forget_agents", "report_upgrade"),
}
#: The same of `Views`.
VIEWS_NOT_ASYNC = {
    *(
        "agents_and_pools",
        "candidates",
        "environment",
        "mirrors",
        "new_records",
        "purged",
        "record_pages",
        "records",
        "wait_for_event",
    ),
}
#: The verbs of a holder that are no verbs of a task: those of several items, and those
#: that need no lease.
NOT_OF_A_TASK = {
    *(
        "namespace",
        "over",
        "connection",
        "find",
        "candidates",
        "check",
        "prime",
    ),
    *("discoveries", "new_discoveries", "claim", "claim_many", "add_usage"),
    *("reviews", "accept", "send_back"),
    *(
        "complete_many",
        "get",
        "pass_wake_on",
        "stray",
        "report_upgrade",
    ),
}


def methods(of: type) -> set[str]:
    return {name for name in dir(of) if not name.startswith("_")}


def test_public_names_are_these() -> None:
    assert set(taskorch.__all__) == NAMES
    assert {name for name in NAMES if not hasattr(taskorch, name)} == set()
    assert (REPOSITORY / "shared/taskorch/py.typed").exists()


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no name 'Quue'"):
        taskorch.Quue  # type: ignore[attr-defined]  # noqa: B018


def test_connect_is_the_function_in_any_order() -> None:
    import taskorch.connections

    assert callable(connect)
    assert inspect.isfunction(taskorch.connect)


def test_package_loads_nothing_before_use() -> None:
    code = (
        "import sys, json; import taskorch; "
        "print(json.dumps([m for m in sys.modules if m.startswith('taskorch')]))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
    )

    assert json.loads(printed.stdout) == ["taskorch.version", "taskorch"]


def test_queue_loads_neither_asyncio_nor_commands() -> None:
    code = (
        "import sys, json; from taskorch import Queue, Worker; "
        "print(json.dumps(sorted(sys.modules)))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
    )

    loaded = set(json.loads(printed.stdout))
    assert not loaded & {"asyncio", "click", "pydantic", "redis", "mcp"}


def test_async_classes_have_the_same_verbs() -> None:
    assert methods(Queue) - methods(AsyncQueue) == NOT_ASYNC
    assert methods(Views) - methods(AsyncViews) == VIEWS_NOT_ASYNC
    assert methods(taskorch.Agent) - methods(AsyncAgent) == {
        *("claim_call", "get_call", "task", "give_back"),
    }
    assert methods(Task) - methods(AsyncTask) == {
        *("held", "take_away", "question"),
        *("deliver", "complete_and_claim"),
    }
    assert methods(Worker) == methods(AsyncWorker) == {"run", "stop"}


def test_task_has_the_verbs_of_a_holder() -> None:
    assert methods(AgentQueue) - methods(Task) == NOT_OF_A_TASK


def test_forwarded_verbs_keep_their_documentation() -> None:
    for of in (Task, AsyncQueue, AsyncViews, AsyncAgent, AsyncTask):
        undocumented = [
            name
            for name in methods(of)
            if inspect.isfunction(getattr(of, name))
            and not getattr(of, name).__doc__
        ]
        assert undocumented == []


WRONG = """
from taskorch import AsyncQueue, NewItem, Queue, Task, Worker, unknown


def wrong(queue: Queue, task: Task) -> None:
    queue.create(5, "A title")
    NewItem(title="A", requirements="text")
    task.progress("x", percent="50")
    task.completed("x")
    Worker("ada", lambda task: 5)
    with queue.agent("ada").claim(wait_s=5) as maybe:
        maybe.complete("Done")


async def too(queue: AsyncQueue) -> None:
    project: int = await queue.project("A")
    await queue.create(project="A")
    queue.agent("ada").claim(wait="5")
"""


def test_types_reach_a_strict_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(WRONG)

    checked = check_types(program)

    wrong = {
        int(line.split(":")[1])
        for line in checked.stdout.splitlines()
        if ": error:" in line
    }
    expected = {
        number
        for number, line in enumerate(WRONG.splitlines(), 1)
        if any(
            word in line
            for word in (
                *("unknown", "create(", "NewItem(", "percent", "completed"),
                *("Worker(", "maybe.", "int =", "wait="),
            )
        )
    }
    assert wrong == expected, checked.stdout
