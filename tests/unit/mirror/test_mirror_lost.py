"""A memory, a folder or a report that is damaged or lost."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root, skip_wait
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.queue import keys
from taskorch_orchestrator.mirror.mirror import Mirror

pytestmark = pytest.mark.one_lane


def test_damaged_memory_is_replaced(root: Root) -> None:
    for _ in range(20):
        root.bench.item()
    root.sync()
    memory = root.home / "sync" / "state.db"
    whole = memory.read_bytes()
    memory.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    item = root.bench.item()

    root.sync(full=True)

    assert root.file(item, "handoff").exists()
    with sqlite3.connect(memory) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()


def test_copy_of_root_has_other_id(root: Root, tmp_path: Path) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "from the first")
    root.sync()
    shutil.copytree(root.home, tmp_path / "copy" / ".task-orchestrator")
    copy = Root(
        root.bench,
        tmp_path / "copy",
        Mirror(root.bench.queue, tmp_path / "copy"),
    )
    copy.sync()

    copy.worker().progress(item, "from the copy")
    copy.sync()

    assert copy.mirror.root_id() != root.mirror.root_id()
    assert root.history(item) == [
        ("progress", "from the first"),
        ("stray", "from the copy"),
    ]


def test_root_keeps_id_after_lost_memory(root: Root) -> None:
    root.sync()
    known = root.mirror.root_id()

    shutil.rmtree(root.home / "sync")

    assert Mirror(root.bench.queue, root.path).root_id() == known


def test_missing_root_is_reported_and_not_made(
    bench: Bench, tmp_path: Path
) -> None:
    mirror = Mirror(bench.queue, tmp_path / "nowhere")

    with pytest.raises(errors.RootNotWritable):
        mirror.root_id()

    assert not (tmp_path / "nowhere").exists()


def test_root_id_makes_folder_that_git_ignores(
    bench: Bench, tmp_path: Path
) -> None:
    Mirror(bench.queue, tmp_path).root_id()

    assert (tmp_path / ".task-orchestrator" / ".gitignore").exists()


@pytest.mark.parametrize(
    "text", ["", "garbage", '"a string"', '{"item_id": "x", "summ']
)
def test_unreadable_completion_completes_nothing(
    root: Root, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = root.bench.item()
    root.sync()
    root.file(item, "completion").write_text(text)
    waiting = root.sync()
    skip_wait(monkeypatch)

    result = root.sync()

    assert (waiting.again, root.bench.state(item)) == (True, State.QUEUED)
    assert not root.file(item, "completion").exists()
    assert [
        name for name in result.troubles if name.endswith(".kept")
    ] == root.hidden_files()


def test_completion_torn_after_its_agent_is_imported(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = root.bench.item()
    root.sync()
    root.file(item, "completion").write_text(
        f'{{"item_id": "{item}", "agent_id": "ada", "summary": "do'
    )
    skip_wait(monkeypatch)
    root.sync()
    skip_wait(monkeypatch)

    root.sync()

    assert root.bench.state(item) is State.COMPLETED
    assert set(root.document(item, "completion")) >= {
        "agent_id",
        "completed_at",
        "summary",
        "deliverables",
    }
    assert root.document(item, "completion")["completed_at"] > "2020"


def test_refused_completion_stays_in_its_file(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().complete(item, "done", {"log": "x" * 70_000})

    result, again = root.sync(), root.sync(full=True)

    assert (root.bench.state(item), result.imported) == (State.QUEUED, 0)
    assert root.document(item, "completion")["summary"] == "done"
    assert any("was not imported" in why for why in result.troubles.values())
    assert again.troubles == result.troubles


def test_fixed_report_is_no_longer_in_trouble(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().complete(item, "done", {"log": "x" * 70_000})
    root.sync()

    root.worker().complete(item, "done", {"log": "short"})
    result = root.sync()

    assert (root.bench.state(item), result.troubles) == (State.COMPLETED, {})


def test_failed_notice_is_retried(root: Root) -> None:
    root.sync()
    root.handoffs.joinpath("pending_ada.txt").mkdir()
    item = root.bench.item()
    failed = root.sync()

    root.handoffs.joinpath("pending_ada.txt").rmdir()
    result = root.sync()

    assert list(failed.troubles) == ["pending_ada.txt"]
    assert (result.troubles, root.pending()) == ({}, [item])


def test_reports_trimmed_in_redis_are_not_imported_again(
    root: Root,
) -> None:
    item = root.bench.item()
    root.sync()
    lease = root.bench.claimed(item, session=f"files-{root.mirror.root_id()}")
    worker = root.worker()
    for number in range(20):
        worker.progress(item, f"early {number}")
    root.sync()
    agent = root.bench.agent(session=f"files-{root.mirror.root_id()}")
    for number in range(1300):
        agent.progress(lease, f"later {number}")
    root.bench.raw.xtrim(
        keys.tag(root.bench.namespace) + f"progress:{item}",
        maxlen=1000,
        approximate=False,
    )
    for key in root.bench.raw.scan_iter(
        keys.tag(root.bench.namespace) + "req:*"
    ):
        root.bench.raw.delete(key)
    shutil.rmtree(root.home / "sync")

    result = root.sync()

    assert result.imported == 0
    assert (
        len([text for text in root.updates(item) if text.startswith("early")])
        == 20
    )


def test_replaced_file_of_unknown_item_is_removed(
    root: Root,
) -> None:
    root.sync()
    kept = (
        root.home / "sync" / "replaced" / "item_0badcafe_progress.json~1-2-3"
    )
    kept.write_text("{}")

    root.sync()

    assert not kept.exists()
