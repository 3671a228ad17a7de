"""Our tables in a TOML file, which other programs rewrite: known by their names and what they run, wherever they are.

Codex drops comments, moves them, and puts its own tables between ours, so no comment can say where ours begin and end.
The file is read statement by statement instead, and a statement is ours if its table or key is. After a text with a
line break at its end come an empty line and our tables; another text has no line break at its end afterwards either.
So `removed` can tell what was added. Each change is parsed again, and refused if anything else has changed with it.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from taskorch_orchestrator.setup.managed_file import (
    ConfigEntry,
    Json,
    UnsupportedFile,
    joined,
    runs,
)
from taskorch_orchestrator.setup.text_block import MARK, newline_of

Document = dict[str, Json]

#: What versions before this one put around our tables.
_OLD_MARKS = {f"# {MARK}: begin (orchestrate setup)", f"# {MARK}: end"}
_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_BYTE_ORDER_MARK = "\ufeff"


class Statement(NamedTuple):
    """The lines of one header, one key with its value, one comment, or an empty line."""

    text: str
    #: The names that lead to what it says; () for a comment or an empty line.
    path: tuple[str, ...]

    @property
    def is_blank(self) -> bool:
        """Return whether it is an empty line."""
        return not self.text.strip()

    @property
    def is_header(self) -> bool:
        """Return whether a table begins here."""
        return self.text.lstrip().startswith("[")

    @property
    def is_old_mark(self) -> bool:
        """Return whether it is a comment that an earlier version put before or after our tables."""
        return self.text.strip() in _OLD_MARKS


class TomlEntries:
    """Some tables of ours in one file."""

    def __init__(self, *entries: ConfigEntry) -> None:
        """Each entry is a table of plain values; its labels are the name of the table."""
        self._entries = entries

    def has(self, text: str) -> bool:
        """Return whether all of them are there, and lack nothing."""
        document = _parsed(text)
        return all(_is_whole(_found(document, entry), entry) for entry in self._entries)

    def added(self, text: str | None) -> str:
        """Return the text with the entries; what somebody has added to one of them stays."""
        if text is None:
            return "\n\n".join(map(_drawn, self._entries)) + "\n"
        document, added = _parsed(text), text
        missing = [entry for entry in self._entries if _found(document, entry) is None]
        for entry in self._entries:
            there = _found(document, entry)
            if there is None or _is_whole(there, entry):
                continue
            if not runs(there, entry):
                raise UnsupportedFile(f"has another {_name(entry)}")
            added = _completed(added, entry, there)
        added = _appended(added, [_drawn(entry) for entry in missing])
        after = _parsed(added, "has no room for our tables")
        wanted = [
            joined(entry.value, _found(document, entry) or {})
            for entry in self._entries
        ]
        is_right = [_found(after, entry) for entry in self._entries] == wanted
        if not is_right or _less(after, self._entries) != _less(
            document, self._entries
        ):
            raise UnsupportedFile("has no room for our tables")
        return added

    def removed(self, text: str) -> str | None:
        """Return the text without the entries; None where there was no file. Another's of the same name stays."""
        document = _parsed(text)
        found = [(entry, _found(document, entry)) for entry in self._entries]
        ours = [
            entry for entry, there in found if there is not None and runs(there, entry)
        ]
        left = _without(text, document, ours)
        return None if ours and not left and text.endswith("\n") else left


def _found(document: Document, entry: ConfigEntry) -> Json:
    """Return what stands under the name of an entry; None for nothing."""
    there: Json = document
    for label in entry.labels:
        there = there.get(str(label)) if isinstance(there, dict) else None
    return there


def _is_whole(there: Json, entry: ConfigEntry) -> bool:
    return (
        there is not None and runs(there, entry) and joined(entry.value, there) == there
    )


def _without(text: str, document: Document, entries: Sequence[ConfigEntry]) -> str:
    """Return the text without some entries that it has, and without the empty line before each of them."""
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    statements = list(_statements(text.removeprefix(mark)))
    ours = [
        each.is_old_mark or any(each.path[: len(e.labels)] == e.labels for e in entries)
        for each in statements
    ]
    kept = list[str]()
    for number, statement in enumerate(statements):
        if ours[number]:
            if (
                kept
                and not kept[-1].strip()
                and (statement.is_header or statement.is_old_mark)
            ):
                kept.pop()
        elif not _goes_along(statements, ours, number) and (
            kept or not statement.is_blank or not any(ours[:number])
        ):
            kept.append(statement.text)
    left = mark + "".join(kept)
    if ours and ours[-1] and not text.endswith("\n"):
        left = left.removesuffix("\n").removesuffix("\r")
    after = _parsed(left)
    if any(_found(after, entry) is not None for entry in entries) or _less(
        after, entries
    ) != _less(document, entries):
        raise UnsupportedFile(
            f"has {' and '.join(map(_name, entries))} in a form that only you can change"
        )
    return left


def _goes_along(
    statements: Sequence[Statement], ours: Sequence[bool], number: int
) -> bool:
    """Return whether a comment or an empty line stands in the middle of a table of ours."""
    following = next(
        (n for n in range(number, len(statements)) if statements[n].path), None
    )
    inside = (
        following is not None
        and ours[following]
        and not statements[following].is_header
    )
    return not statements[number].path and inside and any(ours[:number])


def _statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a valid document: each is the fewest lines that are valid by themselves."""
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
    if isinstance(document, list) and len(document) == 1:
        return _path(document[0])
    if not isinstance(document, dict) or len(document) != 1:
        return ()
    ((name, inner),) = document.items()
    return (name, *_path(inner))


def _less(document: Document, entries: Sequence[ConfigEntry]) -> Document:
    """Return a document without some entries, and without a table that holds nothing else."""
    for entry in entries:
        document = _without_path(document, [str(label) for label in entry.labels])
    return document


def _without_path(document: Document, path: Sequence[str]) -> Document:
    name, *more = path
    inner = document.get(name)
    less = (
        _without_path(inner, more)
        if more and isinstance(inner, dict)
        else inner
        if more
        else {}
    )
    rest = {each: value for each, value in document.items() if each != name}
    return {**rest, name: less} if less else rest


def _completed(text: str, entry: ConfigEntry, there: Json) -> str:
    """Return the text with what an entry lacks; all else that somebody has made of it stays."""
    theirs, newline = cast("Document", there), newline_of(text)
    mark = _BYTE_ORDER_MARK if text.startswith(_BYTE_ORDER_MARK) else ""
    lacking = {name: value for name, value in entry.value.items() if name not in theirs}
    lines = "".join(f"{_pair(name, value)}{newline}" for name, value in lacking.items())
    changed = [mark]
    for statement in _statements(text.removeprefix(mark)):
        name = statement.path[-1] if statement.path[:-1] == entry.labels else ""
        if statement.is_header and statement.path == entry.labels:
            changed.append(
                statement.text + lines
                if statement.text.endswith("\n")
                else statement.text + newline + lines
            )
        elif (
            name in entry.value
            and joined(entry.value[name], theirs[name]) != theirs[name]
        ):
            changed.append(
                _pair(name, joined(entry.value[name], theirs[name])) + newline
            )
        else:
            changed.append(statement.text)
    return "".join(changed)


def _appended(text: str, tables: Sequence[str]) -> str:
    if not tables:
        return text
    newline = newline_of(text)
    between, behind = (newline, newline) if text.endswith("\n") else (newline * 2, "")
    if not text.removeprefix(_BYTE_ORDER_MARK):
        between = ""
    return text + between + "\n\n".join(tables).replace("\n", newline) + behind


def _parsed(text: str, otherwise: str = "is not valid TOML") -> Document:
    try:
        return cast("Document", tomllib.loads(text.removeprefix(_BYTE_ORDER_MARK)))
    except tomllib.TOMLDecodeError as error:
        raise UnsupportedFile(f"{otherwise} ({error})") from None


def _name(entry: ConfigEntry) -> str:
    return ".".join(_key(str(label)) for label in entry.labels)


def _drawn(entry: ConfigEntry) -> str:
    return "\n".join(
        [
            f"[{_name(entry)}]",
            *(_pair(name, value) for name, value in entry.value.items()),
        ]
    )


def _pair(name: str, value: Json) -> str:
    """Return a line with a value that JSON and TOML write alike."""
    try:
        return f"{_key(name)} = {json.dumps(value, ensure_ascii=False)}"
    except TypeError:
        raise UnsupportedFile(
            f"has a value in {name} that only you can change"
        ) from None


def _key(name: str) -> str:
    return (
        name
        if re.fullmatch(r"[\w-]+", name, re.ASCII)
        else json.dumps(name, ensure_ascii=False)
    )
