"""Entries of ours in a JSON file of somebody else, put in and taken out as text: the rest stays byte for byte.

An entry goes to the front of its object or list: `{` + its lead + the entry + `,` + what was there. Into an empty one
it goes with no space before it, and what had to be made for it has space after its bracket. So it can be told
what has to go with the entry: `{"hooks": {"Stop": [ … ]}}` leaves an empty `hooks`, `{ "hooks": …` leaves nothing.
Comments, which some tools allow, are read as space.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias, cast

from taskorch.frozen import Frozen

from taskorch_orchestrator.tool_file import Unfit

Json: TypeAlias = "str | int | bool | Sequence[Json] | dict[str, Json] | None"

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_DECODER = json.JSONDecoder()
_UNIT = "  "


class Entry(Frozen):
    """A value of ours, and where it stands: the names that lead to it, None for a place in a list."""

    labels: tuple[str | None, ...]
    value: Json


class Member(NamedTuple):
    """A value of an object or a list: where it starts (its name, if it has one), and where it is and ends."""

    name: str | None
    start: int
    value: int
    end: int


class JsonEntries:
    """Some entries of ours in one file."""

    def __init__(self, *entries: Entry, head: dict[str, Json] | None = None) -> None:
        """`head` is what the tool wants to see at the beginning of each such file."""
        self._entries = entries
        self._head = head or {}

    def has(self, text: str) -> bool:
        """Return whether all of them are there as they should be."""
        clear = _clear(text)
        return all(
            _is_there(_DECODER.raw_decode(clear, _root(clear))[0], entry.labels, entry) for entry in self._entries
        )

    def added(self, text: str | None) -> str:
        """Return the text with the entries; a new one where there is none."""
        if text is None:
            return self._new()
        clear = _clear(text)
        for name in self._head.keys() - {member.name for member in _members(clear, _root(clear))}:
            raise Unfit(f'has no "{name}" in it: the tool would not read it')
        for entry in reversed(self._entries):
            text = _with(text, entry)
        return text

    def removed(self, text: str) -> str | None:
        """Return the text as it was before; None where there was no file."""
        left: str | None = text
        if text == self._new():
            return None
        for entry in self._entries:
            while left is not None and (found := _found(left, entry)):
                left = _without(left, found)
        return left

    def _new(self) -> str:
        document: object = self._head
        for entry in self._entries:
            document = _merged(document, entry.labels, entry.value)
        return json.dumps(document, indent=_UNIT, ensure_ascii=False) + "\n"


def _clear(text: str) -> str:
    """Return valid JSON with everything where it was: comments and the mark of UTF-8 are space."""
    clear = _STRING_OR_COMMENT.sub(
        _kept_or_space, text.replace("\ufeff", " ", 1) if text.startswith("\ufeff") else text
    )
    try:
        document = json.loads(clear)
    except (ValueError, RecursionError) as error:
        raise Unfit(f"is not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise Unfit("is not a JSON object")
    return clear


def _kept_or_space(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " " * len(match[0])


def _root(clear: str) -> int:
    return _skip(clear, 0)


def _skip(clear: str, at: int) -> int:
    match = _SPACE.match(clear, at)
    return match.end() if match else at


def _members(clear: str, at: int) -> list[Member]:
    """Return the members of the object or list whose bracket is there."""
    return list(_each_member(clear, _skip(clear, at + 1), named=clear[at] == "{"))


def _each_member(clear: str, at: int, *, named: bool) -> Iterator[Member]:
    while clear[at] not in "}]":
        start, name = at, None
        if named:
            name, at = _DECODER.raw_decode(clear, at)
            at = _skip(clear, _skip(clear, at) + 1)
        value = at
        _, at = _DECODER.raw_decode(clear, at)
        yield Member(name, start, value, at)
        at = _skip(clear, at)
        if clear[at] == ",":
            at = _skip(clear, at + 1)


def _is_there(value: object, labels: Sequence[str | None], entry: Entry) -> bool:
    if not labels:
        return value == entry.value
    if labels[0] is None:
        return isinstance(value, list) and entry.value in value
    return isinstance(value, dict) and labels[0] in value and _is_there(value[labels[0]], labels[1:], entry)


def _merged(document: object, labels: Sequence[str | None], leaf: Json) -> object:
    """Return a document with a value in it, where its labels lead."""
    if not labels:
        return leaf
    label, rest = labels[0], labels[1:]
    if label is None:
        return [*cast("list[object]", document or []), _merged(None, rest, leaf)]
    members = cast("dict[str, object]", document or {})
    return {**members, label: _merged(members.get(label), rest, leaf)}


def _with(text: str, entry: Entry) -> str:
    clear = _clear(text)
    at = _root(clear)
    for depth, label in enumerate(entry.labels):
        if clear[at] != ("[" if label is None else "{"):
            raise Unfit(f"has something else where {_named(entry.labels[:depth])} should be")
        there = [member for member in _members(clear, at) if label is not None and member.name == label]
        if there and depth == len(entry.labels) - 1:
            raise Unfit(f"has another {_named(entry.labels)}")
        if not there:
            return _put(text, clear, at, entry.labels[depth:], entry.value)
        at = there[-1].value
    raise AssertionError


def _named(labels: Sequence[str | None]) -> str:
    return ".".join(label for label in labels if label is not None)


def _put(text: str, clear: str, at: int, labels: Sequence[str | None], value: Json) -> str:
    """Put a value, with the objects and lists on the way to it that are missing, to the front of what begins there."""
    space = text[at + 1 : _skip(text, at + 1)]
    if not _members(clear, at):
        return text[: at + 1] + _label(labels[0]) + _drawn(labels[1:], value, "", _UNIT) + text[at + 1 :]
    line = _line(space)
    lead = line or space[:1]
    drawn = lead + _label(labels[0]) + _drawn(labels[1:], value, line, _unit(text, clear))
    return f"{text[: at + 1]}{drawn},{text[at + 1 :]}"


def _line(space: str) -> str:
    """Return the line break and the indentation at the end of a space, "" where it has no line break."""
    newline = "\r\n" if "\r\n" in space else "\n"
    return newline + space.rpartition("\n")[2] if "\n" in space else ""


def _unit(text: str, clear: str) -> str:
    root = _root(clear)
    return _line(text[root + 1 : _skip(text, root + 1)]).lstrip("\r\n") or _UNIT


def _label(label: str | None) -> str:
    return "" if label is None else f"{json.dumps(label, ensure_ascii=False)}: "


def _drawn(labels: Sequence[str | None], value: Json, line: str, unit: str) -> str:
    """Return a value as text, within what its labels lead through; on one line where `line` is empty."""
    if not labels:
        drawn = json.dumps(value, indent=unit if line else None, ensure_ascii=False)
        return drawn.replace("\n", line)
    inner, brackets = (line + unit if line else ""), ("[]" if labels[0] is None else "{}")
    content = _label(labels[0]) + _drawn(labels[1:], value, inner, unit)
    return f"{brackets[0]}{inner or ' '}{content}{line or ' '}{brackets[1]}"


def _found(text: str, entry: Entry) -> list[tuple[int, Member]]:
    """Return the way to an entry of ours: each object or list on it, and its member; [] where it is not there."""
    clear = _clear(text)
    at, way = _root(clear), list[tuple[int, Member]]()
    for label in entry.labels:
        if clear[at] != ("[" if label is None else "{"):
            return []
        members = [member for member in _members(clear, at) if member.name == label]
        if label is None:
            members = [each for each in members if _is_ours(_DECODER.raw_decode(clear, each.value)[0], entry.value)]
        if not members:
            return []
        way.append((at, members[-1]))
        at = members[-1].value
    return way if _is_ours(_DECODER.raw_decode(clear, at)[0], entry.value) else []


def _is_ours(value: object, wanted: Json) -> bool:
    """Return whether a value runs the commands that ours runs, whatever else it says."""
    return bool(_commands(value)) and _commands(value) == _commands(wanted)


def _commands(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [f"{value['command']} {value.get('args', '')}"] if "command" in value else []
        return sorted([*own, *(command for each in value.values() for command in _commands(each))])
    return sorted(command for each in value for command in _commands(each)) if isinstance(value, list) else []


def _without(text: str, way: Sequence[tuple[int, Member]]) -> str | None:
    """Return the text without what the way leads to, and without what was made for it; None if that was all of it."""
    for at, member in reversed(way):
        members = _members(_clear(text), at)
        if len(members) > 1 or not _was_made(text, at, member):
            return _cut(text, at, members, members.index(member))
    return None


def _was_made(text: str, at: int, member: Member) -> bool:
    """Return whether an object or list was made for its only member: space before it, and at most space after it."""
    before, after = text[at + 1 : member.start], text[member.end : _skip(text, member.end)]
    return bool(before) and before.isspace() and text[member.end + len(after)] in "}]"


def _cut(text: str, at: int, members: Sequence[Member], place: int) -> str:
    member, clear = members[place], _clear(text)
    if place:
        return text[: _skip(clear, members[place - 1].end)] + text[member.end :]
    start = at + 1 if not text[at + 1 : member.start].strip() else member.start
    end = member.end if len(members) == 1 else _skip(clear, member.end) + 1
    return text[:start] + text[end:]
