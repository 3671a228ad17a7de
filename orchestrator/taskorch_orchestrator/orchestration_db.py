"""`orchestration.db`, a mirror in SQLite for people's queries: written in transactions, and never read back."""

import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from weakref import finalize

from taskorch.item import Item, Project
from taskorch.models import local_time

NAME = "orchestration.db"
BUSY_TIMEOUT_S = 5.0
PROJECTS = ("project_id", "title", "description", "orchestrator_id", "created_at", "status")
ITEMS = (
    "item_id", "project_id", "title", "description", "requirements", "assigned_to", "status", "dependencies",
    "created_at", "assigned_at", "completed_at", "deliverables",
)  # fmt: skip


class OrchestrationDb:
    """The database of a root; it stays open from one pass to the next."""

    def __init__(self, home: Path) -> None:
        """Keep `orchestration.db` in `home`, the folder .task-orchestrator."""
        self._path = home / NAME
        self._database: sqlite3.Connection | None = None
        self._inode = 0

    def is_there(self) -> bool:
        """Return whether there is such a file."""
        return self._path.exists()

    def write(self, projects: Iterable[Project], items: Iterable[Item]) -> None:
        """Put projects and items into it; rows that are the same stay as they are.

        Raises OSError for a link in its place, sqlite3.Error for what is no such database.
        """
        database = self._opened()
        with database:
            database.execute("BEGIN IMMEDIATE")
            database.executemany(_upsert("orchestration", PROJECTS), [_project(each) for each in projects])
            database.executemany(_upsert("work_items", ITEMS), [_item(each) for each in items])

    def _opened(self) -> sqlite3.Connection:
        """Return the open database, opened again where the file is another one by now."""
        if self._path.is_symlink():
            raise OSError(0, "it is a symbolic link, which is not followed")
        if self._database is None or not self.is_there() or self._path.stat().st_ino != self._inode:
            self._database = _connected(self._path)
            self._inode = self._path.stat().st_ino
            finalize(self, self._database.close)
        return self._database


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        # Readers never wait for the writer, nor the writer for them.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        for table, columns in {"orchestration": PROJECTS, "work_items": ITEMS}.items():
            listed = ", ".join(columns).replace(columns[0], f"{columns[0]} TEXT PRIMARY KEY", 1)
            database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed})")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _upsert(table: str, columns: tuple[str, ...]) -> str:
    rest, places = columns[1:], ", ".join("?" * len(columns))
    given, new = ", ".join(f"{table}.{name}" for name in rest), ", ".join(f"excluded.{name}" for name in rest)
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608  our own names
        f"ON CONFLICT ({columns[0]}) DO UPDATE SET {changes} WHERE ({given}) IS NOT ({new})"
    )


def _project(project: Project) -> tuple[str, ...]:
    created = local_time(project.created_at)
    return (project.id, project.title, project.description, project.orchestrator, created, project.status)


def _item(item: Item) -> tuple[str | None, ...]:
    return (
        item.id,
        item.project,
        item.title,
        item.description,
        json.dumps(item.requirements),
        item.agent or None,
        item.state,
        json.dumps(item.depends_on),
        local_time(item.created_at),
        local_time(item.assigned_at) if item.assigned_at else None,
        local_time(item.completed_at) if item.completed_at else None,
        json.dumps(item.deliverables) if item.completed_at else None,
    )
