"""`orchestration.db`, a mirror in SQLite for people's queries: written in transactions, and never read back."""

import errno
import json
import os
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from taskorch.config import files
from taskorch.domain.item import Item, Project

from taskorch_orchestrator.mirror.file_models import local_time

NAME = "orchestration.db"
BUSY_TIMEOUT_S = 1.0
PROJECTS = (
    "project_id",
    "title",
    "description",
    "orchestrator_id",
    "created_at",
    "status",
)
ITEMS = (
    "item_id", "project_id", "title", "description", "requirements", "assigned_to", "status", "dependencies",
    "created_at", "assigned_at", "completed_at", "deliverables",
)  # fmt: skip


class SqliteCopy:
    """The database of a root."""

    def __init__(self, home: Path) -> None:
        """Keep `orchestration.db` in `home`, the folder .task-orchestrator."""
        self._path = home / NAME

    def is_there(self) -> bool:
        """Return whether there is such a file, or something in its place."""
        return os.path.lexists(self._path)

    def write(self, projects: Iterable[Project], items: Iterable[Item]) -> None:
        """Put projects and items into it in one transaction; rows that are the same stay as they are.

        What proves to be no database is set aside. Raises OSError for a link in its place, sqlite3.Error where it
        cannot be written now.
        """
        if self._path.is_symlink():
            raise OSError(errno.ELOOP, "it is a symbolic link, which is not followed")
        self._keep_others_out()
        try:
            with (
                closing(
                    sqlite3.connect(
                        self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None
                    )
                ) as database,
                database,
            ):
                # One file, for anybody to copy or read. Nothing in it is only there, so nothing waits for the disk.
                database.execute("PRAGMA journal_mode = TRUNCATE")
                database.execute("PRAGMA synchronous = OFF")
                database.execute("BEGIN IMMEDIATE")
                for table, columns in {
                    "orchestration": PROJECTS,
                    "work_items": ITEMS,
                }.items():
                    listed = ", ".join(columns).replace(
                        columns[0], f"{columns[0]} TEXT PRIMARY KEY", 1
                    )
                    database.execute(f"CREATE TABLE IF NOT EXISTS {table} ({listed})")
                database.executemany(
                    _upsert("orchestration", PROJECTS),
                    [_project(each) for each in projects],
                )
                database.executemany(
                    _upsert("work_items", ITEMS), [_item(each) for each in items]
                )
        except sqlite3.DatabaseError as error:
            if not isinstance(error, sqlite3.OperationalError):
                self._path.replace(self._path.with_suffix(".db.damaged"))
            raise

    def _keep_others_out(self) -> None:
        """Make the file if it does not exist, and take the rights of others off it; its journal gets the same mode."""
        mode = files.file_mode(self._path.parent)
        descriptor = os.open(
            self._path,
            os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            mode,
        )
        try:
            status = os.fstat(descriptor)
            if status.st_mode & 0o077 & ~mode and os.getuid() in (status.st_uid, 0):
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)


def _upsert(table: str, columns: tuple[str, ...]) -> str:
    rest, places = columns[1:], ", ".join("?" * len(columns))
    given, new = (
        ", ".join(f"{table}.{name}" for name in rest),
        ", ".join(f"excluded.{name}" for name in rest),
    )
    changes = ", ".join(f"{name} = excluded.{name}" for name in rest)
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places}) "  # noqa: S608  our own names
        f"ON CONFLICT ({columns[0]}) DO UPDATE SET {changes} WHERE ({given}) IS NOT ({new})"
    )


def _project(project: Project) -> tuple[str, ...]:
    created = local_time(project.created_at)
    return (
        project.id,
        project.title,
        project.description,
        project.orchestrator,
        created,
        project.status,
    )


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
