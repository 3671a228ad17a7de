"""The library in real processes: the queue of a folder, and signals."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from support.builders import Bench
from support.commands import TIME_LIMIT_S, Shell, eventually
from taskorch import State

#: Works on the items of ada, in one of three ways.
WORKERS = {
    "Worker": """
import logging, time
from taskorch import Worker

logging.basicConfig(level=logging.INFO)

def handler(task):
    print(task.id, flush=True)
    for _ in range(1000):
        time.sleep(0.02)
        task.renew()
        if task.item.title == "short" or task.progress("x").comments:
            return "Done"

Worker("ada", handler).run()
print("ended")
""",
    "AsyncWorker": """
import asyncio, logging
from taskorch import AsyncWorker

logging.basicConfig(level=logging.INFO)

async def handler(task):
    print(task.id, flush=True)
    for _ in range(1000):
        await asyncio.sleep(0.02)
        if task.item.title == "short" or (await task.progress("x")).comments:
            return "Done"

asyncio.run(AsyncWorker("ada", handler).run())
print("ended")
""",
}
for kind in ("Worker", "AsyncWorker"):
    WORKERS[f"{kind} that prefetches"] = WORKERS[kind].replace(
        "handler)", "handler, prefetch=3)"
    )
CLAIM = """
import time
from taskorch import Queue

with Queue.open() as queue:
    print("waits", flush=True)
    with queue.agent("ada").claim() as task:
        print(task.id, flush=True)
        time.sleep(100)
"""
ASYNC_CLAIM = """
import asyncio
from taskorch import AsyncQueue

async def main():
    async with AsyncQueue.open() as queue:
        print("waits", flush=True)
        async with queue.agent("ada").claim() as task:
            print(task.id, flush=True)
            await asyncio.sleep(100)

asyncio.run(main())
"""


@contextmanager
def running(shell: Shell, code: str) -> "Iterator[subprocess.Popen[str]]":
    """Run a program until the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            yield program
        finally:
            program.kill()


def line(program: "subprocess.Popen[str]") -> str:
    assert program.stdout is not None
    return program.stdout.readline().strip()


def ended(program: "subprocess.Popen[str]") -> tuple[int, str, str]:
    stdout, stderr = program.communicate(timeout=TIME_LIMIT_S)
    return program.returncode, stdout, stderr


def test_open_uses_the_queue_of_commands(local: Shell) -> None:
    project = local.orchestrate("project", "A project").stdout.strip()
    item = local.orchestrate("create", project, "An item", "--assign", "ada")

    ran = local.python(
        "from taskorch import Queue\n"
        "with Queue.open() as queue:\n"
        "    with queue.agent('ada').claim(wait_s=0) as task:\n"
        "        task.complete('Done', deliverables={'n': 1})\n"
    )

    assert (ran.code, ran.stderr) == (0, "")
    shown = local.orchestrate("show", item.stdout.strip(), "--json").data()
    assert (shown["state"], shown["deliverables"]) == ("completed", {"n": "1"})


def test_queue_of_a_new_folder_is_created(local: Shell) -> None:
    ran = local.python(
        "from taskorch import Queue\n"
        "with Queue.open(agent='planner') as queue:\n"
        "    print(queue.project('A project'))\n"
    )

    (project,) = local.orchestrate("projects", "--json").data()
    assert (ran.stdout.strip(), ran.stderr) == (project["id"], "")
    assert project["orchestrator"] == "planner"


def test_bundled_server_of_a_program_has_a_service(local: Shell) -> None:
    serviced = local.lacking("TASKORCH_SERVICE")

    ran = serviced.python(
        "from taskorch import NewItem, Queue\n"
        "with Queue.open() as queue:\n"
        "    project = queue.project('A project')\n"
        "    print(queue.create(project, NewItem(title='A', agent='bob')))\n"
    )

    handoffs = local.folder / ".task-orchestrator" / "handoffs"
    handoff = handoffs / f"{ran.stdout.strip()}_handoff.json"
    eventually(handoff.exists)


def test_settings_of_the_environment_apply(shell: Shell, bench: Bench) -> None:
    ran = shell.python(
        "from taskorch import Queue\n"
        "with Queue.open() as queue:\n"
        "    print(queue.namespace, queue.caller.agent)\n"
        "with Queue.open(namespace='other') as queue:\n"
        "    print(queue.namespace, queue.caller.pid > 0)\n"
    )

    assert ran.stdout == f"{bench.namespace} orchestrator\nother True\n"


@pytest.mark.parametrize("worker", WORKERS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_first_signal_lets_the_handler_finish(
    shell: Shell, bench: Bench, worker: str, number: int
) -> None:
    first, second = bench.item(title="long"), bench.item(title="long")

    with running(shell, WORKERS[worker]) as program:
        assert line(program) == first
        program.send_signal(number)
        bench.queue.comment(first, "Finish")
        code, stdout, stderr = ended(program)

    assert (code, stdout) == (0, "ended\n"), stderr
    assert bench.state(first) is State.COMPLETED
    assert bench.state(second) is State.QUEUED


@pytest.mark.parametrize("worker", WORKERS)
def test_second_signal_releases_the_item(
    shell: Shell, bench: Bench, worker: str
) -> None:
    id_ = bench.item(title="long")

    with running(shell, WORKERS[worker]) as program:
        assert line(program) == id_
        program.send_signal(signal.SIGTERM)
        assert program.stderr is not None
        assert "Stopping" in program.stderr.readline()
        program.send_signal(signal.SIGTERM)
        code, stdout, stderr = ended(program)

    assert (code, stdout) == (0, "ended\n"), stderr
    item = bench.queue.views.show(id_).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)


@pytest.mark.parametrize("code", [CLAIM, ASYNC_CLAIM], ids=["sync", "async"])
def test_interrupted_block_releases_its_item(
    shell: Shell, bench: Bench, code: str
) -> None:
    id_ = bench.item()

    with running(shell, code) as program:
        assert (line(program), line(program)) == ("waits", id_)
        program.send_signal(signal.SIGINT)
        _, _, stderr = ended(program)

    assert stderr.rstrip().endswith("KeyboardInterrupt")
    item = bench.queue.views.show(id_).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)


@pytest.mark.parametrize("code", [CLAIM, ASYNC_CLAIM], ids=["sync", "async"])
def test_interrupted_wait_ends_the_program(
    shell: Shell, bench: Bench, code: str
) -> None:
    with running(shell, code) as program:
        assert line(program) == "waits"
        eventually(lambda: bench.blocked_clients() > 0)
        program.send_signal(signal.SIGINT)
        _, _, stderr = ended(program)

    assert stderr.rstrip().endswith("KeyboardInterrupt")
    id_ = bench.item()
    assert bench.claimed_next() == id_


def test_forked_process_opens_its_own_sockets(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    bench.item()

    ran = shell.python(
        "import os\n"
        "from taskorch import Queue\n"
        "queue = Queue.open()\n"
        "agent = queue.agent('ada')\n"
        "assert agent.check().count == 2\n"
        "child = os.fork()\n"
        "for _ in range(50):\n"
        "    agent.check()\n"
        "with agent.claim() as task:\n"
        "    task.complete('Done')\n"
        "if child:\n"
        "    assert os.waitpid(child, 0)[1] == 0\n"
        "queue.close()\n"
    )

    assert (ran.code, ran.stderr) == (0, "")
    assert bench.agent().check().count == 0


def test_forked_process_does_not_wait_for_its_parent(shell: Shell) -> None:
    ran = shell.python(
        "import os, signal, socket\n"
        "from contextlib import suppress\n"
        "from threading import Thread\n"
        "from taskorch import Queue, errors\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "port = server.getsockname()[1]\n"
        "queue = Queue.open(f'redis://127.0.0.1:{port}/0')\n"
        "def call():\n"
        "    with suppress(errors.Unavailable):\n"
        "        queue.views.projects()\n"
        "Thread(target=call, daemon=True).start()\n"
        "silent, _ = server.accept()\n"
        "server.close()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(60)\n"
        "    call()\n"
        "    os._exit(0)\n"
        "print(os.waitpid(child, 0)[1])\n"
    )

    # Python itself may warn of a fork beside threads
    assert (ran.code, ran.stdout) == (0, "0\n")


def test_forked_process_renews_its_leases(shell: Shell, bench: Bench) -> None:
    bench.item()
    bench.item()

    ran = shell.python(
        "import os, signal\n"
        "from taskorch import Queue\n"
        "queue = Queue.open()\n"
        "agent = queue.agent('ada')\n"
        "with agent.claim() as first:\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(60)\n"
        "        with agent.claim(lease_ms=300) as task:\n"
        "            end = task.lease.expires_at + 300\n"
        "            while queue.views.show(task.id).item.lease_expires_at < end:\n"
        "                pass\n"
        "            task.complete('Done')\n"
        "        os._exit(0)\n"
        "    first.complete('Done')\n"
        "print(os.waitpid(child, 0)[1])\n"
    )

    # Python itself may warn of a fork beside threads
    assert (ran.code, ran.stdout) == (0, "0\n")


def test_unreachable_redis_is_an_error_with_a_hint(shell: Shell) -> None:
    ran = shell.having(TASKORCH_REDIS_URL="redis://127.0.0.1:1/0").python(
        "from taskorch import Queue, errors\n"
        "with Queue.open() as queue:\n"
        "    try:\n"
        "        queue.project('A project')\n"
        "    except errors.Unavailable as error:\n"
        "        print(error.retryable, error.hint())\n"
    )

    assert ran.stdout.startswith("True Check that it is running")


def test_folder_that_is_gone_is_an_error(shell: Shell) -> None:
    ran = shell.python(
        "import os\n"
        "from taskorch import Queue, errors\n"
        "os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')\n"
        "try:\n"
        "    Queue.open()\n"
        "except errors.Usage as error:\n"
        "    print(error)\n"
    )

    assert ran.stdout == "The current folder does not exist any more.\n"


def test_holder_shows_the_pid_of_the_program(
    shell: Shell, bench: Bench
) -> None:
    id_ = bench.item()

    with running(shell, CLAIM) as program:
        assert (line(program), line(program)) == ("waits", id_)
        holder = bench.queue.views.show(id_).item.holder

        assert holder is not None
        assert (holder.pid, holder.host) == (
            program.pid,
            os.uname().nodename,
        )
