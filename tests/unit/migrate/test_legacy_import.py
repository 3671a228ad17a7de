"""`orchestrate import` of a legacy folder: database, handoffs, reports and notes."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import Shell
from support.file_worker import FileWorker
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import State
from taskorch.queue.queue import Queue
from taskorch_orchestrator.migrate.legacy_folder import (
    BEFORE_IMPORT,
    LegacyFolder,
)
from taskorch_orchestrator.migrate.legacy_import import (
    ImportResult,
    LegacyImport,
)
from taskorch_orchestrator.mirror.file_times import moment_of
from taskorch_orchestrator.mirror.handoff_package import DEFAULT_DELIVERABLES

pytestmark = pytest.mark.one_lane

PROJECT = "proj_aaaa1111"
FIRST, SECOND, THIRD = "item_00000001", "item_00000002", "item_00000003"
PROJECTS = (
    "project_id",
    "title",
    "description",
    "orchestrator_id",
    "created_at",
    "status",
)
ITEMS = (
    "item_id",
    "project_id",
    "title",
    "description",
    "requirements",
    "assigned_to",
    "status",
    "dependencies",
    "created_at",
    "assigned_at",
    "completed_at",
    "deliverables",
)
CREATED, COMPLETED = "2026-01-02T03:04:05.678901", "2026-02-03T04:05:06.789012"


@dataclass(frozen=True)
class LegacyRoot:
    """A legacy folder that a test fills, and the queue that it is imported into."""

    bench: Bench
    home: Path
    database: sqlite3.Connection
    root: Path

    def project(
        self,
        status: str = "active",
        title: str = "An old project",
        orchestrator: str = "chief",
    ) -> None:
        row = (PROJECT, title, "All of it", orchestrator, CREATED, status)
        self.database.execute(
            "INSERT INTO orchestration VALUES (?, ?, ?, ?, ?, ?)", row
        )
        self.database.commit()

    def item(
        self,
        id_: str,
        agent: str | None = "ada",
        *,
        status: str = "assigned",
        needs: tuple[str, ...] = (),
        delivered: str | bytes | None = None,
    ) -> None:
        end = (
            CREATED,
            None,
            COMPLETED if status == "completed" else None,
            delivered,
        )
        row = (
            id_,
            PROJECT,
            f"Title of {id_}",
            None,
            '["one", "two"]',
            agent,
            status,
            json.dumps(needs),
            *end,
        )
        self.database.execute(
            f"INSERT INTO work_items VALUES ({', '.join('?' * 12)})", row
        )
        self.database.commit()
        if agent:
            self.package(id_, agent)

    def package(self, id_: str, agent: str, **more: object) -> None:
        package = {
            "handoff_version": "1.0",
            "item_id": id_,
            "assigned_to": agent,
            "task": {
                "title": "From a package",
                "description": None,
                "requirements": ["r"],
                "dependencies": [],
            },
            "project_context": {
                "project_id": PROJECT,
                "project_title": "An old project",
                "project_description": "",
            },
            "provided_context": {"stack": "Python", "ports": [80, 443]},
            "provided_resources": ["docs/api.md"],
            **more,
        }
        (self.home / "handoffs" / f"{id_}_handoff.json").write_text(
            json.dumps(package)
        )

    def worker(self, agent: str = "ada") -> FileWorker:
        return FileWorker(self.home, agent)

    def imported(self) -> ImportResult:
        folder = LegacyFolder(self.home)
        return LegacyImport(
            self.bench.queue, self.queue_of, folder, "files-test"
        ).add_all()

    def queue_of(self, orchestrator: str) -> Queue:
        scripts = self.bench.queue._scripts
        return Queue(
            scripts.connection,
            self.bench.namespace,
            replace(scripts.caller, agent=orchestrator),
        )

    def file(self, name: str) -> Path:
        return self.home / "handoffs" / name

    def state(self, item: str) -> State:
        return self.bench.state(item)


@pytest.fixture
def old(bench: Bench, tmp_path: Path) -> Iterator[LegacyRoot]:
    home, root = tmp_path / "old" / ".task-orchestrator", tmp_path / "new"
    (home / "handoffs").mkdir(parents=True)
    root.mkdir()
    with closing(sqlite3.connect(home / "orchestration.db")) as database:
        for table, columns in {
            "orchestration": PROJECTS,
            "work_items": ITEMS,
        }.items():
            database.execute(
                f"CREATE TABLE {table} ({', '.join(columns)}, PRIMARY KEY ({columns[0]}))"
            )
        yield LegacyRoot(bench, home, database, root)


def test_imported_projects_and_items_keep_all_fields(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.item(SECOND, None, needs=(FIRST,))

    result = old.imported()

    first, second = (
        old.bench.queue.views.show(item) for item in (FIRST, SECOND)
    )
    assert (result.projects, result.items, result.troubles) == (1, 2, {})
    assert (first.project_context.id, first.project_context.title) == (
        PROJECT,
        "An old project",
    )
    assert (first.item.title, first.item.requirements, first.item.agent) == (
        f"Title of {FIRST}",
        ("one", "two"),
        "ada",
    )
    assert first.item.context == {"stack": "Python", "ports": "[80, 443]"}
    assert first.item.resources == ("docs/api.md",)
    assert (second.item.depends_on, second.item.state) == (
        (FIRST,),
        State.PENDING,
    )
    assert first.item.created_at % 1000 == 678


def test_imported_reports_keep_their_times(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.worker().progress(FIRST, "Half of it", 50)
    old.worker().discover(FIRST, "A thing", "big")
    old.worker().complete(FIRST, "All of it", {"schema": "db.sql"})

    result = old.imported()

    package = old.bench.queue.views.show(FIRST)
    assert result.reports == 3
    assert [(report.kind, report.text) for report in package.history] == [
        ("progress", "Half of it"),
        ("complete", "All of it"),
    ]
    assert all(report.written_at for report in package.history)
    assert (package.item.state, package.item.deliverables) == (
        State.COMPLETED,
        {"schema": "db.sql"},
    )
    assert [
        found.text
        for found in old.bench.queue.views.discoveries(PROJECT).discoveries
    ] == ["A thing"]


def test_second_import_changes_nothing(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST, status="completed")
    old.item(SECOND, needs=(FIRST,))
    old.item(THIRD, status="cancelled")
    old.worker().progress(SECOND, "Half of it", 50)
    old.worker().notes(SECOND, "Mine")
    old.imported()
    before = old.bench.everything()

    result = old.imported()

    assert (result.projects, result.items, result.reports, result.notes) == (
        0,
        0,
        0,
        0,
    )
    assert old.bench.everything() == before


def test_second_import_does_not_end_requeued_item(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(FIRST, status="completed")
    old.imported()
    old.bench.queue.requeue(FIRST)

    old.imported()

    assert old.state(FIRST) is State.QUEUED


def test_items_are_imported_after_their_dependencies(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(SECOND, status="completed", needs=(FIRST,))
    old.item(FIRST, status="completed")
    old.worker().complete(SECOND, "Second")
    old.worker().complete(FIRST, "First")

    result = old.imported()

    assert result.troubles == {}
    assert (old.state(FIRST), old.state(SECOND)) == (
        State.COMPLETED,
        State.COMPLETED,
    )


def test_impossible_dependencies_are_dropped_and_reported(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(FIRST, needs=(SECOND,))
    old.item(SECOND, needs=(FIRST,))
    old.item(THIRD, needs=("item_0000gone",))

    result = old.imported()

    assert [old.state(item) for item in (FIRST, SECOND, THIRD)] == [
        State.QUEUED
    ] * 3
    assert "item_0000gone" in result.troubles[THIRD]
    assert any(
        "depends on itself" in message for message in result.troubles.values()
    )


def test_folder_without_database_is_imported(old: LegacyRoot) -> None:
    old.package(FIRST, "ada")
    (old.home / "orchestration.db").unlink()

    old.imported()

    package = old.bench.queue.views.show(FIRST)
    assert (
        package.item.title,
        package.item.agent,
        package.project_context.id,
    ) == (
        "From a package",
        "ada",
        PROJECT,
    )


def test_notes_are_imported_for_their_agent_only(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.worker().notes(FIRST, "Mine alone\n\nwith lines")

    result = old.imported()

    assert result.notes == 1
    assert [note.text for note in old.bench.agent("ada").notes(FIRST)] == [
        "Mine alone\n\nwith lines"
    ]
    assert old.bench.agent("bob").notes(FIRST) == ()


def test_completed_project_is_completed_unless_items_are_open(
    old: LegacyRoot,
) -> None:
    old.project(status="completed")
    old.item(FIRST, status="completed")
    old.imported()

    assert (
        old.bench.queue.views.progress(PROJECT).project.status == "completed"
    )


def test_refused_rows_do_not_stop_the_import(
    old: LegacyRoot,
) -> None:
    old.project(title="T" * 600)
    old.item("../../etc/passwd", None)
    old.item(FIRST, "no/name")
    old.item(SECOND)

    result = old.imported()

    project = old.bench.queue.views.progress(PROJECT).project
    assert len(project.title) == 500
    assert project.description.startswith("T" * 600)
    assert {"../../etc/passwd", FIRST} <= set(result.troubles)
    assert old.state(SECOND) is State.QUEUED


def test_valid_part_of_torn_reports_is_imported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.worker().progress(FIRST, "Whole", 10)
    old.worker().progress(FIRST, "Torn", 20)
    file = old.home / "handoffs" / f"{FIRST}_progress.json"
    file.write_bytes(file.read_bytes()[:-30])

    result = old.imported()

    assert [
        report.text for report in old.bench.queue.views.show(FIRST).history
    ] == ["Whole"]
    assert result.troubles[file.name].endswith(
        "Only the valid part was imported: 1 report."
    )


def test_imported_folder_is_not_changed(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.worker().complete(FIRST, "All of it")
    before = {
        file: file.read_bytes()
        for file in old.home.rglob("*")
        if file.is_file()
    }

    old.imported()

    assert {
        file: file.read_bytes()
        for file in old.home.rglob("*")
        if file.is_file()
    } == before


def test_other_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.Usage, match="neither a database nor a folder"):
        LegacyFolder(tmp_path)


def test_completed_item_keeps_deliverables_and_time(old: LegacyRoot) -> None:
    old.project()
    old.item(
        FIRST,
        status="completed",
        delivered='{"schema": "db.sql", "ports": [80, 443]}',
    )

    old.imported()

    item = old.bench.queue.views.show(FIRST).item
    assert item.deliverables == {"schema": "db.sql", "ports": "[80, 443]"}
    assert item.completed_at == moment_of(COMPLETED)


@pytest.mark.parametrize(
    ("delivered", "summary", "deliverables"),
    [
        ("All of it, in db.sql", "All of it, in db.sql", {}),
        (b"All of \xff it", "All of \ufffd it", {}),
        ('"All of it"', "All of it", {}),
        (
            '["db.sql", "", {"docs": "api.md"}]',
            "",
            {"1": "db.sql", "2": '{"docs": "api.md"}'},
        ),
        ("[" * 50_000, "[" * 50_000, {}),
        ("{}", "", {}),
        ("", "", {}),
    ],
    ids=[
        "text",
        "bytes",
        "JSON text",
        "list",
        "nested",
        "empty object",
        "empty",
    ],
)
def test_deliverables_of_any_form_are_imported(
    old: LegacyRoot,
    delivered: str | bytes,
    summary: str,
    deliverables: dict[str, str],
) -> None:
    old.project()
    old.item(FIRST, status="completed", delivered=delivered)

    result = old.imported()

    item = old.bench.queue.views.show(FIRST).item
    assert result.troubles == {}
    assert (item.state, item.summary, item.deliverables) == (
        State.COMPLETED,
        summary,
        deliverables,
    )


def test_completion_file_decides_when_item_was_completed(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(FIRST, status="completed", delivered="Something else")
    old.worker().complete(FIRST, "All of it")
    written = json.loads(old.file(f"{FIRST}_completion.json").read_text())[
        "completed_at"
    ]

    old.imported()

    item = old.bench.queue.views.show(FIRST).item
    assert (item.summary, item.completed_at) == (
        "All of it",
        moment_of(written),
    )


def test_completed_item_without_agent_is_reported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST, None, status="completed")

    result = old.imported()

    assert old.state(FIRST) is State.PENDING
    assert "it was completed" in result.troubles[FIRST]


@pytest.mark.parametrize(
    ("named", "taken"),
    [("chief", "chief"), ("../chief", "planner"), ("", "planner")],
)
def test_project_keeps_orchestrator_with_valid_name(
    old: LegacyRoot, named: str, taken: str
) -> None:
    old.project(orchestrator=named)

    old.imported()

    assert (
        old.bench.queue.views.progress(PROJECT).project.orchestrator == taken
    )


def test_expected_deliverables_are_imported_unless_default(
    old: LegacyRoot,
) -> None:
    old.package(
        FIRST, "ada", expected_deliverables=["A schema", "", {"docs": 1}]
    )
    old.package(SECOND, "ada", expected_deliverables=DEFAULT_DELIVERABLES)

    old.imported()

    first, second = (
        old.bench.queue.views.show(item).item for item in (FIRST, SECOND)
    )
    assert first.deliverables_expected == ("A schema", '{"docs": 1}')
    assert second.deliverables_expected == ()


def test_folder_in_place_of_file_is_reported(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(FIRST)
    old.worker().progress(FIRST, "Half of it", 50)
    old.worker().notes(FIRST, "Mine")
    strange = [
        f"handoffs/{FIRST}_completion.json",
        f"handoffs/{SECOND}_handoff.json",
        f"workspace/ada/{SECOND}_notes.md",
    ]
    for name in strange:
        (old.home / name).mkdir()
    (old.home / "workspace" / "README_notes.md").touch()

    result = old.imported()

    assert (result.reports, result.notes) == (1, 1)
    assert set(result.troubles) == {
        name.removeprefix("handoffs/") for name in strange
    }


def test_symbolic_links_are_reported_and_not_followed(
    old: LegacyRoot, tmp_path: Path
) -> None:
    old.project()
    old.item(FIRST)
    elsewhere = FileWorker(tmp_path / "elsewhere", "eve")
    elsewhere.handoffs.mkdir()
    elsewhere.progress(FIRST, "SECRET")
    elsewhere.notes(FIRST, "SECRET")
    old.file(f"{FIRST}_progress.json").symlink_to(
        elsewhere.handoffs / f"{FIRST}_progress.json"
    )
    old.worker().workspace.joinpath(f"{FIRST}_notes.md").symlink_to(
        elsewhere.workspace / f"{FIRST}_notes.md"
    )
    (old.home / "workspace" / "eve").symlink_to(elsewhere.workspace)

    result = old.imported()

    assert (result.items, result.reports, result.notes) == (1, 0, 0)
    assert set(result.troubles) == {
        f"{FIRST}_progress.json",
        f"workspace/ada/{FIRST}_notes.md",
        "workspace/eve",
    }
    assert all(
        "symbolic link" in message for message in result.troubles.values()
    )


def test_linked_database_is_reported_and_not_followed(old: LegacyRoot) -> None:
    old.project()
    (old.home / "orchestration.db").rename(old.home / "real.db")
    (old.home / "orchestration.db").symlink_to("real.db")

    result = old.imported()

    assert result.projects == 0
    assert "symbolic link" in result.troubles["orchestration.db"]


def test_each_bad_row_is_reported_by_id(old: LegacyRoot) -> None:
    old.project()
    for id_ in (FIRST, SECOND, THIRD):
        old.item(id_, None)
    old.database.execute(
        "UPDATE work_items SET requirements = '{' WHERE item_id IN (?, ?)",
        (FIRST, SECOND),
    )
    old.database.execute(
        "UPDATE work_items SET item_id = NULL WHERE item_id = ?", (THIRD,)
    )
    old.database.commit()

    result = old.imported()

    assert set(result.troubles) == {
        f"orchestration.db, work_items, {row}"
        for row in (FIRST, SECOND, "row 3")
    }


def test_notes_of_former_agent_are_imported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST, "bob")
    old.worker("ada").notes(FIRST, "From when it was mine")

    result = old.imported()

    assert (result.notes, result.troubles) == (1, {})
    assert [note.text for note in old.bench.agent("ada").notes(FIRST)] == [
        "From when it was mine"
    ]


def test_handoff_is_read_once(old: LegacyRoot) -> None:
    old.package(FIRST, "ada")
    predecessor = LegacyFolder(old.home)
    first = predecessor.packages
    old.file(f"{FIRST}_handoff.json").unlink()

    assert predecessor.packages is first
    assert [item.item_id for item in predecessor.items()] == [FIRST]


def test_import_in_place_copies_the_database_once(old: LegacyRoot) -> None:
    old.project()
    predecessor = LegacyFolder(old.home)

    names = [predecessor.keep_database(), predecessor.keep_database()]

    with closing(sqlite3.connect(old.home / BEFORE_IMPORT)) as copy:
        rows = copy.execute(
            "SELECT project_id, title FROM orchestration"
        ).fetchall()
    assert names == [BEFORE_IMPORT, ""]
    assert rows == [(PROJECT, "An old project")]
    assert sorted(path.name for path in old.home.iterdir()) == [
        "handoffs",
        "orchestration.db",
        BEFORE_IMPORT,
    ]


def test_database_that_cannot_be_copied_stops_import(old: LegacyRoot) -> None:
    old.database.execute("BEGIN EXCLUSIVE")

    with pytest.raises(errors.Usage, match="cannot be copied to"):
        LegacyFolder(old.home).keep_database()

    assert not (old.home / BEFORE_IMPORT).exists()


def test_invalid_database_is_not_copied(old: LegacyRoot) -> None:
    (old.home / "orchestration.db").write_bytes(b"none" * 1000)

    assert LegacyFolder(old.home).keep_database() == ""


@pytest.mark.parametrize("in_place", [True, False])
def test_import_command_names_the_database_copy(
    old: LegacyRoot, *, in_place: bool
) -> None:
    if not old.bench.url:
        pytest.skip("no other process reaches it")
    old.project()
    old.item(FIRST, status="completed", delivered="All of it")
    root = old.home.parent if in_place else old.root
    shell = Shell(
        root,
        {
            "TASKORCH_REDIS_URL": old.bench.url,
            "TASKORCH_NAMESPACE": old.bench.namespace,
        },
    )

    first = shell.orchestrate("import", str(old.home))
    second = shell.orchestrate("import", str(old.home), "--json").data()

    assert first.code == 0
    assert (
        (BEFORE_IMPORT in first.stderr)
        == (old.home / BEFORE_IMPORT).exists()
        == in_place
    )
    assert (second["items"], second["set_aside"]) == (0, "")
    assert (
        old.bench.queue.views.progress(PROJECT).project.orchestrator == "chief"
    )


def test_files_of_windows_editor_are_imported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.worker().notes(FIRST, "one\ntwo")
    notes = old.home / "workspace" / "ada" / f"{FIRST}_notes.md"
    for file in (notes, old.file(f"{FIRST}_handoff.json")):
        file.write_bytes(
            b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n")
        )

    result = old.imported()

    item = old.bench.queue.views.show(FIRST).item
    assert (result.troubles, item.context["stack"]) == ({}, "Python")
    assert [note.text for note in old.bench.agent().notes(FIRST)] == [
        "one\ntwo"
    ]


def test_numeric_times_in_database_are_imported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.database.execute("CREATE TABLE items AS SELECT * FROM work_items")
    old.database.execute("DROP TABLE work_items")
    old.database.execute(
        "ALTER TABLE items RENAME TO work_items"
    )  # of columns without a type
    old.database.execute("UPDATE work_items SET created_at = 1767323045.678")
    old.database.commit()

    result = old.imported()

    assert (
        result.troubles,
        old.bench.queue.views.show(FIRST).item.created_at,
    ) == (
        {},
        1_767_323_045_678,
    )


def test_text_with_nul_is_reported(old: LegacyRoot) -> None:
    old.project()
    old.item(FIRST)
    old.package(FIRST, "ada", provided_context={"stack": "a\0b"})

    result = old.imported()

    assert (
        result.troubles[FIRST]
        == "There is a NUL character in the context values. Remove it."
    )


def test_imported_completion_without_agent_completes_nothing(
    old: LegacyRoot,
) -> None:
    old.project()
    old.item(FIRST)
    old.file(f"{FIRST}_completion.json").write_text(
        json.dumps({"item_id": FIRST, "summary": "done"})
    )

    result = old.imported()

    assert old.state(FIRST) is State.QUEUED
    assert result.troubles[f"{FIRST}_completion.json"].startswith(
        "The file is not valid (it has no agent_id). None of it was imported: "
    )
