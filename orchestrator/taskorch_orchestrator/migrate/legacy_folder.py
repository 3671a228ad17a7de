"""The folder of the file-based predecessor: its database, handoffs and notes."""

import errno
import os
import re
import sqlite3
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from taskorch.config import root_folder
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.mirror import file_names, report_files
from taskorch_orchestrator.mirror.file_models import (
    LegacyItem,
    LegacyPackage,
    LegacyProject,
    NotValid,
)
from taskorch_orchestrator.mirror.handoff_folder import HandoffFolder
from taskorch_orchestrator.mirror.report_files import ReportFile
from taskorch_orchestrator.mirror.sqlite_copy import BUSY_TIMEOUT_S

#: The names of the database, the newest first.
DATABASES = ("orchestration.db", "tasks.db")
#: The sync job writes to the database, so the import keeps a copy of it.
BEFORE_IMPORT = f"{DATABASES[0]}.before-import"
HANDOFFS, WORKSPACE, NOTES = "handoffs", "workspace", "_notes.md"
_NOTE = re.compile(
    r"\n\n---\n(?P<written_at>[^\n]*)\n---\n(?P<text>.*?)(?=\n\n---\n[^\n]*\n---\n|\Z)",
    re.DOTALL,
)
Row = TypeVar("Row")


class LegacyNote(Frozen):
    """An entry of an agent's notes."""

    agent: str
    item: str
    written_at: str
    text: str


class LegacyFolder:
    """An existing folder. It is not changed, and no symbolic link is followed."""

    def __init__(self, place: Path) -> None:
        """Use the folder `place`, or the .task-orchestrator in it.

        Raises errors.Usage if neither has files of the predecessor.
        """
        below = place / root_folder.NAME
        self._home = below if below.is_dir() else place
        #: Name of a file or a row -> why it could not be read.
        self.troubles: dict[str, str] = {}
        if not any(
            (self._home / name).exists() for name in (*DATABASES, HANDOFFS)
        ):
            raise errors.Usage(
                reason=f"{place} has neither a database nor a folder handoffs/. "
                "Name the .task-orchestrator folder of the file-based system."
            )

    def is_at(self, home: Path) -> bool:
        """Return whether this is the folder `home` itself."""
        return home.exists() and self._home.samefile(home)

    def keep_database(self) -> str:
        """Copy the database, because the sync job writes to it; return the copy's name.

        Return "" if there is a copy already, or no such database. Raises errors.Usage
        if the copy cannot be made.
        """
        path, copy = self._home / DATABASES[0], self._home / BEFORE_IMPORT
        if path.is_symlink() or not path.is_file() or os.path.lexists(copy):
            return ""
        try:
            with TemporaryDirectory(
                dir=self._home, prefix=".import-"
            ) as folder:
                temporary = Path(folder, copy.name)
                _copy_database(path, temporary)
                temporary.rename(copy)
        except (OSError, sqlite3.OperationalError) as error:
            reason = f"{path} cannot be copied to {copy.name}: {error}"
            raise errors.Usage(reason=reason) from None
        except sqlite3.DatabaseError:
            # It is not a database. That is reported when its rows are read.
            return ""
        return copy.name

    def projects(self) -> list[LegacyProject]:
        """Return the projects of the database, and those that only handoffs name."""
        found = {
            project.project_id: project
            for project in self._rows(
                "orchestration", "project_id", LegacyProject.read
            )
        }
        for package in self.packages.values():
            id_ = package.project_context.project_id
            title = package.project_context.project_title
            found.setdefault(id_, LegacyProject(project_id=id_, title=title))
        return list(found.values())

    def items(self) -> list[LegacyItem]:
        """Return the items of the database, and those that only have a handoff."""
        found = {
            item.item_id: item
            for item in self._rows("work_items", "item_id", LegacyItem.read)
        }
        for package in self.packages.values():
            found.setdefault(package.item_id, LegacyItem.of(package))
        return list(found.values())

    @cached_property
    def packages(self) -> Mapping[str, LegacyPackage]:
        """The handoffs by the ids of their items."""
        found = {}
        for name in self._handoffs:
            if not name.endswith("_handoff.json"):
                continue
            try:
                data = self._read(HANDOFFS, name)
                package = LegacyPackage.read_json(data.removeprefix(BOM_UTF8))
            except (OSError, NotValid) as error:
                self.troubles[name] = _reason(error)
            else:
                found[package.item_id] = package
        return found

    def reports(self, item: str, agent: str) -> dict[str, ReportFile]:
        """Return the report files of an item; of a torn file, the valid part.

        `agent` is the agent of the item.
        """
        contents = {}
        for kind in file_names.KINDS:
            name = file_names.report(item, kind)
            if name in self._handoffs:
                try:
                    contents[kind] = self._report_file(kind, item, agent)
                except OSError as error:
                    self.troubles[name] = _reason(error)
        return contents

    def notes(self) -> Iterator[LegacyNote]:
        """Yield the notes of all agents."""
        for agent in self._names(WORKSPACE):
            for name in self._names(WORKSPACE, agent):
                if name.endswith(NOTES):
                    yield from self._notes_in(agent, name)

    def _notes_in(self, agent: str, name: str) -> Iterator[LegacyNote]:
        try:
            data = self._read(WORKSPACE, agent, name)
        except OSError as error:
            self.troubles[f"{WORKSPACE}/{agent}/{name}"] = _reason(error)
            return
        text = limits.normalised(data.decode(errors="replace"))
        for entry in _NOTE.finditer(text):
            yield LegacyNote(
                agent=agent,
                item=name.removesuffix(NOTES),
                written_at=entry["written_at"],
                text=entry["text"],
            )

    def _report_file(self, kind: str, item: str, agent: str) -> ReportFile:
        name = file_names.report(item, kind)
        data = self._read(HANDOFFS, name)
        try:
            return report_files.read(kind, item, data)
        except report_files.TornError as error:
            # The time of the file is the same when it is imported again.
            status = (self._home / HANDOFFS / name).lstat()
            at = status.st_mtime_ns // 1_000_000
            part = report_files.read_valid_part(kind, item, agent, data, at)
            imported = report_files.describe_import(part)
            self.troubles[name] = (
                f"The file is not valid ({error}). {imported}"
            )
            return part

    @cached_property
    def _handoffs(self) -> list[str]:
        return self._names(HANDOFFS)

    def _names(self, *folders: str) -> list[str]:
        """Return the sorted names in a folder; an empty list if it does not exist."""
        try:
            with self._folder(*folders) as descriptor:
                return sorted(os.listdir(descriptor))  # noqa: PTH208  a descriptor has no iterdir
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.troubles["/".join(folders)] = _reason(error)
            return []

    def _read(self, *path: str) -> bytes:
        """Return the content of a file. Raises OSError for a missing file or a link."""
        *folders, name = path
        with self._folder(*folders) as descriptor:
            folder = HandoffFolder(
                descriptor, descriptor, descriptor, is_new=False
            )
            file = folder.read(name)
        if file is None:
            raise FileNotFoundError(
                errno.ENOENT, os.strerror(errno.ENOENT), name
            )
        return file.data

    @contextmanager
    def _folder(self, *folders: str) -> Iterator[int]:
        """Open a folder below, step by step, so that no symbolic link is followed."""
        descriptor = os.open(
            self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        )
        try:
            for name in folders:
                flags = (
                    os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                )
                inner = os.open(name, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _rows(
        self, table: str, key: str, read: Callable[[object], Row]
    ) -> Iterator[Row]:
        """Yield the valid rows of a table of the newest database."""
        paths = [self._home / name for name in DATABASES]
        path = next((path for path in paths if path.exists()), None)
        if path is None:
            return
        try:
            with closing(_open(path)) as database:
                database.row_factory = sqlite3.Row
                cursor = database.execute(f"SELECT * FROM {table}")  # noqa: S608  our own names
                rows = [dict(row) for row in cursor]
        except (OSError, sqlite3.Error) as error:
            self.troubles[path.name] = _reason(error)
            return
        for number, row in enumerate(rows, 1):
            try:
                yield read(row)
            except NotValid as error:
                name = row.get(key) or f"row {number}"
                self.troubles[f"{path.name}, {table}, {name}"] = _reason(error)


def _open(path: Path) -> sqlite3.Connection:
    """Open a database for reading. Raises OSError for a symbolic link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path.name)
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
    )


def _copy_database(path: Path, copy: Path) -> None:
    with (
        closing(_open(path)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        # Unlike a backup, a read does not wait for a writer without a limit.
        source.execute("BEGIN")
        source.execute("SELECT * FROM sqlite_master").fetchall()
        source.backup(target)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        if error.errno == errno.ELOOP:
            return "it is a symbolic link, which is not followed"
        return error.strerror or str(error)
    return str(error)
