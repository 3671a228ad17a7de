"""`orchestration.db`: projects and items in SQLite, for queries of people."""

import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from taskorch.config import files
from taskorch.domain.item import Item, Project

from taskorch_orchestrator.mirror.file_times import local_time

NAME = "orchestration.db"
BUSY_TIMEOUT_S = 1.0
PROJECTS, ITEMS = "orchestration", "work_items"
#: Table -> its columns, the primary key first.
COLUMNS = {
    PROJECTS: (
        "project_id", "title", "description", "orchestrator_id", "created_at", "status",
    ),
    ITEMS: (
        "item_id", "project_id", "title", "description", "requirements", "assigned_to", "status", "dependencies",
        "created_at", "assigned_at", "completed_at", "deliverables",
    ),
}  # fmt: skip


class SqliteCopy:
    """The database of a root."""

    def __init__(self, home: Path) -> None:
        """Keep `orchestration.db` in `home`, the folder .task-orchestrator."""
        self._path = home / NAME

    def exists(self) -> bool:
        """Return whether there is a file, a folder or a link of that name."""
        return os.path.lexists(self._path)

    def write(
        self, projects: Iterable[Project], items: Iterable[Item]
    ) -> None:
        """Insert or update projects and items in one transaction.

        A file that is not a database is renamed to orchestration.db.damaged. Raises
        OSError for a symbolic link, and sqlite3.Error if it cannot be written now.
        """
        with self._opened() as database:
            database.executemany(
                _upsert(PROJECTS),
                [_project_row(project) for project in projects],
            )
            database.executemany(
                _upsert(ITEMS), [_item_row(item) for item in items]
            )

    def remove(self, projects: Iterable[str], items: Iterable[str]) -> None:
        """Delete the rows of projects and items in one transaction.

        Raises the errors of `write`.
        """
        with self._opened() as database:
            for table, ids in ((PROJECTS, projects), (ITEMS, items)):
                key, *_ = COLUMNS[table]
                database.executemany(
                    f"DELETE FROM {table} WHERE {key} = ?",  # noqa: S608  our own names
                    [(id_,) for id_ in ids],
                )

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Yield the database with its tables, in a transaction."""
        if self._path.is_symlink():
            raise OSError(
                errno.ELOOP, "it is a symbolic link, which is not followed"
            )
        self._keep_others_out()
        try:
            with self._transaction() as database:
                for table in COLUMNS:
                    database.execute(_create(table))
                yield database
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._path.replace(self._path.with_suffix(".db.damaged"))
            raise

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None
        )
        with closing(database), database:
            # One file, which anyone can copy. Redis has all of it, so no write waits
            # for the disk.
            database.execute("PRAGMA journal_mode = TRUNCATE")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN IMMEDIATE")
            yield database

    def _keep_others_out(self) -> None:
        """Make the file if it does not exist, and remove the rights of others.

        SQLite gives its journal the same mode.
        """
        mode = files.file_mode(self._path.parent)
        flags = (
            os.O_RDWR
            | os.O_CREAT
            | os.O_NOFOLLOW
            | os.O_NONBLOCK
            | os.O_CLOEXEC
        )
        descriptor = os.open(self._path, flags, mode)
        try:
            status = os.fstat(descriptor)
            is_open_to_others = status.st_mode & 0o077 & ~mode
            may_change = os.getuid() in (status.st_uid, 0)
            if is_open_to_others and may_change:
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def _create(table: str) -> str:
    key, *others = COLUMNS[table]
    columns = ", ".join([f"{key} TEXT PRIMARY KEY", *others])
    return f"CREATE TABLE IF NOT EXISTS {table} ({columns})"


def _upsert(table: str) -> str:
    """Return a statement that inserts a row, or updates it if a column has changed."""
    key, *others = COLUMNS[table]
    columns = ", ".join(COLUMNS[table])
    places = ", ".join("?" * len(COLUMNS[table]))
    changes = ", ".join(f"{name} = excluded.{name}" for name in others)
    old = ", ".join(f"{table}.{name}" for name in others)
    new = ", ".join(f"excluded.{name}" for name in others)
    return (
        f"INSERT INTO {table} ({columns}) VALUES ({places}) "  # noqa: S608  our own names
        f"ON CONFLICT ({key}) DO UPDATE SET {changes} WHERE ({old}) IS NOT ({new})"
    )


def _project_row(project: Project) -> tuple[str, ...]:
    return (
        project.id,
        project.title,
        project.description,
        project.orchestrator,
        local_time(project.created_at),
        project.status,
    )


def _item_row(item: Item) -> tuple[str | None, ...]:
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
