"""What measurements run on: a server of their own, and queues with many items."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from taskorch import __version__, address, embedded, keys, script
from taskorch.connection import connect
from taskorch.item import Caller
from taskorch.queue import Queue
from taskorch.settings import resolve

BATCH = 1000
AGENT = "specialist"


@contextmanager
def server() -> Iterator[str]:
    """Run the bundled server, as anybody's first command starts it, in a folder that goes with it."""
    with TemporaryDirectory(prefix="bench-") as folder:
        settings = resolve({}, {"TASKORCH_ROOT": folder, "TASKORCH_SERVICE": "off"}, Path(folder))
        embedded.start(settings)
        try:
            yield address.of(settings)
        finally:
            embedded.stop(settings)


def filled(url: str, namespace: str, size: int) -> Queue:
    """Return a queue with so many items of one agent; they are created in pipelines, for a million takes a while."""
    planner = Queue(connect(url), namespace, Caller(agent="planner"))
    project = planner.project("Many items")
    create = script.load("create")
    with redis.Redis.from_url(url) as client:
        client.script_load(create.text)
        for done in range(0, size, BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(min(BATCH, size - done)):
                    pipeline.execute_command("EVALSHA", create.sha, 1, keys.meta(namespace), *_arguments(project))
                pipeline.execute()
        # Their replies are kept for ten minutes; a million of them would be swept up during the measurement.
        for key in client.scan_iter(f"{keys.tag(namespace)}req:*", count=10000):
            client.unlink(key)
    return planner


def _arguments(project: str) -> tuple[str | int, ...]:
    caller = (os.urandom(8).hex(), "planner", "", 0, "", __version__)
    fields = ("title", "An item", "priority", 2, "lease_ms", 14_400_000, "max_attempts", 3, "description", "x" * 300)
    return (*caller, project, script.random_digits(), "", AGENT, 0, 0, 0, *fields)
