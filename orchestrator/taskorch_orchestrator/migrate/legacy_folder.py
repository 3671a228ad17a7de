"""What stands in the folder of the file-based predecessor: projects, items, packages, reports and notes."""

import errno
import os
import re
import sqlite3
from codecs import BOM_UTF8
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from taskorch.config import root_folder
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.mirror import report_files
from taskorch_orchestrator.mirror.file_models import (
    LegacyItem,
    LegacyPackage,
    LegacyProject,
)
from taskorch_orchestrator.mirror.handoff_folder import HandoffFolder
from taskorch_orchestrator.mirror.report_files import KINDS, ReportFile
from taskorch_orchestrator.mirror.sqlite_copy import BUSY_TIMEOUT_S

#: What the database was called, the newest name first.
DATABASES = ("orchestration.db", "tasks.db")
#: What the sync job is going to write to is kept as it was.
BEFORE_IMPORT = f"{DATABASES[0]}.before-import"
HANDOFFS, WORKSPACE, NOTES = "handoffs", "workspace", "_notes.md"
_NOTE = re.compile(
    r"\n\n---\n(?P<written_at>[^\n]*)\n---\n(?P<text>.*?)(?=\n\n---\n[^\n]*\n---\n|\Z)",
    re.DOTALL,
)
Row = TypeVar("Row", bound=BaseModel)


class LegacyNote(Frozen):
    """An entry of an agent's notes."""

    agent: str
    item: str
    written_at: str
    text: str


class LegacyFolder:
    """An existing folder: nothing in it is changed, and no symbolic link in it is followed."""

    def __init__(self, place: Path) -> None:
        """Take the folder itself, or the one that it is in. Raises errors.Usage where there is none."""
        below = place / root_folder.NAME
        self._home = below if below.is_dir() else place
        #: What could not be read, and why.
        self.troubles: dict[str, str] = {}
        if not any((self._home / name).exists() for name in (*DATABASES, HANDOFFS)):
            raise errors.Usage(
                reason=f"{place} is no folder of the predecessor: it has no database and no handoffs/."
            )

    def is_at(self, home: Path) -> bool:
        """Return whether this is the folder `home` itself."""
        return home.exists() and self._home.samefile(home)

    def set_aside(self) -> str:
        """Keep a copy of the database that the sync job is going to write to; return its name.

        It is made once: "" where it is there already, or there is no such database. Raises errors.Usage where it cannot
        be made.
        """
        path, aside = self._home / DATABASES[0], self._home / BEFORE_IMPORT
        if path.is_symlink() or not path.is_file() or os.path.lexists(aside):
            return ""
        try:
            with TemporaryDirectory(dir=self._home, prefix=".import-") as folder:
                copy = Path(folder, aside.name)
                with (
                    closing(_opened(path)) as database,
                    closing(sqlite3.connect(copy)) as target,
                ):
                    # Unlike a backup, a read does not wait for ever for who writes.
                    database.execute("BEGIN")
                    database.execute("SELECT * FROM sqlite_master").fetchall()
                    database.backup(target)
                copy.rename(aside)
        except (OSError, sqlite3.OperationalError) as error:
            raise errors.Usage(
                reason=f"{path} cannot be set aside as {aside.name}: {error}"
            ) from None
        except sqlite3.DatabaseError:  # it is none: that is told when its rows are read
            return ""
        return aside.name

    def projects(self) -> list[LegacyProject]:
        """Return the projects: those of the database, and those that only packages name."""
        found = {
            project.project_id: project
            for project in self._rows("orchestration", "project_id", LegacyProject)
        }
        for package in self.packages.values():
            context = package.project_context
            found.setdefault(
                context.project_id,
                LegacyProject(
                    project_id=context.project_id, title=context.project_title
                ),
            )
        return list(found.values())

    def items(self) -> list[LegacyItem]:
        """Return the items: those of the database, and those that only packages name."""
        found = {
            item.item_id: item
            for item in self._rows("work_items", "item_id", LegacyItem)
        }
        for package in self.packages.values():
            found.setdefault(package.item_id, LegacyItem.of(package))
        return list(found.values())

    @cached_property
    def packages(self) -> dict[str, LegacyPackage]:
        """The handoff packages, by the ids of their items."""
        found = {}
        for name in self._handoffs:
            if name.endswith("_handoff.json"):
                try:
                    package = LegacyPackage.model_validate_json(
                        self._read(HANDOFFS, name).removeprefix(BOM_UTF8)
                    )
                except (OSError, ValidationError) as error:
                    self.troubles[name] = _reason(error)
                else:
                    found[package.item_id] = package
        return found

    def reports(self, item: str, agent: str) -> dict[str, ReportFile]:
        """Return what agents reported on an item; what is torn is read as far as it goes."""
        contents = {}
        for kind in KINDS:
            name = report_files.name(item, kind)
            if name in self._handoffs:
                try:
                    contents[kind] = self._content(kind, item, agent)
                except OSError as error:
                    self.troubles[name] = _reason(error)
        return contents

    def notes(self) -> Iterator[LegacyNote]:
        """Yield the notes of all agents."""
        for agent in self._names(WORKSPACE):
            for name in self._names(WORKSPACE, agent):
                if name.endswith(NOTES):
                    yield from self._notes(agent, name)

    def _notes(self, agent: str, name: str) -> Iterator[LegacyNote]:
        try:
            text = limits.normalised(
                self._read(WORKSPACE, agent, name).decode(errors="replace")
            )
        except OSError as error:
            self.troubles[f"{WORKSPACE}/{agent}/{name}"] = _reason(error)
            return
        item = name.removesuffix(NOTES)
        for entry in _NOTE.finditer(text):
            yield LegacyNote(
                agent=agent,
                item=item,
                written_at=entry["written_at"],
                text=entry["text"],
            )

    def _content(self, kind: str, item: str, agent: str) -> ReportFile:
        name = report_files.name(item, kind)
        data = self._read(HANDOFFS, name)
        try:
            return report_files.read(kind, item, data)
        except report_files.TornError as error:
            at = (
                self._home / HANDOFFS / name
            ).lstat().st_mtime_ns // 1_000_000  # the same at the next import
            content = report_files.salvaged(kind, item, agent, data, at)
            self.troubles[name] = (
                f"it is not valid ({error}). {report_files.outcome(content)}"
            )
            return content

    @cached_property
    def _handoffs(self) -> list[str]:
        return self._names(HANDOFFS)

    def _names(self, *folders: str) -> list[str]:
        """Return what stands in a folder; nothing for what is no folder."""
        try:
            with self._folder(*folders) as descriptor:
                return sorted(os.listdir(descriptor))  # noqa: PTH208  a descriptor has no iterdir
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.troubles["/".join(folders)] = _reason(error)
            return []

    def _read(self, *path: str) -> bytes:
        """Return what a file holds; raises OSError for what is none, or stands behind a symbolic link."""
        *folders, name = path
        with self._folder(*folders) as descriptor:
            file = HandoffFolder(descriptor, descriptor, is_new=False).read(name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return file.data

    @contextmanager
    def _folder(self, *folders: str) -> Iterator[int]:
        """Open a folder below, each from the one that it is in, so that none of them is a symbolic link."""
        descriptor = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in folders:
                flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                inner = os.open(name, flags, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor
        finally:
            os.close(descriptor)

    def _rows(self, table: str, key: str, kind: type[Row]) -> Iterator[Row]:
        path = next(
            (self._home / name for name in DATABASES if (self._home / name).exists()),
            None,
        )
        if path is None:
            return
        try:
            with closing(_opened(path)) as database:
                database.row_factory = sqlite3.Row
                rows = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608  our own names
        except (OSError, sqlite3.Error) as error:
            self.troubles[path.name] = _reason(error)
            return
        for number, row in enumerate(rows, 1):
            try:
                yield kind.model_validate(row)
            except ValidationError as error:
                self.troubles[
                    f"{path.name}, {table}, {row.get(key) or f'row {number}'}"
                ] = _reason(error)


def _opened(path: Path) -> sqlite3.Connection:
    """Open a database to read it; raises OSError for a symbolic link."""
    if path.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path.name)
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S
    )


def _reason(error: OSError | sqlite3.Error | ValidationError) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    if isinstance(error, OSError):
        is_link = error.errno == errno.ELOOP
        return (
            "it is a symbolic link, which is not followed"
            if is_link
            else error.strerror or str(error)
        )
    return str(error)
