"""The file-based worker of the tests, which is as fragile as the predecessor's."""

import json
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from support import file_worker
from support.commands import Shell, eventually, result_of
from support.file_worker import COMPLETED, FileWorker, Incarnation, Orders

ITEM = "item_1a2b3c4d"


class Fate(Random):
    """A random generator with known results."""

    def __init__(self, *drawn: float) -> None:
        super().__init__(0)
        self.drawn = list(drawn)

    def random(self) -> float:
        return self.drawn.pop(0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A `.task-orchestrator` folder as the sync job makes it."""
    (tmp_path / "handoffs").mkdir()
    return tmp_path


@pytest.fixture
def ada(root: Path) -> FileWorker:
    return FileWorker(root, "ada")


def put_handoff(
    root: Path,
    item: str = ITEM,
    agent: str = "ada",
    name: str = "{}_handoff.json",
) -> dict[str, Any]:
    handoff = {
        "item_id": item,
        "assigned_to": agent,
        "task": {"title": "A title", "description": None, "requirements": []},
        "project_context": {"project_title": "A project"},
        "x_sync": {"token": 1},
    }
    (root / "handoffs" / name.format(item)).write_text(
        json.dumps(handoff), encoding="utf-8"
    )
    return handoff


def written(root: Path, form: str) -> Any:
    """Return the content of a file; check that it is in the style of the predecessor."""
    text = (root / "handoffs" / f"{ITEM}_{form}.json").read_text(
        encoding="utf-8"
    )
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, ensure_ascii=True)
    return document


def timeless(entry: dict[str, Any], time: str = "timestamp") -> dict[str, Any]:
    """Return an entry without its time.

    Check that the time is local, without a zone, and has microseconds.
    """
    then = datetime.strptime(entry[time], "%Y-%m-%dT%H:%M:%S.%f").astimezone()
    assert abs((datetime.now().astimezone() - then).total_seconds()) < 60
    return {name: value for name, value in entry.items() if name != time}


def careless(root: Path, *drawn: float) -> Incarnation:
    return Incarnation(
        Orders(root, "ada", root / "log", careless=True, think_s=0),
        Fate(*drawn),
        "1.1",
    )


def logged(log: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in log.read_text(encoding="utf-8").splitlines()
    ]


def test_check_lists_assigned_items_and_dot_files(
    root: Path, ada: FileWorker
) -> None:
    put_handoff(root)
    put_handoff(root, "item_2", name=".{}_handoff.json")
    put_handoff(root, "item_3", agent="bob")

    assert sorted(ada.check()) == [ITEM, "item_2"]


def test_check_deletes_pending_file_of_its_agent(
    root: Path, ada: FileWorker
) -> None:
    for agent in ("ada", "bob"):
        (root / "handoffs" / f"pending_{agent}.txt").write_text(
            f"{ITEM}\n", encoding="utf-8"
        )

    ada.check()

    assert (ada.pending(), FileWorker(root, "bob").pending()) == ([], [ITEM])


def test_pending_file_is_deleted_when_read(
    root: Path, ada: FileWorker
) -> None:
    (root / "handoffs" / "pending_ada.txt").write_text(
        f"{ITEM}\nitem_2\n{ITEM}\n", encoding="utf-8"
    )

    assert ada.pending() == [ITEM, "item_2", ITEM]
    assert list((root / "handoffs").iterdir()) == []


@pytest.mark.parametrize("torn", ["", '{"item_id": "it'])
def test_invalid_handoff_of_any_agent_breaks_check(
    root: Path, ada: FileWorker, torn: str
) -> None:
    put_handoff(root)
    (root / "handoffs" / ".item_9_handoff.json").write_text(
        torn, encoding="utf-8"
    )

    with pytest.raises(json.JSONDecodeError):
        ada.check()


def test_get_returns_the_handoff(root: Path, ada: FileWorker) -> None:
    handoff = put_handoff(root)

    assert ada.get(ITEM) == handoff


@pytest.mark.parametrize(
    "lacking", ["item_id", "assigned_to", "task", "project_context"]
)
def test_incomplete_handoff_breaks_get(
    root: Path, ada: FileWorker, lacking: str
) -> None:
    handoff = put_handoff(root)
    del handoff[lacking]
    (root / "handoffs" / f"{ITEM}_handoff.json").write_text(
        json.dumps(handoff), encoding="utf-8"
    )

    with pytest.raises(KeyError, match=lacking):
        ada.get(ITEM)


def test_progress_file_names_its_first_writer(
    root: Path, ada: FileWorker
) -> None:
    ada.progress(ITEM, "Half of it ✓", 50)
    FileWorker(root, "bob").progress(ITEM, "More")

    report = written(root, "progress")

    updates = [timeless(update) for update in report.pop("updates")]
    assert report == {"item_id": ITEM, "agent_id": "ada"}
    assert updates == [
        {"message": "Half of it ✓", "percentage": 50},
        {"message": "More", "percentage": None},
    ]


def test_discoveries_are_an_array(root: Path, ada: FileWorker) -> None:
    ada.discover(ITEM, "A bug")
    FileWorker(root, "bob").discover(ITEM, "Another", "great")

    assert [
        timeless(discovery) for discovery in written(root, "discoveries")
    ] == [
        {
            "agent_id": "ada",
            "discovery": "A bug",
            "impact": None,
            "item_id": ITEM,
        },
        {
            "agent_id": "bob",
            "discovery": "Another",
            "impact": "great",
            "item_id": ITEM,
        },
    ]


@pytest.mark.parametrize(
    ("needs", "impact"),
    [("a key", "Needs: a key"), (None, "Blocking progress")],
)
def test_blocker_is_a_discovery_and_an_update(
    root: Path, ada: FileWorker, needs: str | None, impact: str
) -> None:
    ada.blocker(ITEM, "Locked", needs)

    [discovery], [update] = (
        written(root, "discoveries"),
        written(root, "progress")["updates"],
    )
    assert timeless(discovery) == {
        "agent_id": "ada",
        "discovery": "BLOCKER: Locked",
        "impact": impact,
        "item_id": ITEM,
    }
    assert timeless(update) == {
        "message": "⚠️ Blocked: Locked",
        "percentage": None,
    }
    assert discovery["timestamp"] <= update["timestamp"]


def test_completion_overwrites_the_last_one(
    root: Path, ada: FileWorker
) -> None:
    ada.complete(ITEM, "Done", {"report": "r.md"})
    FileWorker(root, "bob").complete(ITEM, "Done better")

    assert timeless(written(root, "completion"), "completed_at") == {
        "item_id": ITEM,
        "agent_id": "bob",
        "summary": "Done better",
        "deliverables": {},
        "final_status": "completed",
    }
    updates = [
        timeless(update) for update in written(root, "progress")["updates"]
    ]
    assert updates == [{"message": "✅ Work completed", "percentage": 100}] * 2


def test_notes_are_in_workspace_of_agent(root: Path, ada: FileWorker) -> None:
    ada.notes(ITEM, "One")
    ada.notes(ITEM, "Two\nlines")

    parts = (
        (root / "workspace" / "ada" / f"{ITEM}_notes.md")
        .read_text(encoding="utf-8")
        .split("\n\n---\n")
    )
    times, texts = zip(
        *(part.split("\n---\n") for part in parts[1:]), strict=True
    )
    assert parts[0] == ""
    assert texts == ("One", "Two\nlines")
    assert [timeless({"timestamp": time}) for time in times] == [{}, {}]


@pytest.mark.parametrize(
    ("report", "form"),
    [
        (lambda ada: ada.progress(ITEM, "More"), "progress"),
        (lambda ada: ada.discover(ITEM, "A bug"), "discoveries"),
        (lambda ada: ada.complete(ITEM, "Done"), "progress"),
    ],
)
def test_torn_file_breaks_the_next_writer(
    root: Path,
    ada: FileWorker,
    report: Callable[[FileWorker], None],
    form: str,
) -> None:
    path = root / "handoffs" / f"{ITEM}_{form}.json"
    path.write_text('{"item_id": "it', encoding="utf-8")

    with pytest.raises(json.JSONDecodeError):
        report(ada)

    assert path.read_text(encoding="utf-8") == '{"item_id": "it'


def test_completion_is_written_before_its_update(root: Path) -> None:
    dying = careless(root, 1, 0)

    with pytest.raises(SystemExit):
        dying.complete(ITEM, "Done")

    assert [path.name for path in (root / "handoffs").iterdir()] == [
        f"{ITEM}_completion.json"
    ]


def test_torn_report_is_logged_with_lost_reports(
    root: Path,
) -> None:
    texts = [
        f"File worker ada on {ITEM}, report {number} of 1.1"
        for number in range(4)
    ]
    dying = careless(root, 1, 1, 1, 0, 0)
    for text in texts[:3]:
        dying.progress(ITEM, text)

    with pytest.raises(SystemExit):
        dying.progress(ITEM, texts[3], 50)

    lines = logged(root / "log")
    left = (root / "handoffs" / f"{ITEM}_progress.json").read_text(
        encoding="utf-8"
    )
    whole = [
        text
        for text in texts
        if f'{text}",\n      "percentage": null\n    }}' in left
    ]
    assert [line["text"] for line in lines if "torn" not in line] == texts[:3]
    assert [line["text"] for line in lines if line.get("torn")] == texts[
        len(whole) :
    ]
    assert len(whole) == 1
    assert lines[-1]["percent"] == 50


def test_repaired_report_is_logged_as_whole(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, halves = root / "handoffs" / f"{ITEM}_progress.json", []
    monkeypatch.setattr(
        file_worker,
        "sleep",
        lambda _: halves.append(path.read_text(encoding="utf-8")),
    )

    careless(root, 0, 1).progress(ITEM, "File worker ada on it")

    whole = path.read_text(encoding="utf-8")
    assert halves == [whole[: len(whole) // 2]]
    assert [line["text"] for line in logged(root / "log")] == [
        "File worker ada on it"
    ]


def test_command_completes_items_and_logs_reports(
    root: Path,
) -> None:
    put_handoff(root)

    lines = ran(root, completions=1)

    assert len({line["text"] for line in lines}) == len(lines)
    assert {tuple(line) for line in lines} == {
        ("item", "agent", "kind", "text", "percent", "timestamp")
    }
    messages = [
        update["message"] for update in written(root, "progress")["updates"]
    ]
    assert messages == [
        *(line["text"] for line in lines if line["kind"] == "progress"),
        COMPLETED,
    ]
    assert written(root, "completion")["summary"] == lines[-1]["text"]


def test_worker_that_died_completing_repeats_the_item(
    root: Path,
) -> None:
    put_handoff(root)

    lines = ran(root, "--careless", "--seed=4", completions=2)

    assert len({line["text"] for line in lines}) == len(lines)
    assert {line["text"].rpartition(".")[2] for line in lines} == {"1", "2"}
    messages = [
        update["message"] for update in written(root, "progress")["updates"]
    ]
    assert messages == [
        *(line["text"] for line in lines if line["kind"] == "progress"),
        COMPLETED,
    ]


def ran(root: Path, *options: str, completions: int) -> list[dict[str, Any]]:
    """Return the log of the command up to a number of completions."""
    log, stop = root / "log", root / "stop"
    words = [
        f"--folder={root}",
        "--agent=ada",
        f"--log={log}",
        f"--until-file={stop}",
        "--think=0",
        *options,
    ]
    log.touch()
    running = Shell(root, {}).start(
        sys.executable, file_worker.__file__, *words
    )
    eventually(
        lambda: (
            sum(line["kind"] == "completion" for line in logged(log))
            == completions
        )
    )
    stop.touch()
    assert result_of(running).code == 0
    return logged(log)
