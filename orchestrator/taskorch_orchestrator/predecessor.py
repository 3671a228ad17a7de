"""What stands in the folder of the file-based predecessor: projects, items, packages, reports and notes."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from taskorch import errors, folder
from taskorch.models import OldItem, OldPackage, OldProject

from taskorch_orchestrator import report_files
from taskorch_orchestrator.report_files import KINDS, Content

#: What the database was called, the newest name first.
DATABASES = ("orchestration.db", "tasks.db")
_NOTE = re.compile(r"\n\n---\n(?P<written_at>[^\n]*)\n---\n(?P<text>.*?)(?=\n\n---\n[^\n]*\n---\n|\Z)", re.DOTALL)
Row = TypeVar("Row", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class OldNote:
    """An entry of an agent's notes."""

    agent: str
    item: str
    written_at: str
    text: str


class Predecessor:
    """An existing folder; nothing in it is changed."""

    def __init__(self, place: Path) -> None:
        """Take the folder itself, or the one that it is in. Raises errors.Usage where there is none."""
        below = place / folder.NAME
        self._home = below if below.is_dir() else place
        #: What could not be read, and why.
        self.troubles: dict[str, str] = {}
        if not any((self._home / name).exists() for name in (*DATABASES, "handoffs")):
            raise errors.Usage(reason=f"{place} is no folder of the predecessor: it has no database and no handoffs/.")

    def projects(self) -> list[OldProject]:
        """Return the projects: those of the database, and those that only packages name."""
        found = {project.project_id: project for project in self._rows("orchestration", OldProject)}
        for package in self.packages().values():
            context = package.project_context
            found.setdefault(context.project_id, OldProject(project_id=context.project_id, title=context.project_title))
        return list(found.values())

    def items(self) -> list[OldItem]:
        """Return the items: those of the database, and those that only packages name."""
        found = {item.item_id: item for item in self._rows("work_items", OldItem)}
        for package in self.packages().values():
            found.setdefault(package.item_id, OldItem.of(package))
        return list(found.values())

    def packages(self) -> dict[str, OldPackage]:
        """Return the handoff packages, by the ids of their items."""
        found = {}
        for file in sorted((self._home / "handoffs").glob("*_handoff.json")):
            try:
                package = OldPackage.model_validate_json(file.read_bytes())
            except (OSError, ValidationError) as error:
                self.troubles[file.name] = _reason(error)
            else:
                found[package.item_id] = package
        return found

    def reports(self, item: str, agent: str) -> dict[str, Content]:
        """Return what agents reported on an item; what is torn is read as far as it goes."""
        contents = {}
        for kind in KINDS:
            name = report_files.name(item, kind)
            with suppress(FileNotFoundError):
                data = (self._home / "handoffs" / name).read_bytes()
                try:
                    contents[kind] = report_files.read(kind, item, data)
                except report_files.TornError as error:
                    contents[kind] = report_files.salvaged(kind, item, agent, data)
                    self.troubles[name] = f"it is torn ({error}); what is valid of it was taken over"
        return contents

    def notes(self) -> Iterator[OldNote]:
        """Yield the notes of all agents."""
        for file in sorted((self._home / "workspace").glob("*/*_notes.md")):
            text = file.read_text(encoding="utf-8", errors="replace")
            for entry in _NOTE.finditer(text):
                item, agent = file.name.removesuffix("_notes.md"), file.parent.name
                yield OldNote(agent=agent, item=item, written_at=entry["written_at"], text=entry["text"])

    def _rows(self, table: str, kind: type[Row]) -> Iterator[Row]:
        path = next((self._home / name for name in DATABASES if (self._home / name).exists()), None)
        if path is None:
            return
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
                database.row_factory = sqlite3.Row
                rows = [dict(row) for row in database.execute(f"SELECT * FROM {table}")]  # noqa: S608  our own names
        except sqlite3.Error as error:
            self.troubles[path.name] = str(error)
            return
        for row in rows:
            try:
                yield kind.model_validate(row)
            except ValidationError as error:
                self.troubles[f"{path.name}, {table}"] = _reason(error)


def _reason(error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
