"""What the sync job does when its memory, its folder or a report is not what it should be."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root, let_wait_end
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.queue import keys
from taskorch_orchestrator.mirror.mirror import Mirror

pytestmark = pytest.mark.one_lane


def test_a_memory_that_is_damaged_behind_its_head_is_begun_afresh(root: Root) -> None:
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


def test_a_copy_of_a_root_is_another_root(root: Root, tmp_path: Path) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().progress(item, "from the first")
    root.sync()
    shutil.copytree(root.home, tmp_path / "copy" / ".task-orchestrator")
    copy = Root(
        root.bench, tmp_path / "copy", Mirror(root.bench.queue, tmp_path / "copy")
    )
    copy.sync()

    copy.worker().progress(item, "from the copy")
    copy.sync()

    assert copy.mirror.root_id() != root.mirror.root_id()
    assert root.history(item) == [
        ("progress", "from the first"),
        ("stray", "from the copy"),
    ]


def test_a_root_keeps_its_id_without_its_memory(root: Root) -> None:
    root.sync()
    known = root.mirror.root_id()

    shutil.rmtree(root.home / "sync")

    assert Mirror(root.bench.queue, root.path).root_id() == known


def test_a_root_that_is_not_there_is_told_and_not_made(
    bench: Bench, tmp_path: Path
) -> None:
    mirror = Mirror(bench.queue, tmp_path / "nowhere")

    with pytest.raises(errors.RootNotWritable):
        mirror.root_id()

    assert not (tmp_path / "nowhere").exists()


def test_git_sees_nothing_of_a_folder_that_the_id_was_asked_of_first(
    bench: Bench, tmp_path: Path
) -> None:
    Mirror(bench.queue, tmp_path).root_id()

    assert (tmp_path / ".task-orchestrator" / ".gitignore").exists()


@pytest.mark.parametrize(
    "text", ["", "garbage", '"a string"', '{"item_id": "x", "summ']
)
def test_a_completion_that_says_nothing_completes_nothing(
    root: Root, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = root.bench.item()
    root.sync()
    root.file(item, "completion").write_text(text)
    waiting = root.sync()
    let_wait_end(monkeypatch)

    done = root.sync()

    assert (waiting.again, root.bench.state(item)) == (True, State.QUEUED)
    assert not root.file(item, "completion").exists()
    assert [name for name in done.troubles if name.endswith(".kept")] == root.hidden()


def test_a_completion_that_breaks_off_behind_its_agent_is_one(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = root.bench.item()
    root.sync()
    root.file(item, "completion").write_text(
        f'{{"item_id": "{item}", "agent_id": "ada", "summary": "do'
    )
    let_wait_end(monkeypatch)
    root.sync()
    let_wait_end(monkeypatch)

    root.sync()

    assert root.bench.state(item) is State.COMPLETED
    assert set(root.document(item, "completion")) >= {
        "agent_id",
        "completed_at",
        "summary",
        "deliverables",
    }
    assert root.document(item, "completion")["completed_at"] > "2020"


def test_a_completion_that_redis_does_not_take_stays_where_it_is(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().complete(item, "done", {"log": "x" * 70_000})

    done, again = root.sync(), root.sync(full=True)

    assert (root.bench.state(item), done.imported) == (State.QUEUED, 0)
    assert root.document(item, "completion")["summary"] == "done"
    assert any("was not imported" in why for why in done.troubles.values())
    assert again.troubles == done.troubles


def test_a_report_that_is_mended_is_in_trouble_no_more(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    root.worker().complete(item, "done", {"log": "x" * 70_000})
    root.sync()

    root.worker().complete(item, "done", {"log": "short"})
    done = root.sync()

    assert (root.bench.state(item), done.troubles) == (State.COMPLETED, {})


def test_a_bell_that_could_not_be_rung_is_rung_later(root: Root) -> None:
    root.sync()
    root.handoffs.joinpath("pending_ada.txt").mkdir()
    item = root.bench.item()
    told = root.sync()

    root.handoffs.joinpath("pending_ada.txt").rmdir()
    done = root.sync()

    assert list(told.troubles) == ["pending_ada.txt"]
    assert (done.troubles, root.bell()) == ({}, [item])


def test_reports_that_redis_has_forgotten_are_not_made_again_without_a_memory(
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
    for key in root.bench.raw.scan_iter(keys.tag(root.bench.namespace) + "req:*"):
        root.bench.raw.delete(key)
    shutil.rmtree(root.home / "sync")

    done = root.sync()

    assert done.imported == 0
    assert len([text for text in root.updates(item) if text.startswith("early")]) == 20


def test_what_was_written_into_a_replaced_file_of_an_unknown_item_is_not_kept_for_ever(
    root: Root,
) -> None:
    root.sync()
    kept = root.home / "sync" / "replaced" / "item_0badcafe_progress.json~1-2-3"
    kept.write_text("{}")

    root.sync()

    assert not kept.exists()
