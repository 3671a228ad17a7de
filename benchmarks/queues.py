"""What measurements run on: a server of their own, and queues with many items."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import redis
from taskorch import address, embedded, keys
from taskorch.connection import connect
from taskorch.item import Caller, NewItem
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
    """Return a queue with so many items of one agent; they are created in batches, for a million takes a while."""
    planner = Queue(connect(url), namespace, Caller(agent="planner"))
    project = planner.project("Many items")
    new = NewItem(title="An item", description="x" * 300, agent=AGENT)
    for done in range(0, size, BATCH):
        planner.create_many(project, [new] * min(BATCH, size - done))
    # Their replies are kept for ten minutes; they would be swept up during the measurement.
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(f"{keys.tag(namespace)}req:*", count=10000):
            client.unlink(key)
    return planner
