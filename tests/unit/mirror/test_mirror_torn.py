"""Torn files: the mirror waits for the rest, then imports the valid part."""

import json
from pathlib import Path

import pytest
from support.mirrors import (
    Root,
    completion,
    discovery,
    progress,
    published_item,
    skip_wait,
    time_after_wait,
    update,
)
from taskorch.domain.item import State

pytestmark = pytest.mark.one_lane

KINDS = ("progress", "discoveries", "completion")
TORN = b'{"upd'


@pytest.fixture
def item(root: Root) -> str:
    return published_item(root)


def torn(root: Root, item: str, kind: str, data: bytes) -> Path:
    path = root.file(item, kind)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", TORN, b"\xff\xfe", b"null", b"7"])
def test_torn_file_is_not_touched(
    root: Root, item: str, kind: str, data: bytes
) -> None:
    root.bench.agent().complete(root.bench.claimed(item), "by a command")
    path = torn(root, item, kind, data)
    before = path.stat()

    first, second = root.sync(), root.sync(full=True)

    assert (first.again, second.again) == (True, True)
    assert path.read_bytes() == data
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )
    assert root.hidden_files() == []


def test_file_completed_in_time_is_imported(root: Root, item: str) -> None:
    whole = json.dumps(progress(item, update("begun")), indent=2).encode()

    torn(root, item, "progress", whole[:50])
    root.sync()
    torn(root, item, "progress", whole)
    result = root.sync()

    assert root.history(item) == [("progress", "begun")]
    assert (result.again, result.troubles) == (False, {})


def test_valid_part_is_imported_and_copy_kept(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (
        update("first"),
        update("second", at="2026-01-02T03:04:06.000001"),
    )
    data = json.dumps(progress(item, first, second), indent=2).encode()
    torn(
        root,
        item,
        "progress",
        data[: data.index(b'"percentage": null', data.index(b"second"))],
    )
    root.sync()
    before = root.file(item, "progress").read_bytes()

    skip_wait(monkeypatch)
    result = root.sync()

    (kept,) = root.hidden_files()
    assert root.history(item) == [("progress", "first")]
    assert root.document(item, "progress")["updates"] == [first]
    assert (root.handoffs / kept).read_bytes() == before
    assert kept.startswith(f".{item}_progress.json.")
    assert kept.endswith(".kept")
    assert result.troubles[kept].startswith(
        f"{item}_progress.json is not valid (not JSON: "
    )
    assert (
        "Only the valid part was imported: 1 report. This is a copy"
        in result.troubles[kept]
    )
    assert root.bench.queue.views.mirrors()[0].status["troubles"] == dict(
        result.troubles
    )


def test_changing_torn_file_restarts_the_wait(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn(root, item, "progress", TORN)
    root.sync()

    skip_wait(monkeypatch)
    monkeypatch.setattr(
        "taskorch_orchestrator.mirror.sync_state.time", time_after_wait
    )
    torn(root, item, "progress", TORN + b"ates")
    result = root.sync()

    assert result.again
    assert root.hidden_files() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", [b"", TORN, b"\xff\xfe", b"null"])
def test_file_without_valid_part_is_restored_from_redis(
    root: Root,
    item: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    *,
    data: bytes,
) -> None:
    lease = root.bench.claimed(item)
    for verb in (
        root.bench.agent().progress,
        root.bench.agent().discover,
        root.bench.agent().complete,
    ):
        lease = verb(lease, f"by {verb.__name__}").lease
    root.sync()
    before = root.visible_files()
    torn(root, item, kind, data)
    root.sync()

    skip_wait(monkeypatch)
    root.sync()

    assert root.visible_files() == before
    assert [
        (root.handoffs / name).read_bytes() for name in root.hidden_files()
    ][:1] == [data]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'["' + b'a,"' * 100_000,
        b"," * 100_000,
    ],
)
def test_hopeless_text_is_given_up_quickly(
    root: Root,
    item: str,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    *,
    data: bytes,
) -> None:
    torn(root, item, kind, data)
    root.sync()

    skip_wait(monkeypatch)
    result = root.sync()

    assert not result.again
    assert not root.file(item, kind).exists() or isinstance(
        root.document(item, kind), (dict, list)
    )
    assert [
        (root.handoffs / name).read_bytes() for name in root.hidden_files()
    ][:1] == [data]


def test_large_torn_file_is_read_quickly(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = [
        update(f"{n} " + "x" * 5000, at=f"2026-01-02T03:04:05.{n:06}")
        for n in range(200)
    ]
    torn(
        root,
        item,
        "progress",
        json.dumps(progress(item, *updates), indent=2).encode()[:-40],
    )
    root.sync()

    skip_wait(monkeypatch)
    root.sync()

    assert len(root.history(item)) == 199


def test_completion_waits_for_earlier_reports(root: Root, item: str) -> None:
    whole = json.dumps(progress(item, update("begun")), indent=2).encode()
    torn(root, item, "progress", whole[:40])
    root.put(item, "completion", completion(item, "done"))

    root.sync()
    there, state = (
        root.file(item, "completion").exists(),
        root.bench.state(item),
    )
    torn(root, item, "progress", whole)
    root.sync()

    assert (there, state) == (True, State.QUEUED)
    assert root.history(item) == [("progress", "begun"), ("complete", "done")]
    assert root.document(item, "completion") == completion(item, "done")


def test_torn_file_does_not_block_other_files(root: Root, item: str) -> None:
    torn(root, item, "progress", TORN)
    root.put(item, "discoveries", [discovery(item, "found")])

    root.sync()

    assert root.discoveries(item) == ["found"]


def test_report_written_into_replaced_file_is_imported(
    root: Root, item: str
) -> None:
    root.worker().blocker(item, "Which one?")
    root.sync()
    document = root.document(item, "progress")
    document["updates"].append(update("into the old file"))
    with root.file(item, "progress").open("r+", encoding="utf-8") as opened:
        root.bench.queue.answer(item, "by a command")
        root.sync()
        json.dump(document, opened, indent=2)
        opened.truncate()

    result = root.sync()

    assert ("progress", "into the old file") in root.history(item)
    assert {"into the old file", "Answer to question 1: by a command"} < set(
        root.updates(item)
    )
    assert result.troubles == {}


def test_slow_write_into_replaced_file_is_awaited(
    root: Root, item: str
) -> None:
    root.worker().blocker(item, "Which one?")
    root.sync()
    document = root.document(item, "progress")
    document["updates"].append(update("into the old file"))
    data = json.dumps(document, indent=2)
    with root.file(item, "progress").open("r+", encoding="utf-8") as opened:
        root.bench.queue.answer(item, "by a command")
        root.sync()
        opened.truncate(0)
        opened.write(data[:99])
        opened.flush()
        first = root.sync()
        opened.write(data[99:])

    second = root.sync()

    assert (first.again, second.troubles) == (True, {})
    assert ("progress", "into the old file") in root.history(item)
    assert {"into the old file", "Answer to question 1: by a command"} < set(
        root.updates(item)
    )


def test_torn_replaced_file_is_imported_and_copy_kept(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.worker().blocker(item, "Which one?")
    root.sync()
    document = root.document(item, "progress")
    late = [
        update(f"late {n}", at=f"2026-01-02T03:04:05.00000{n}")
        for n in range(2)
    ]
    data = json.dumps(
        {**document, "updates": [*late, *document["updates"]]}, indent=2
    ).encode()
    data = data[: data.index(b"late 1")]
    with root.file(item, "progress").open("r+b") as opened:
        root.bench.queue.answer(item, "by a command")
        root.sync()
        opened.truncate(0)
        opened.write(data)
    root.sync()

    skip_wait(monkeypatch)
    result = root.sync()

    (kept,) = root.hidden_files()
    assert ("progress", "late 0") in root.history(item)
    assert {"late 0", "Answer to question 1: by a command"} < set(
        root.updates(item)
    )
    assert (root.handoffs / kept).read_bytes() == data
    assert list(result.troubles) == [kept]


def test_stray_in_replaced_file_reaches_the_new_file(
    root: Root, item: str
) -> None:
    stranger = progress(item, update("of a stranger"), agent="carl")
    root.put(item, "progress", stranger)
    root.sync()
    with root.file(item, "progress").open("r+", encoding="utf-8") as opened:
        root.bench.agent().progress(root.bench.claimed(item), "by a command")
        root.sync()
        stranger["updates"].append(
            update("and another", at="2026-01-02T03:04:06.000001")
        )
        json.dump(stranger, opened, indent=2)
        opened.truncate()

    root.sync()

    assert ("stray", "and another") in root.history(item)
    assert root.updates(item) == [
        "of a stranger",
        "and another",
        "by a command",
    ]
