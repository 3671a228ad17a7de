"""Readers that read every file all the time, while both sides change a lot."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
import redis
from support.builders import Bench
from support.mirrors import Root, root_at
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

#: Each pass rewrites most files: about 400 files are written while readers read.
CHANGES, PER_PASS, ITEMS = 640, 80, 25


class Reader(Thread):
    """A reader that reads while files are written, and collects files it cannot read."""

    def __init__(self, root: Root) -> None:
        super().__init__(daemon=True)
        self.root = root
        self.writing, self.ended = Event(), Event()
        self.read = 0
        self.wrong: dict[str, bytes] = {}

    def run(self) -> None:
        while self.writing.wait() and not self.ended.is_set():
            for path in [
                *self.root.handoffs.glob("*_handoff.json"),
                *self.root.handoffs.glob("item_*.json"),
            ]:
                with suppress(FileNotFoundError):
                    self.look(path)

    def look(self, path: Path) -> None:
        data = path.read_bytes()
        self.read += 1
        try:
            json.loads(data)
        except ValueError:
            self.wrong[path.name] = data
        if not path.name.startswith("item_"):
            self.wrong[path.name] = b"not a name for workers"


@pytest.fixture
def root(valkey_url: str, tmp_path: Path) -> Iterator[Root]:
    connection = connect(valkey_url)
    with redis.Redis.from_url(valkey_url, decode_responses=True) as raw:
        queue = Queue(connection, "readers", Caller(agent="planner"))
        yield root_at(Bench(queue, raw, "readers", valkey_url), tmp_path)
    connection.close()


def watched_pass(root: Root, readers: list[Reader]) -> None:
    for reader in readers:
        reader.writing.set()
    root.sync()
    for reader in readers:
        reader.writing.clear()


def test_reader_never_sees_half_a_file(root: Root) -> None:
    leases = [root.bench.claimed(agent=f"agent{n}") for n in range(ITEMS)]
    agents = [root.bench.agent(f"agent{n}") for n in range(ITEMS)]
    root.sync()
    readers = [Reader(root), Reader(root)]
    for reader in readers:
        reader.start()

    for change in range(CHANGES):
        which = change % ITEMS
        report = (agents[which].progress, agents[which].discover)[
            change // ITEMS % 2
        ]
        leases[which] = report(leases[which], f"change {change}").lease
        if change % PER_PASS == PER_PASS - 1:
            watched_pass(root, readers)
    for which, lease in enumerate(leases[: ITEMS // 2]):
        agents[which].complete(lease, "done")
    watched_pass(root, readers)

    for reader in readers:
        reader.ended.set()
        reader.writing.set()
        reader.join()
        assert reader.wrong == {}
        assert reader.read > ITEMS
    there = [
        text
        for lease in leases
        for text in root.updates(lease.item)
        if text.startswith("change")
    ]
    there += [
        found["discovery"]
        for lease in leases
        for found in root.document(lease.item, "discoveries")
    ]
    assert sorted(there) == sorted(
        f"change {change}" for change in range(CHANGES)
    )
    assert not root.hidden_files()
