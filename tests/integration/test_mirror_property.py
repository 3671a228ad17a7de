"""Random steps of both sides between passes: nothing is lost or imported twice."""

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.builders import Bench
from support.mirrors import Root, root_at
from taskorch.connections import connect
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.item import Caller, NewItem, State
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue
from taskorch_orchestrator.mirror import item_sync, report_import
from taskorch_orchestrator.mirror.handoff_package import OF_THE_MOMENT

ITEMS, AGENTS = ("item_a", "item_b"), ("ada", "bob", "carl")
BY_FILES = ("progress", "discover", "blocker", "complete")
BY_COMMANDS = (
    "progress",
    "discover",
    "blocker",
    "complete",
    "answer",
    "assign",
    "cancel",
    "requeue",
    "expire",
    "fail",
)
LOSSES = ("memory", "database", "shrink", "handoff", "discoveries")
COMMANDS = st.tuples(
    st.just("command"),
    st.sampled_from(BY_COMMANDS),
    st.sampled_from(ITEMS),
    st.sampled_from(AGENTS),
)
PASS = ("pass", "", "", "")
STEPS = st.one_of(
    st.tuples(
        st.just("file"),
        st.sampled_from(BY_FILES),
        st.sampled_from(ITEMS),
        st.sampled_from(AGENTS),
    ),
    COMMANDS,
    st.tuples(
        st.just("pass"),
        st.sampled_from(["", "full"]),
        st.just(""),
        st.just(""),
    ),
    st.tuples(
        st.just("loss"),
        st.sampled_from(LOSSES),
        st.sampled_from(ITEMS),
        st.just(""),
    ),
)
CAREFUL = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


class World:
    """A root and its queue, and all texts that were reported in either."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self.bench = root.bench
        self.numbers = count(1)
        #: Text of a report -> item.
        self.texts: dict[str, str] = {}

    def take(self, step: tuple[str, str, str, str]) -> None:
        """Take a step."""
        side, act, item, agent = step
        if side == "pass":
            self.root.sync(full=act == "full")
        elif side == "loss":
            self._lose(act, item)
        elif side == "file":
            self._file(act, item, agent)
        else:
            with suppress(TaskOrchestratorError):
                self._command(act, item, agent)

    def _file(self, act: str, item: str, agent: str) -> None:
        if act == "complete" and self.root.file(item, "completion").exists():
            self.root.sync()  # a worker overwrites the last completion
        text = self._text(f"{act} of a file")
        getattr(self.root.worker(agent), act)(item, text)
        self.texts[text] = item

    def _command(self, act: str, item: str, agent: str) -> None:
        match act:
            case "answer":
                self.bench.queue.answer(item, "Go on.")
            case "assign":
                self.bench.queue.assign(item, agent, force=True)
            case "cancel":
                self.bench.queue.cancel(item)
            case "requeue":
                self.bench.queue.requeue(item)
            case "expire":
                self.bench.expire_lease(item)
                self.bench.queue.reap()
                self.bench.end_delay(item)
            case _:
                record = self.bench.queue.views.records([item])[0]
                text = self._text(f"{act} of a command")
                mine = self.bench.agent(
                    record.item.agent, session=record.session
                )
                getattr(mine, act)(self.bench.lease_of(item), text)
                if act != "fail" and not (
                    act == "complete" and record.item.state is State.COMPLETED
                ):
                    self.texts[text] = item

    def _lose(self, what: str, item: str) -> None:
        self.root.sync()
        match what:
            case "memory":
                (self.root.home / "sync" / "state.db").unlink()
            case "database":
                (self.root.home / "orchestration.db").unlink()
            case "shrink" if self.root.file(item, "progress").exists():
                document = self.root.document(item, "progress")
                self.root.put(
                    item,
                    "progress",
                    {**document, "updates": document["updates"][1:]},
                )
            case _:
                self.root.file(item, what).unlink(missing_ok=True)

    def _text(self, what: str) -> str:
        return f"{what} {next(self.numbers)}"

    def in_redis(self) -> Counter[tuple[str, str]]:
        """Return how many times Redis has each text on each item."""
        texts = [
            (text, item)
            for item in ITEMS
            for _, text in self.root.history(item)
        ]
        texts += [
            (text, item)
            for item in ITEMS
            for text in self.root.discoveries(item)
        ]
        return Counter(pair for pair in texts if pair[0] in self.texts)

    def missing(self) -> list[str]:
        """Return the reports of Redis that the files lack."""
        files = b"".join(
            data
            for name, data in self.root.visible_files().items()
            if name.startswith(ITEMS)
        ).decode()
        reports = [
            report for item in ITEMS for report in self.root.reports(item)
        ]
        texts = [
            report.text
            for report in reports
            if report.kind in ("progress", "blocker")
        ]
        texts += [
            text for item in ITEMS for text in self.root.discoveries(item)
        ]
        return [
            text for text in texts if text in self.texts and text not in files
        ]


@pytest.fixture(scope="module")
def connection(valkey_url: str) -> Iterator[Connection]:
    connection = connect(valkey_url)
    yield connection
    connection.close()


def world(connection: Connection, url: str, path: Path) -> World:
    namespace = f"test-{os.urandom(4).hex()}"
    queue = Queue(connection, namespace, Caller(agent="planner"))
    project = queue.project("P", id="proj_p")
    for item, agent in zip(ITEMS, AGENTS, strict=False):
        queue.create(
            project, NewItem(title="T", id=item, agent=agent, max_attempts=9)
        )
    raw = redis.Redis.from_url(url, decode_responses=True)
    root = root_at(Bench(queue, raw, namespace, url), path)
    root.sync()
    return World(root)


def mirrored(root: Root) -> dict[str, object]:
    """Return the files of items, but what handoffs have of the moment."""
    files: dict[str, object] = {}
    for name, data in root.visible_files().items():
        if name.startswith(ITEMS):
            files[name] = data
        if name.endswith("_handoff.json"):
            package = json.loads(data)
            for part in OF_THE_MOMENT:
                del package["x_sync"][part]
            files[name] = package
    return files


def test_any_steps_between_passes_lose_nothing(
    connection: Connection, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (item_sync, report_import):
        monkeypatch.setattr(module, "WAIT_S", 0.0)
    monkeypatch.setattr(os, "fsync", lambda _: None)

    @CAREFUL
    @given(st.lists(STEPS, max_size=14))
    def holds(steps: list[tuple[str, str, str, str]]) -> None:
        with TemporaryDirectory() as path:
            it = world(connection, valkey_url, Path(path))
            for step in steps:
                it.take(step)

            it.root.sync()
            before = it.root.state()
            result = it.root.sync(full=True)

            assert it.in_redis() == Counter(dict.fromkeys(it.texts.items(), 1))
            assert it.missing() == []
            assert (result.written, result.imported) == (0, 0)
            assert it.root.state() == before
            assert it.bench.inconsistencies() == []
            it.bench.raw.delete(
                *it.bench.raw.scan_iter(f"taskorch:{{{it.bench.namespace}}}*")
            )

    holds()


def test_appended_files_equal_those_from_scratch(
    connection: Connection, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)

    @CAREFUL
    @given(st.lists(st.one_of(COMMANDS, st.just(PASS)), max_size=20))
    def holds(steps: list[tuple[str, str, str, str]]) -> None:
        with TemporaryDirectory() as path:
            it = world(connection, valkey_url, Path(path) / "appended")
            for step in steps:
                it.take(step)

            it.root.sync()
            fresh = root_at(it.bench, Path(path) / "fresh")
            fresh.sync()

            assert mirrored(it.root) == mirrored(fresh)

    holds()
