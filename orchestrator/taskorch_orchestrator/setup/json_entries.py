"""Entries of ours in a JSON file of somebody else, put in and taken out as text: the rest stays byte for byte.

An entry goes to the front of its object or list: `{` + its lead + the entry + `,` + what was there. Into an empty one
it goes with no space before it, and what had to be made for it has space after its bracket. So it can be told
what has to go with the entry: `{"hooks": {"Stop": [ … ]}}` leaves an empty `hooks`, `{ "hooks": …` leaves nothing.
Comments, which some programs allow, are read as space.
"""

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from taskorch_orchestrator.setup.managed_file import (
    ConfigEntry,
    Json,
    UnsupportedFile,
    is_blank,
    joined,
    runs,
)

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING_OR_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', re.DOTALL)
_DECODER = json.JSONDecoder()


class Member(NamedTuple):
    """A member of an object or a list: where it starts (its name, if it has one), where its value is, where it ends."""

    name: str | None
    start: int
    at: int
    end: int
    value: Json


#: Each object or list on the way to an entry, by its bracket, and the member of it that leads on.
Way = list[tuple[int, Member]]


class JsonEntries:
    """Some entries of ours in one file."""

    def __init__(
        self, *entries: ConfigEntry, head: dict[str, Json] | None = None
    ) -> None:
        """`head` is what the program wants to see at the beginning of each such file."""
        self._entries = entries
        self._head = head or {}

    def has(self, text: str) -> bool:
        """Return whether all of them are there, and lack nothing."""
        if is_blank(text):
            return False
        clear = _clear(text)
        ways = [(_found(clear, entry), entry) for entry in self._entries]
        return all(
            way and joined(entry.value, way[-1][1].value) == way[-1][1].value
            for way, entry in ways
        )

    def added(self, text: str | None) -> str:
        """Return the text with the entries; a new one where there is none, or a blank one."""
        if text is None or is_blank(text):
            made = json.loads(self.added(json.dumps(self._head)))
            return json.dumps(self._head | made, indent=2, ensure_ascii=False) + "\n"
        clear = _clear(text)
        for name in self._head.keys() - {
            member.name for member in _members(clear, _root(clear))
        }:
            raise UnsupportedFile(
                f'has no "{name}" in it: the program would not read it'
            )
        for entry in reversed(self._entries):
            text = _with(text, entry)
        return text

    def removed(self, text: str) -> str | None:
        """Return the text as it was before; None where there was no file."""
        left: str | None = text
        if is_blank(text):
            return text
        if text == self.added(None):
            return None
        for entry in self._entries:
            while left is not None and (way := _found(_clear(left), entry)):
                left = _without(left, way)
        return left


def _clear(text: str) -> str:
    """Return valid JSON with everything where it was: comments and the mark of UTF-8 are space."""
    clear = _STRING_OR_COMMENT.sub(
        _kept_or_space,
        text.replace("\ufeff", " ", 1) if text.startswith("\ufeff") else text,
    )
    try:
        document = json.loads(clear)
    except (ValueError, RecursionError) as error:
        raise UnsupportedFile(f"is not valid JSON ({error})") from None
    if not isinstance(document, dict):
        raise UnsupportedFile("is not a JSON object")
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
    named, at, members = clear[at] == "{", _skip(clear, at + 1), list[Member]()
    while clear[at] not in "}]":
        start, name = at, None
        if named:
            name, at = _DECODER.raw_decode(clear, at)
            at = _skip(clear, _skip(clear, at) + 1)
        value, end = _DECODER.raw_decode(clear, at)
        members.append(Member(name, start, at, end, value))
        at = _skip(clear, end)
        if clear[at] == ",":
            at = _skip(clear, at + 1)
    return members


def _way(clear: str, entry: ConfigEntry) -> Way:
    """Return the way to an entry of ours, as far as it is there."""
    at, way = _root(clear), Way()
    for label in entry.labels:
        members = (
            _members(clear, at) if clear[at] == ("[" if label is None else "{") else []
        )
        members = [
            each
            for each in members
            if each.name == label and (label or runs(each.value, entry))
        ]
        if not members:
            break
        way.append((at, members[-1]))
        at = members[-1].at
    return way


def _found(clear: str, entry: ConfigEntry) -> Way:
    """Return the way to an entry of ours; [] where it is not there."""
    way = _way(clear, entry)
    return (
        way if len(way) == len(entry.labels) and runs(way[-1][1].value, entry) else []
    )


def _with(text: str, entry: ConfigEntry) -> str:
    clear = _clear(text)
    way = _way(clear, entry)
    labels, value = entry.labels[len(way) :], entry.value
    if not labels:
        if not _found(clear, entry):
            raise UnsupportedFile(f"has another {_named(entry.labels)}")
        there = way[-1][1]
        whole = joined(value, there.value)
        drawn = (
            text[there.at : there.end]
            if whole == there.value
            else _drawn(text, whole, _line(text, there.at))
        )
        return text[: there.at] + drawn + text[there.end :]
    at = way[-1][1].at if way else _root(clear)
    if clear[at] != ("[" if labels[0] is None else "{"):
        kind = "a list" if labels[0] is None else "an object"
        raise UnsupportedFile(
            f"has something else where {_named(entry.labels[: len(way)])} should be {kind}"
        )
    return _put(text, clear, at, labels, value)


def _named(labels: Sequence[str | None]) -> str:
    return ".".join(label for label in labels if label is not None)


def _put(
    text: str, clear: str, at: int, labels: Sequence[str | None], value: Json
) -> str:
    """Put a value, with the objects and lists on the way to it that are missing, to the front of what begins there."""
    for label in reversed(labels[1:]):
        value = [value] if label is None else {label: value}
    space = text[at + 1 : _skip(text, at + 1)]
    line = _line(text, at + 1 + len(space))
    drawn = (
        "" if labels[0] is None else f"{json.dumps(labels[0], ensure_ascii=False)}: "
    )
    drawn += _drawn(text, value, line)
    if _members(clear, at):
        drawn = (line if "\n" in space else space[:1]) + drawn + ","
    return text[: at + 1] + drawn + text[at + 1 :]


def _line(text: str, at: int) -> str:
    """Return a line break with the indentation of the line that a place is in."""
    indentation = re.match(r"[ \t]*", text[text.rfind("\n", 0, at) + 1 :])
    return ("\r\n" if "\r\n" in text else "\n") + (
        indentation[0] if indentation else ""
    )


def _drawn(text: str, value: Json, line: str) -> str:
    unit = re.match(r"\s*\{[ \t\r]*\n([ \t]+)", text)
    return json.dumps(
        value, indent=unit[1] if unit else "  ", ensure_ascii=False
    ).replace("\n", line)


def _without(text: str, way: Way) -> str | None:
    """Return the text without what the way leads to, and without what was made for it; None if that was all of it."""
    clear = _clear(text)
    names = [member.name for _, member in way]
    group = names.index(None) if None in names else len(way)
    for depth, (at, member) in reversed([*enumerate(way)]):
        members = _members(clear, at)
        # A group of hooks that has no other hook is ours, whatever else it says.
        if depth > group and (member.name or len(members) == 1):
            continue
        if len(members) > 1 or not _was_made(text, at, member):
            return _cut(text, clear, at, members, members.index(member))
    root, end = _root(clear), len(clear.rstrip())
    return (
        f"{text[:root]}{{}}{text[end:]}" if (text[:root] + text[end:]).strip() else None
    )


def _was_made(text: str, at: int, member: Member) -> bool:
    """Return whether an object or list was made for its only member: space before it, and at most space after it."""
    before, after = (
        text[at + 1 : member.start],
        text[member.end : _skip(text, member.end)],
    )
    return bool(before) and before.isspace() and text[member.end + len(after)] in "}]"


def _cut(text: str, clear: str, at: int, members: Sequence[Member], place: int) -> str:
    """Return the text without a member and its comma; comments beside it stay."""
    member = members[place]
    if place:
        comma = _skip(clear, members[place - 1].end)
        between = text[comma + 1 : member.start]
        ends_line = text[member.end :].lstrip(" \t")[0] in "\r\n"
        kept = between if between.strip() and not ends_line else between.rstrip()
        return text[:comma] + kept + text[member.end :]
    start = member.start if text[at + 1 : member.start].strip() else at + 1
    if len(members) == 1:
        return text[:start] + text[member.end :]
    comma = _skip(clear, member.end)
    between = text[member.end : comma]
    return text[:start] + (between if between.strip() else "") + text[comma + 1 :]
