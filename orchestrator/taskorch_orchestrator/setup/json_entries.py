"""Our entries in a JSON file of others. The rest of the file stays byte for byte.

A new entry is inserted at the front of its object or list: `{` + the space there + the
entry + `,` + the rest. Removal uses spaces to tell what was created for an entry: no
space precedes an entry in an object that was empty, but space follows the bracket of an
object that was created for it: `{"hooks": {"Stop": [ … ]}}` leaves an empty `hooks`,
and `{ "hooks": …` leaves nothing. Comments, which some programs allow, are space too.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from taskorch.domain.frozen import replace

from taskorch_orchestrator.setup.config_entry import (
    IDENTITY,
    ConfigEntry,
    Json,
)
from taskorch_orchestrator.setup.managed_file import UnsupportedFile, is_blank

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING_OR_COMMENT = re.compile(
    r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_DECODER = json.JSONDecoder()
_BYTE_ORDER_MARK = "\ufeff"


class Member(NamedTuple):
    """A member of an object or list, with its places in the text."""

    #: None in a list.
    name: str | None
    #: Where the name starts, or the value of a list's member.
    start: int
    value_start: int
    end: int
    value: Json


class Step(NamedTuple):
    """A step on the path to an entry: the place of a bracket, and a member inside."""

    bracket: int
    member: Member


class JsonEntries:
    """Our entries in one file."""

    def __init__(
        self,
        *entries: ConfigEntry,
        obsolete: Sequence[ConfigEntry] = (),
        head: dict[str, Json] | None = None,
    ) -> None:
        """`obsolete` entries of earlier versions are removed.

        `head` holds the members that the program requires in each such file.
        """
        self._entries = entries
        self._obsolete = obsolete
        self._head = head or {}

    def has(self, text: str) -> bool:
        """Return whether all entries are there and complete, and no obsolete one."""
        if is_blank(text):
            return False
        clear = _clear(text)
        if any(_find(clear, entry) for entry in self._obsolete):
            return False
        for entry in self._entries:
            path = _find(clear, entry)
            if not path:
                return False
            value = path[-1].member.value
            if entry.completed(value) != value:
                return False
        return True

    def added(self, text: str | None) -> str:
        """Return the text with the entries; a new text for a missing or blank file."""
        if text is not None and not is_blank(text):
            text = _without_entries(text, self._obsolete)
        if text is None or is_blank(text):
            document = json.loads(self.added(json.dumps(self._head)))
            return _dump(self._head | document, "  ") + "\n"
        clear = _clear(text)
        present = {
            member.name for member in _members(clear, _skip_space(clear, 0))
        }
        for name in self._head.keys() - present:
            raise UnsupportedFile(
                f'has no "{name}", which its program requires'
            )
        for entry in reversed(self._entries):
            text = _with_entry(text, entry)
        return text

    def obsolete_in(self, text: str) -> list[Json]:
        """Return the values of the obsolete entries that a text has."""
        if is_blank(text):
            return []
        clear = _clear(text)
        paths = [_find(clear, entry) for entry in self._obsolete]
        return [path[-1].member.value for path in paths if path]

    def removed(self, text: str) -> str | None:
        """Return the text without the entries; None if there was no file before."""
        if is_blank(text):
            return text
        if text == self._as_in(text).added(None):
            return None
        return _without_entries(text, [*self._entries, *self._obsolete])

    def _as_in(self, text: str) -> "JsonEntries":
        """Return these entries with the commands and addresses that a text has."""
        clear = _clear(text)
        entries = []
        for entry in self._entries:
            path, value = _find(clear, entry), entry.value
            theirs = path[-1].member.value if path else None
            if isinstance(value, dict) and isinstance(theirs, dict):
                value = value | {
                    name: theirs[name]
                    for name in IDENTITY
                    if name in value and name in theirs
                }
            entries.append(replace(entry, value=value))
        return JsonEntries(*entries, head=self._head)


def _clear(text: str) -> str:
    """Return the JSON with spaces in the place of comments and the byte order mark.

    Raises UnsupportedFile if it is not a JSON object.
    """
    if text.startswith(_BYTE_ORDER_MARK):
        text = text.replace(_BYTE_ORDER_MARK, " ", 1)
    clear = _STRING_OR_COMMENT.sub(_string_or_spaces, text)
    try:
        document = json.loads(clear)
    except (ValueError, RecursionError) as error:
        raise UnsupportedFile(f"is not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise UnsupportedFile("is not a JSON object")
    return clear


def _string_or_spaces(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " " * len(match[0])


def _skip_space(clear: str, at: int) -> int:
    match = _SPACE.match(clear, at)
    return match.end() if match else at


def _members(clear: str, bracket: int) -> list[Member]:
    """Return the members of the object or list that starts at a bracket."""
    is_object = clear[bracket] == "{"
    members = list[Member]()
    at = _skip_space(clear, bracket + 1)
    while clear[at] not in "}]":
        start, name = at, None
        if is_object:
            name, at = _DECODER.raw_decode(clear, at)
            colon = _skip_space(clear, at)
            at = _skip_space(clear, colon + 1)
        value, end = _DECODER.raw_decode(clear, at)
        members.append(Member(name, start, at, end, value))
        at = _skip_space(clear, end)
        if clear[at] == ",":
            at = _skip_space(clear, at + 1)
    return members


def _existing_path(clear: str, entry: ConfigEntry) -> list[Step]:
    """Return the path to an entry, as far as it exists."""
    at = _skip_space(clear, 0)
    path = list[Step]()
    for label in entry.labels:
        if clear[at] != _bracket(label):
            break
        last = None
        for member in _members(clear, at):
            if member.name != label:
                continue
            if label is None and not entry.is_in(member.value):
                continue
            last = member
        if last is None:
            break
        path.append(Step(at, last))
        at = last.value_start
    return path


def _bracket(label: str | None) -> str:
    return "[" if label is None else "{"


def _find(clear: str, entry: ConfigEntry) -> list[Step]:
    """Return the path to an entry, [] if it is missing."""
    path = _existing_path(clear, entry)
    is_whole = len(path) == len(entry.labels)
    if is_whole and entry.is_in(path[-1].member.value):
        return path
    return []


def _with_entry(text: str, entry: ConfigEntry) -> str:
    clear = _clear(text)
    path = _existing_path(clear, entry)
    if len(path) == len(entry.labels):
        member = path[-1].member
        if not entry.is_in(member.value):
            raise UnsupportedFile(f"has another {_name(entry.labels)}")
        return _with_missing_values(text, entry, member)
    at = path[-1].member.value_start if path else _skip_space(clear, 0)
    labels = entry.labels[len(path) :]
    if clear[at] != _bracket(labels[0]):
        kind = "a list" if labels[0] is None else "an object"
        name = _name(entry.labels[: len(path)])
        raise UnsupportedFile(
            f"has a different value where {name} should be {kind}"
        )
    return _with_new_member(text, clear, at, labels, entry.value)


def _with_missing_values(text: str, entry: ConfigEntry, member: Member) -> str:
    """Return the text with an existing entry completed."""
    whole = entry.completed(member.value)
    if whole == member.value:
        return text
    value = _indented(text, whole, _line_start(text, member.value_start))
    return text[: member.value_start] + value + text[member.end :]


def _with_new_member(
    text: str,
    clear: str,
    bracket: int,
    labels: Sequence[str | None],
    value: Json,
) -> str:
    """Return the text with a value at a bracket, and with the objects around it."""
    for label in reversed(labels[1:]):
        value = [value] if label is None else {label: value}
    start = bracket + 1
    space = text[start : _skip_space(text, start)]
    line_start = _line_start(text, start + len(space))
    member = _indented(text, value, line_start)
    if labels[0] is not None:
        member = f"{json.dumps(labels[0], ensure_ascii=False)}: {member}"
    if _members(clear, bracket):
        lead = line_start if "\n" in space else space[:1]
        member = f"{lead}{member},"
    return text[:start] + member + text[start:]


def _name(labels: Sequence[str | None]) -> str:
    return ".".join(label for label in labels if label is not None)


def _line_start(text: str, at: int) -> str:
    """Return a line break and the indentation of the line that contains a place."""
    start = text.rfind("\n", 0, at) + 1
    line = text[start:]
    indentation = line[: len(line) - len(line.lstrip(" \t"))]
    newline = "\r\n" if "\r\n" in text else "\n"
    return newline + indentation


def _indented(text: str, value: Json, line_start: str) -> str:
    """Return a value as JSON with the indentation of a text."""
    unit = re.match(r"\s*\{[ \t\r]*\n([ \t]+)", text)
    return _dump(value, unit[1] if unit else "  ").replace("\n", line_start)


def _dump(value: Json, indent: str) -> str:
    """Return a value as JSON; half a character, which no file can hold, is escaped."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


def _without_entries(text: str, entries: Sequence[ConfigEntry]) -> str | None:
    """Return the text without entries; None if there was no file before them."""
    left: str | None = text
    for entry in entries:
        while left is not None:
            path = _find(_clear(left), entry)
            if not path:
                break
            left = _without_entry(left, path)
    return left


def _without_entry(text: str, path: Sequence[Step]) -> str | None:
    """Return the text without an entry and what was created for it, or None."""
    clear = _clear(text)
    names = [step.member.name for step in path]
    group = names.index(None) if None in names else len(path)
    for depth, (bracket, member) in reversed([*enumerate(path)]):
        members = _members(clear, bracket)
        # A group of hooks without another hook is ours, with all that it contains.
        if depth > group and (member.name or len(members) == 1):
            continue
        if len(members) > 1 or not _was_created_for(text, bracket, member):
            return _without_member(
                text, bracket, members, members.index(member)
            )
    before, after = text[: _skip_space(clear, 0)], text[len(clear.rstrip()) :]
    if (before + after).strip():  # comments
        return f"{before}{{}}{after}"
    return None


def _was_created_for(text: str, bracket: int, member: Member) -> bool:
    """Return whether an object or list was created for its only member.

    Then there is space before the member, and nothing but space after it.
    """
    before = text[bracket + 1 : member.start]
    after = _skip_space(text, member.end)
    return bool(before) and before.isspace() and text[after] in "}]"


def _without_member(
    text: str, bracket: int, members: Sequence[Member], place: int
) -> str:
    """Return the text without a member and its comma; comments beside it stay."""
    clear = _clear(text)
    member = members[place]
    if place:
        comma = _skip_space(clear, members[place - 1].end)
        between = text[comma + 1 : member.start]
        after = text[member.end :].lstrip(" \t")
        ends_line = after[0] in "\r\n"
        if ends_line or not between.strip():
            between = between.rstrip()
        return text[:comma] + between + text[member.end :]
    has_comment = text[bracket + 1 : member.start].strip()
    start = member.start if has_comment else bracket + 1
    if len(members) == 1:
        return text[:start] + text[member.end :]
    comma = _skip_space(clear, member.end)
    between = text[member.end : comma]
    if not between.strip():
        between = ""
    return text[:start] + between + text[comma + 1 :]
