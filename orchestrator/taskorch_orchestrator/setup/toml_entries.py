"""Our tables in a TOML file that other programs rewrite.

Codex drops and moves comments, and puts its own tables between ours, so comments cannot
mark our part. Instead, the file is read statement by statement, and the names of tables
and keys tell which statements are ours. New tables follow an empty line; a text without
a line break at its end gets none after them either, so that it can be restored. Each
change is parsed again, and refused if anything else changed.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from math import isnan
from typing import NamedTuple, cast

from taskorch_orchestrator.setup.config_entry import ConfigEntry, Json
from taskorch_orchestrator.setup.managed_file import UnsupportedFile
from taskorch_orchestrator.setup.text_block import MARK, newline_of

Document = dict[str, Json]

#: Comments that earlier versions put around our tables.
_OLD_MARKS = {f"# {MARK}: begin (orchestrate setup)", f"# {MARK}: end"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_BYTE_ORDER_MARK = "\ufeff"
#: The one NaN of all documents. Values are compared with those of another document, and
#: Python finds two NaN equal only in containers, and only if they are the same object.
_NAN = float("nan")


class Statement(NamedTuple):
    """The lines of a header, a key with its value, a comment, or an empty line."""

    text: str
    #: The names that lead to its value; () for a comment or an empty line.
    path: tuple[str, ...]

    @property
    def is_blank(self) -> bool:
        """Whether it is an empty line."""
        return not self.text.strip()

    @property
    def is_header(self) -> bool:
        """Whether a table starts here."""
        return self.text.lstrip().startswith("[")

    @property
    def is_old_mark(self) -> bool:
        """Whether it is a comment that an earlier version put around our tables."""
        return self.text.strip() in _OLD_MARKS

    def belongs_to(self, entries: Sequence[ConfigEntry]) -> bool:
        """Return whether it is part of an entry, or an old mark."""
        return self.is_old_mark or any(
            self.path[: len(entry.labels)] == entry.labels for entry in entries
        )


class TomlEntries:
    """Our tables in one file."""

    def __init__(
        self, *entries: ConfigEntry, obsolete: Sequence[ConfigEntry] = ()
    ) -> None:
        """Each entry is a table of plain values; its labels are the table's name.

        `obsolete` tables of earlier versions are removed.
        """
        self._entries = entries
        self._obsolete = obsolete

    def has(self, text: str) -> bool:
        """Return whether all tables are there and complete, and no obsolete one."""
        document = _parse(text)
        if _present(document, self._obsolete):
            return False
        return all(
            _is_complete(_value_of(document, entry), entry)
            for entry in self._entries
        )

    def added(self, text: str | None) -> str:
        """Return the text with the tables. Additions of others stay."""
        if text is not None:
            text = _without_entries(text, self._obsolete)
        if text is None:
            return "\n\n".join(map(_table, self._entries)) + "\n"
        document = _parse(text)
        changed = text
        missing = []
        expected = []
        for entry in self._entries:
            value = _value_of(document, entry)
            expected.append(entry.completed({} if value is None else value))
            if value is None:
                missing.append(_table(entry))
            elif not _is_complete(value, entry):
                if not entry.is_in(value):
                    raise UnsupportedFile(f"has another {_name(entry)}")
                changed = _with_missing_values(changed, entry, value)
        changed = _with_tables(changed, missing)
        after = _parse(changed, "conflicts with our tables")
        if [_value_of(after, entry) for entry in self._entries] != expected:
            raise UnsupportedFile("conflicts with our tables")
        if _others(after, self._entries) != _others(document, self._entries):
            raise UnsupportedFile("conflicts with our tables")
        return changed

    def obsolete_in(self, text: str) -> list[Json]:
        """Return the values of the obsolete tables that a text has."""
        document = _parse(text)
        return [
            _value_of(document, entry)
            for entry in _present(document, self._obsolete)
        ]

    def removed(self, text: str) -> str | None:
        """Return the text without our tables; None if there was no file before.

        A table of others with the same name stays.
        """
        return _without_entries(text, [*self._entries, *self._obsolete])


def _parse(text: str, problem: str = "is not valid TOML") -> Document:
    try:
        return cast(
            "Document",
            tomllib.loads(
                text.removeprefix(_BYTE_ORDER_MARK), parse_float=_float
            ),
        )
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UnsupportedFile(f"{problem} ({error})") from None


def _float(text: str) -> float:
    value = float(text)
    return _NAN if isnan(value) else value


def _value_of(document: Document, entry: ConfigEntry) -> Json:
    """Return the value under the name of an entry, or None."""
    value: Json = document
    for label in entry.labels:
        value = value.get(str(label)) if isinstance(value, dict) else None
    return value


def _is_complete(value: Json, entry: ConfigEntry) -> bool:
    return entry.is_in(value) and entry.completed(value) == value


def _with_missing_values(text: str, entry: ConfigEntry, value: Json) -> str:
    """Return the text with an existing table completed."""
    theirs, newline = cast("Document", value), newline_of(text)
    whole = cast("Document", entry.completed(value))
    new_lines = "".join(
        _pair(name, ours) + newline
        for name, ours in whole.items()
        if name not in theirs
    )
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    changed = [mark]
    for statement in _statements(text.removeprefix(mark)):
        if statement.is_header and statement.path == entry.labels:
            line_break = "" if statement.text.endswith("\n") else newline
            changed.append(statement.text + line_break + new_lines)
        elif statement.path and statement.path[:-1] == entry.labels:
            name = statement.path[-1]
            if [whole.get(name)] == [theirs[name]]:  # in lists, for NaN
                changed.append(statement.text)
            elif name in whole:
                changed.append(_pair(name, whole[name]) + newline)
        else:
            changed.append(statement.text)
    return "".join(changed)


def _with_tables(text: str, tables: Sequence[str]) -> str:
    """Return the text with new tables at its end."""
    if not tables:
        return text
    newline = newline_of(text)
    new = "\n\n".join(tables).replace("\n", newline)
    if not text.removeprefix(_BYTE_ORDER_MARK):
        return text + new
    if text.endswith("\n"):
        return text + newline + new + newline
    return text + newline * 2 + new


def _present(
    document: Document, entries: Sequence[ConfigEntry]
) -> Sequence[ConfigEntry]:
    """Return the entries that a document has; not those that run another command."""
    return [
        entry for entry in entries if entry.is_in(_value_of(document, entry))
    ]


def _without_entries(text: str, entries: Sequence[ConfigEntry]) -> str | None:
    """Return the text without entries; None if there was no file before them."""
    document = _parse(text)
    present = _present(document, entries)
    if not present:
        return text
    left = _without_tables(text, document, present)
    return left if left or not text.endswith("\n") else None


def _without_tables(
    text: str, document: Document, entries: Sequence[ConfigEntry]
) -> str:
    """Return the text without tables, and without the empty line before each."""
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    statements = list(_statements(text.removeprefix(mark)))
    is_ours = [statement.belongs_to(entries) for statement in statements]
    kept = list[str]()
    for number, statement in enumerate(statements):
        if is_ours[number]:
            starts_table = statement.is_header or statement.is_old_mark
            if starts_table and kept and not kept[-1].strip():
                kept.pop()
            continue
        if _is_inside_table(statements, is_ours, number):
            continue
        # Without our tables, the text does not start with the empty line after them.
        if statement.is_blank and not kept and any(is_ours[:number]):
            continue
        kept.append(statement.text)
    left = mark + "".join(kept)
    if is_ours and is_ours[-1] and not text.endswith("\n"):
        left = left.removesuffix("\n").removesuffix("\r")
    after = _parse(left)
    is_left = any(_value_of(after, entry) is not None for entry in entries)
    if is_left or _others(after, entries) != _others(document, entries):
        names = " and ".join(map(_name, entries))
        raise UnsupportedFile(
            f"has {names} in a form that must be edited by hand"
        )
    return left


def _is_inside_table(
    statements: Sequence[Statement], is_ours: Sequence[bool], number: int
) -> bool:
    """Return whether a comment or an empty line is inside a table of ours."""
    if statements[number].path or not any(is_ours[:number]):
        return False
    for following in range(number, len(statements)):
        if statements[following].path:
            return is_ours[following] and not statements[following].is_header
    return False


def _statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a document: the fewest lines that are valid TOML."""
    table, lines = tuple[str, ...](), ""
    for line in _LINE.findall(text):
        lines += line
        try:
            document = tomllib.loads(lines)
        except tomllib.TOMLDecodeError:
            continue
        statement = Statement(lines, _path(document))
        if statement.is_header:
            table = statement.path
        elif statement.path:
            statement = Statement(lines, table + statement.path)
        yield statement
        lines = ""


def _path(document: Json) -> tuple[str, ...]:
    """Return the names that lead to the only value of a document."""
    if isinstance(document, list) and len(document) == 1:
        return _path(document[0])
    if not isinstance(document, dict) or len(document) != 1:
        return ()
    ((name, inner),) = document.items()
    return (name, *_path(inner))


def _others(document: Document, entries: Sequence[ConfigEntry]) -> Document:
    """Return a document without entries, and without tables that hold nothing else."""
    for entry in entries:
        document = _without_path(
            document, [str(label) for label in entry.labels]
        )
    return document


def _without_path(document: Document, path: Sequence[str]) -> Document:
    name, *below = path
    rest = {each: value for each, value in document.items() if each != name}
    value = document.get(name)
    if not below or value is None:
        return rest
    if isinstance(value, dict):
        value = _without_path(value, below)
    return {**rest, name: value} if value else rest


def _table(entry: ConfigEntry) -> str:
    members = cast("Document", entry.value)
    pairs = [_pair(name, value) for name, value in members.items()]
    return "\n".join([f"[{_name(entry)}]", *pairs])


def _name(entry: ConfigEntry) -> str:
    return ".".join(_key(str(label)) for label in entry.labels)


def _pair(name: str, value: Json) -> str:
    """Return a line with a value, which JSON and TOML write alike."""
    try:
        return f"{_key(name)} = {json.dumps(value, ensure_ascii=False)}"
    except TypeError:
        reason = f"has a value in {name} that must be edited by hand"
        raise UnsupportedFile(reason) from None


def _key(name: str) -> str:
    if re.fullmatch(r"[\w-]+", name, re.ASCII):
        return name
    return json.dumps(name, ensure_ascii=False)
