"""The sync job's memory of a root between passes. A full pass finds all of it again.

.task-orchestrator/sync/state.db
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

from taskorch.domain.frozen import Frozen
from taskorch.domain.mirror_record import RecordCursor

BUSY_TIMEOUT_S = 2.0
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (item TEXT PRIMARY KEY, project TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_of_project ON items (project);
CREATE TABLE IF NOT EXISTS purged (project TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, signature TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entries (name TEXT, key TEXT, PRIMARY KEY (name, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS additions (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS synced (
  item TEXT PRIMARY KEY, report TEXT NOT NULL, discovery TEXT NOT NULL, agent TEXT NOT NULL,
  completed_at INTEGER NOT NULL, package TEXT NOT NULL, files TEXT NOT NULL, has_messages INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rung (item TEXT PRIMARY KEY, sequence INTEGER NOT NULL, agent TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS torn (name TEXT PRIMARY KEY, signature TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS copies (name TEXT PRIMARY KEY, message TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS troubles (owner TEXT, name TEXT, message TEXT, PRIMARY KEY (owner, name)) WITHOUT ROWID;
"""


class FileEnd(Frozen):
    """The end of a file that the mirror wrote, to which it can append."""

    signature: str
    #: The time of the last entry: in ms since the epoch, and as the file has it.
    at: int = 0
    written_at: str = ""


class SyncedItem(Frozen):
    """An item whose files had all that Redis has, when a pass left them."""

    #: How far its reports and discoveries were read.
    cursor: RecordCursor
    agent: str
    completed_at: int
    #: A digest of its handoff package, without messages and what is of the moment.
    package: str
    #: Kind -> the file; a kind without a file is missing.
    files: Mapping[str, FileEnd]
    #: Whether its package has messages.
    has_messages: bool


class SyncState:
    """The memory of one root, in a database that several processes may use."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Save everything that is changed inside the block, or nothing of it."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield

    def fact(self, name: str) -> str:
        """Return a fact by its name; "" if it is not known."""
        row = self._row("SELECT value FROM facts WHERE name = ?", name)
        return str(row[0]) if row else ""

    def set_fact(self, name: str, value: str) -> None:
        """Save a fact."""
        self._put("facts", name, value)

    def add_to_fact(self, name: str, number: int) -> None:
        """Add to a number that is saved as a fact."""
        before = int(self.fact(name) or 0)
        self.set_fact(name, str(before + number))

    def mark(self, ids: Iterable[str]) -> None:
        """Mark items and projects whose files a pass must look at."""
        self._database.executemany(
            "INSERT OR IGNORE INTO changed VALUES (?)", [(id_,) for id_ in ids]
        )

    def unmark(self, ids: Iterable[str]) -> None:
        """Remove the mark of items and projects whose files are in sync."""
        self._database.executemany(
            "DELETE FROM changed WHERE id = ?", [(id_,) for id_ in ids]
        )

    def marked(self, after: str, limit: int) -> list[str]:
        """Return at most `limit` marked ids, in order, that follow the id `after`."""
        rows = self._database.execute(
            "SELECT id FROM changed WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [str(row[0]) for row in rows]

    def add_items(self, projects: Mapping[str, str]) -> None:
        """Save the projects of items, by the ids of the items."""
        self._database.executemany(
            "INSERT OR IGNORE INTO items VALUES (?, ?)", projects.items()
        )

    def projects(self) -> list[str]:
        """Return the projects whose items are known."""
        rows = self._database.execute("SELECT DISTINCT project FROM items")
        return [str(row[0]) for row in rows]

    def mark_purged(self, project: str) -> None:
        """Save that a project was purged, and mark it and its items."""
        self._put("purged", project)
        self.mark([project])
        self._database.execute(
            "INSERT OR IGNORE INTO changed SELECT item FROM items WHERE project = ?",
            (project,),
        )

    def purged(self, ids: Iterable[str]) -> list[str]:
        """Return the items and projects, among some ids, that were purged."""
        query = (
            "SELECT ?1 WHERE EXISTS (SELECT 1 FROM purged WHERE project = ?1) OR EXISTS "
            "(SELECT 1 FROM items JOIN purged USING (project) WHERE item = ?1)"
        )
        return [id_ for id_ in ids if self._row(query, id_)]

    def forget_purged_item(self, item: str) -> None:
        """Forget an item of a purged project."""
        for table in ("items", "rung", "synced"):
            self._database.execute(
                f"DELETE FROM {table} WHERE item = ?",  # noqa: S608  our own names
                (item,),
            )

    def forget_purge(self, project: str) -> None:
        """Forget that a project was purged: nothing is left of it, or it is back."""
        self._database.execute(
            "DELETE FROM purged WHERE project = ?", (project,)
        )

    def has_items(self, project: str) -> bool:
        """Return whether items of a project are known."""
        query = "SELECT 1 FROM items WHERE project = ? LIMIT 1"
        return self._row(query, project) is not None

    def number_marked(self) -> int:
        """Return the number of marked items and projects."""
        row = self._row("SELECT count(*) FROM changed")
        return int(row[0]) if row else 0

    def signatures(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the saved signatures of all files, or of the named ones."""
        if names is None:
            return dict(
                self._database.execute("SELECT name, signature FROM files")
            )
        query = "SELECT name, signature FROM files WHERE name = ?"
        rows = [self._row(query, name) for name in names]
        return dict(row for row in rows if row)

    def keys(self, name: str) -> set[str]:
        """Return the saved keys of the entries of a file."""
        rows = self._database.execute(
            "SELECT key FROM entries WHERE name = ?", (name,)
        )
        return {str(row[0]) for row in rows}

    def add_keys(self, name: str, keys: Iterable[str]) -> None:
        """Save the keys of entries that were added to a file."""
        self._database.executemany(
            "INSERT OR IGNORE INTO entries VALUES (?, ?)",
            [(name, key) for key in keys],
        )

    def save_file(self, name: str, signature: str) -> None:
        """Save the signature of a file."""
        self._put("files", name, signature)

    def forget_file(self, name: str) -> None:
        """Forget a file that is gone, its entries and its additions."""
        for table in ("files", "entries", "additions"):
            self._database.execute(
                f"DELETE FROM {table} WHERE name = ?",  # noqa: S608  our own names
                (name,),
            )

    def save_additions(self, name: str) -> None:
        """Save that a file has something that Redis does not have."""
        self._put("additions", name)

    def has_additions(self, name: str) -> bool:
        """Return whether a file has something that Redis does not have."""
        query = "SELECT 1 FROM additions WHERE name = ?"
        return self._row(query, name) is not None

    def synced(self, item: str) -> SyncedItem | None:
        """Return what the files of an item had; None if they must be read."""
        row = self._row("SELECT * FROM synced WHERE item = ?", item)
        if not row:
            return None
        _, report, discovery, agent, completed_at, package, files, messages = (
            row
        )
        ends = json.loads(files)
        return SyncedItem(
            cursor=RecordCursor(report=report, discovery=discovery),
            has_messages=bool(messages),
            agent=agent,
            completed_at=completed_at,
            package=package,
            files={
                kind: FileEnd(
                    signature=signature, at=at, written_at=written_at
                )
                for kind, (signature, at, written_at) in ends.items()
            },
        )

    def save_synced(self, item: str, synced: SyncedItem) -> None:
        """Save what the files of an item have."""
        ends = {
            kind: (end.signature, end.at, end.written_at)
            for kind, end in synced.files.items()
        }
        cursor = synced.cursor
        self._put(
            "synced",
            item,
            cursor.report,
            cursor.discovery,
            synced.agent,
            synced.completed_at,
            synced.package,
            json.dumps(ends),
            synced.has_messages,
        )

    def forget_synced(self, item: str) -> None:
        """Let the next pass read all files of an item."""
        self._database.execute("DELETE FROM synced WHERE item = ?", (item,))

    def forget_all_synced(self) -> None:
        """Let the next pass read all files of the items that it looks at."""
        self._database.execute("DELETE FROM synced")

    def notified(self, item: str) -> tuple[int, str]:
        """Return the last assignment that was notified for an item, and its agent.

        The assignment is 0 if there was none, or if the notice was withdrawn unread.
        """
        row = self._row(
            "SELECT sequence, agent FROM rung WHERE item = ?", item
        )
        if not row:
            return 0, ""
        sequence, agent = row
        return int(sequence), str(agent)

    def set_notified(self, item: str, sequence: int, agent: str) -> None:
        """Save that an agent was notified of an assignment."""
        self._put("rung", item, sequence, agent)

    def torn_since(self, name: str, signature: str) -> float:
        """Return when a torn file was first seen with this signature.

        The time is in seconds since the epoch.
        """
        query = "SELECT since FROM torn WHERE name = ? AND signature = ?"
        row = self._row(query, name, signature)
        if row:
            return float(row[0])
        now = time()
        self._put("torn", name, signature, now)
        return now

    def clear_torn(self, name: str) -> None:
        """Save that a file is not torn, or is gone."""
        self._database.execute("DELETE FROM torn WHERE name = ?", (name,))

    def torn_files(self) -> list[str]:
        """Return the names of the files that are torn."""
        rows = self._database.execute("SELECT name FROM torn")
        return [str(row[0]) for row in rows]

    def save_copy(self, name: str, message: str) -> None:
        """Save why a copy of a file was kept."""
        self._put("copies", name, message)

    def copies(self) -> dict[str, str]:
        """Return the names of the copies that were kept, and why."""
        return dict(self._database.execute("SELECT name, message FROM copies"))

    def forget_copy(self, name: str) -> None:
        """Forget a copy that the user has removed."""
        self._database.execute("DELETE FROM copies WHERE name = ?", (name,))

    def add_trouble(self, owner: str, name: str, message: str) -> None:
        """Save a trouble with a file or report, until its owner is looked at again."""
        self._put("troubles", owner, name, message)

    def has_troubles(self, owner: str, *, besides: str) -> bool:
        """Return whether an owner has troubles with another message than `besides`."""
        query = (
            "SELECT 1 FROM troubles WHERE owner = ? AND message != ? LIMIT 1"
        )
        return self._row(query, owner, besides) is not None

    def clear_troubles(self, owner: str) -> None:
        """Forget the troubles of an owner that is looked at again."""
        self._database.execute(
            "DELETE FROM troubles WHERE owner = ?", (owner,)
        )

    def troubles(self) -> dict[str, str]:
        """Return all troubles by the names of the files and reports."""
        return dict(
            self._database.execute(
                "SELECT name, message FROM troubles ORDER BY name"
            )
        )

    def owners_of_troubles(self) -> list[str]:
        """Return the owners of troubles, each once."""
        rows = self._database.execute("SELECT DISTINCT owner FROM troubles")
        return [str(row[0]) for row in rows]

    def _put(self, table: str, *values: object) -> None:
        places = ", ".join("?" * len(values))
        self._database.execute(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})",  # noqa: S608  our own names
            values,
        )

    def _row(self, query: str, *values: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._database.execute(
            query, values
        ).fetchone()
        return row


@contextmanager
def opened(home: Path) -> Iterator[SyncState]:
    """Open the memory in `home`, the folder .task-orchestrator; remove a damaged one.

    Raises sqlite3.OperationalError if it cannot be used now, and another
    sqlite3.DatabaseError if it was damaged.
    """
    path = home / "sync" / "state.db"
    try:
        database = _connect(path)
        try:
            yield SyncState(database)
        finally:
            database.close()
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError:
        path.unlink(missing_ok=True)
        raise


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(
        path, timeout=BUSY_TIMEOUT_S, isolation_level=None
    )
    try:
        # The file survives a killed process. It may not survive a power failure, but
        # a full pass finds everything again.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = OFF")
        _drop_old_table(database)
        database.executescript(_TABLES)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _drop_old_table(database: sqlite3.Connection) -> None:
    """Drop the files as earlier versions saved them: all of them are read again."""
    columns = database.execute("SELECT name FROM pragma_table_info('files')")
    if ("keys",) in columns.fetchall():
        database.execute("DROP TABLE files")
