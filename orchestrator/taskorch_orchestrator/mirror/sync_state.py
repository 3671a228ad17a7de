"""What the sync job remembers of a root between its passes; all of it can be found again by a full pass.

.task-orchestrator/sync/state.db
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import time
from typing import Any

BUSY_TIMEOUT_S = 2.0
_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS changed (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, signature TEXT NOT NULL, keys TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rung (item TEXT PRIMARY KEY, sequence INTEGER NOT NULL, agent TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS torn (name TEXT PRIMARY KEY, signature TEXT NOT NULL, since REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS copies (name TEXT PRIMARY KEY, message TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS troubles (owner TEXT, name TEXT, message TEXT, PRIMARY KEY (owner, name)) WITHOUT ROWID;
"""


class SyncState:
    """The memory of one root's sync, in a database that several processes may use."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    @contextmanager
    def saved(self) -> Iterator[None]:
        """Keep what is done inside, all of it or nothing."""
        with self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield

    def fact(self, name: str) -> str:
        """Return a fact by its name, "" when it is not known."""
        row = self._row("SELECT value FROM facts WHERE name = ?", name)
        return str(row[0]) if row else ""

    def learn(self, name: str, value: str) -> None:
        """Keep a fact."""
        self._put("facts", name, value)

    def count(self, name: str, more: int) -> None:
        """Add to a number that is kept as a fact."""
        self.learn(name, str(int(self.fact(name) or 0) + more))

    def mark(self, ids: Iterable[str]) -> None:
        """Note items and projects whose files are to be looked at."""
        self._database.executemany(
            "INSERT OR IGNORE INTO changed VALUES (?)", [(id_,) for id_ in ids]
        )

    def changed(self, after: str, limit: int) -> list[str]:
        """Return some of those, in the order of their ids."""
        rows = self._database.execute(
            "SELECT id FROM changed WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )
        return [str(row[0]) for row in rows]

    def settle(self, ids: Iterable[str]) -> None:
        """Note that the files of these items and projects are as they should be."""
        self._database.executemany(
            "DELETE FROM changed WHERE id = ?", [(id_,) for id_ in ids]
        )

    def left(self) -> int:
        """Return how many items and projects are marked."""
        row = self._row("SELECT count(*) FROM changed")
        return int(row[0]) if row else 0

    def signatures(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """Return the signature that each file had when it was last looked at: of all files, or of some."""
        if names is None:
            return dict(self._database.execute("SELECT name, signature FROM files"))
        rows = [
            self._row("SELECT name, signature FROM files WHERE name = ?", name)
            for name in names
        ]
        return dict(row for row in rows if row)

    def keys(self, name: str) -> Sequence[str]:
        """Return the keys of the entries that a file had then."""
        row = self._row("SELECT keys FROM files WHERE name = ?", name)
        keys: list[str] = json.loads(row[0]) if row else []
        return keys

    def saw(self, name: str, signature: str, keys: Sequence[str] = ()) -> None:
        """Note how a file was when it was last looked at."""
        self._put("files", name, signature, json.dumps(keys))

    def lost(self, name: str) -> None:
        """Note that a file is gone."""
        self._database.execute("DELETE FROM files WHERE name = ?", (name,))

    def rung(self, item: str) -> tuple[int, str]:
        """Return for which assignment of an item its agent's bell was rung last, and for which agent."""
        row = self._row("SELECT sequence, agent FROM rung WHERE item = ?", item)
        return (int(row[0]), str(row[1])) if row else (0, "")

    def ring(self, item: str, sequence: int, agent: str) -> None:
        """Note that the bell was rung for an assignment."""
        self._put("rung", item, sequence, agent)

    def torn_since(self, name: str, signature: str) -> float:
        """Return when a torn file was first seen in this very state, in seconds since the epoch."""
        row = self._row(
            "SELECT since FROM torn WHERE name = ? AND signature = ?", name, signature
        )
        if row:
            return float(row[0])
        now = time()
        self._put("torn", name, signature, now)
        return now

    def whole(self, name: str) -> None:
        """Note that a file is not torn any more."""
        self._database.execute("DELETE FROM torn WHERE name = ?", (name,))

    def torn(self) -> list[str]:
        """Return the names of the files that are torn."""
        return [str(row[0]) for row in self._database.execute("SELECT name FROM torn")]

    def copied(self, name: str, message: str) -> None:
        """Note why a copy of a file was kept, and what was taken over of it."""
        self._put("copies", name, message)

    def copies(self) -> dict[str, str]:
        """Return the same of all copies."""
        return dict(self._database.execute("SELECT name, message FROM copies"))

    def removed_copy(self, name: str) -> None:
        """Note that somebody has removed a copy."""
        self._database.execute("DELETE FROM copies WHERE name = ?", (name,))

    def trouble(self, owner: str, name: str, message: str) -> None:
        """Note what is wrong with a file or a report; its owner is who will look at it again."""
        self._put("troubles", owner, name, message)

    def no_troubles(self, owner: str) -> None:
        """Forget what was wrong with all that an owner looks at again now."""
        self._database.execute("DELETE FROM troubles WHERE owner = ?", (owner,))

    def troubled(self) -> list[str]:
        """Return the owners of troubles."""
        return [
            str(row[0])
            for row in self._database.execute("SELECT DISTINCT owner FROM troubles")
        ]

    def troubles(self) -> dict[str, str]:
        """Return what is wrong, by the names of the files and reports."""
        return dict(
            self._database.execute("SELECT name, message FROM troubles ORDER BY name")
        )

    def _put(self, table: str, *values: object) -> None:
        places = ", ".join("?" * len(values))
        self._database.execute(
            f"INSERT OR REPLACE INTO {table} VALUES ({places})",  # noqa: S608  our own names
            values,
        )

    def _row(self, query: str, *values: str) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._database.execute(query, values).fetchone()
        return row


@contextmanager
def remembered(home: Path) -> Iterator[SyncState]:
    """Open the memory below `home`, the folder .task-orchestrator; one that proves to be damaged is removed.

    Raises sqlite3.OperationalError where it cannot be used now, another sqlite3.DatabaseError where it was damaged.
    """
    path = home / "sync" / "state.db"
    with _removed_if_damaged(path):
        database = _open(path)
        try:
            yield SyncState(database)
        finally:
            database.close()


@contextmanager
def _removed_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):
            path.unlink(missing_ok=True)
        raise


@contextmanager
def forgetful() -> Iterator[SyncState]:
    """Return a memory that is gone when it is left."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    try:
        database.executescript(_TABLES)
        yield SyncState(database)
    finally:
        database.close()


def _open(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        # A process that dies leaves it whole. A machine that does may not; all of it can be found again.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_TABLES)
    except sqlite3.Error:
        database.close()
        raise
    return database
