"""Reads the YAML of a plan as text with line numbers: every value is a text, a list or a mapping, and nothing else.

What a plan has no use for is refused before anything is built of it: anchors and aliases, tags, several documents, the
same key twice, deep nesting, very many values.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import yaml
from taskorch.domain import limits
from taskorch.domain.frozen import Frozen
from yaml.reader import Reader as YamlReader

MOST_NESTED = 10
MOST_VALUES = 500_000
#: Who has made so many has read the wrong file.
MOST_MISTAKES = 1000

_LOADER = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
#: What YAML takes for the end of a line.
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: A comment has a space behind its sign, as a rule; a number of an issue has none.
_EATEN = re.compile(r"[ \t]+(#[^\s#].*)")
_NULLS = ("", "~", "null", "Null", "NULL")
#: JSON writes what is beyond the basic plane as two escapes, which YAML does not know.
_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)

Step = str | int


class Mistake(Frozen):
    """What is wrong, or odd, and where: the line, from 1, and the way to it."""

    line: int
    path: str
    message: str

    def told(self) -> str:
        """Return it as a line."""
        return f"line {self.line}: {self.path}{': ' if self.path else ''}{self.message}"


@dataclass(slots=True)
class Node:
    """A value, and the line that it begins in; in a mapping that of its key."""

    line: int
    value: "str | list[Node] | dict[str, Node]"

    def plain(self) -> object:
        """Return the value without lines; the nesting is bounded."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value

    def line_of(self, steps: Sequence[Step]) -> int:
        """Return the line of what the steps lead to, or of the last on the way that is there."""
        node = self
        for step in steps:
            below = node.value
            if isinstance(below, dict) and step in below:
                node = below[str(step)]
            elif (
                isinstance(below, list) and isinstance(step, int) and step < len(below)
            ):
                node = below[step]
            else:
                break
        return node.line


def path(steps: Sequence[Step]) -> str:
    """Return the way to a value as a person writes it: items[3].priority."""
    words = (
        f"[{step}]" if isinstance(step, int) else f".{limits.shortened(step)}"
        for step in steps
    )
    return "".join(words).removeprefix(".")


def read(data: bytes) -> tuple[Node | None, list[Mistake], list[Mistake]]:
    """Return the one document of a file, if it is one, what is wrong with it, and the values cut off by a comment."""
    if len(data) > limits.PLAN_BYTES:
        return _unread(1, f"The file has more than {limits.PLAN_BYTES} bytes (16 MiB).")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unread(_lines(data[: error.start]), "This is not UTF-8 text.")
    unprintable = YamlReader.NON_PRINTABLE.search(text)
    if unprintable:
        message = f"The character {unprintable.group()!r} cannot stand in YAML."
        return _unread(_lines(text[: unprintable.start()].encode()), message)
    reading = _Reading(
        _PAIR.sub(_joined, text) if text.lstrip().startswith("{") else text
    )
    reading.read()
    return reading.root, reading.mistakes, reading.eaten


def _unread(line: int, message: str) -> tuple[None, list[Mistake], list[Mistake]]:
    return None, [Mistake(line=line, path="", message=message)], []


class _Stop(Exception):
    """What follows is not worth reading."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that is being read; and of a mapping the key whose value comes next, and its line."""

    node: Node
    key: str | None = None
    key_line: int = 0

    def is_between(self) -> bool:
        """Return whether this is a mapping whose next key is to come."""
        return isinstance(self.node.value, dict) and self.key is None

    def step(self) -> Step:
        """Return the way from here to what is being read."""
        return len(self.node.value) if self.key is None else self.key


class _Reading:
    """One pass over the events of a file; what is open is kept in a stack, so nothing here recurses."""

    def __init__(self, text: str) -> None:
        self.root: Node | None = None
        self.mistakes: list[Mistake] = []
        #: Values that a comment cut off.
        self.eaten: list[Mistake] = []
        self._text = text
        self._lines = _BREAK.split(text) if "#" in text else []
        self._open: list[_Open] = []
        self._documents = self._values = 0

    def read(self) -> None:
        try:
            for event in yaml.parse(self._text, Loader=_LOADER):
                self._take(event)
        except _Stop:
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            words = ", ".join(word for word in (error.context, error.problem) if word)
            self.mistakes.append(
                Mistake(
                    line=mark.line + 1 if mark else 1,
                    path="",
                    message=f"Not YAML: {words}.",
                )
            )
        except yaml.YAMLError as error:
            self.mistakes.append(Mistake(line=1, path="", message=f"Not YAML: {error}"))
        if self.root is None and not self.mistakes:
            self.mistakes.append(Mistake(line=1, path="", message="The file is empty."))

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(event, "A second document begins here; a plan is one.")
            case yaml.CollectionEndEvent():
                self._put(self._open.pop().node)
            case yaml.NodeEvent():
                self._node(event)

    def _node(self, event: yaml.NodeEvent) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            self._stop(event, f"There are more than {MOST_VALUES} values.")
        if isinstance(event, yaml.AliasEvent):
            self._refuse(
                event,
                f"*{limits.shortened(event.anchor or '')}: a plan has no aliases; write the value out.",
            )
        elif event.anchor:
            self._refuse(
                event, f"&{limits.shortened(event.anchor)}: a plan has no anchors."
            )
        tag: str = getattr(event, "tag", None) or ""
        if tag:
            self._refuse(
                event,
                f"{limits.shortened(tag)}: a plan has no tags; every value is text.",
            )
        if isinstance(event, yaml.CollectionStartEvent):
            self._begin(event)
        else:
            self._scalar(event)

    def _begin(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._open) == MOST_NESTED:
            self._stop(event, f"The nesting is deeper than {MOST_NESTED}.")
        if self._wants_key():
            self._stop(event, "A key is to be a text.")
        self._open.append(
            _Open(
                Node(
                    _line(event),
                    [] if isinstance(event, yaml.SequenceStartEvent) else {},
                )
            )
        )

    def _scalar(self, event: yaml.NodeEvent) -> None:
        text = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if self._wants_key():
            mapping = self._open[-1]
            known = mapping.node.line_of([text])
            mapping.key, mapping.key_line = text, _line(event)
            if text in mapping.node.value:
                self._refuse(event, f"It is there twice, first in line {known}.")
            return
        if isinstance(event, yaml.ScalarEvent) and text in _NULLS and event.implicit[0]:
            self._refuse(
                event, "There is no value here; leave it out, or put it between quotes."
            )
        self._look_behind(event, text)
        self._put(Node(_line(event), text))

    def _look_behind(self, event: yaml.NodeEvent, text: str) -> None:
        """Note a comment that begins as a word does, right behind a value without quotes: it was meant as text."""
        is_plain = isinstance(event, yaml.ScalarEvent) and not event.style
        if not (self._lines and is_plain and event.end_mark):
            return
        rest = self._lines[event.end_mark.line][event.end_mark.column :]
        if comment := _EATEN.match(rest):
            cut, kept = limits.shortened(comment[1].rstrip()), limits.shortened(text)
            message = f"YAML takes {cut!r} for a comment, and the text is {kept!r}. Put all of it between quotes."
            self.eaten.append(self._here(event, message))

    def _wants_key(self) -> bool:
        return bool(self._open) and self._open[-1].is_between()

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        above = self._open[-1]
        if isinstance(above.node.value, list):
            above.node.value.append(node)
        elif isinstance(above.node.value, dict) and above.key is not None:
            node.line = above.key_line
            above.node.value[above.key] = node
            above.key = None

    def _refuse(self, event: yaml.Event, message: str) -> None:
        self.mistakes.append(self._here(event, message))
        if len(self.mistakes) > MOST_MISTAKES:
            raise _Stop

    def _here(self, event: yaml.Event, message: str) -> Mistake:
        steps = [above.step() for above in self._open if not above.is_between()]
        return Mistake(line=_line(event), path=path(steps), message=message)

    def _stop(self, event: yaml.Event, message: str) -> NoReturn:
        self._refuse(event, message)
        raise _Stop


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _lines(before: bytes) -> int:
    """Return the line that follows after this text."""
    return before.count(b"\n") + 1


def _joined(pair: re.Match[str]) -> str:
    character = bytes.fromhex(pair[2] + pair[3]).decode("utf-16-be")
    return pair[1] + character
