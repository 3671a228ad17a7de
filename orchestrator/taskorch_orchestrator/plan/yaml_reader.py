"""A YAML reader for plan files: text, lists and mappings, with line numbers.

Anchors, aliases, tags, several documents, duplicate keys, deep nesting and huge numbers
of values are refused while the file is parsed, before they can take memory.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import yaml
from taskorch.domain import limits
from taskorch.domain.frozen import Frozen
from yaml.reader import Reader as YamlReader

MOST_NESTED = 10
MOST_VALUES = 500_000
#: More than any mapping of a plan may have: each unknown key would be a mistake.
MOST_KEYS = 1000
#: After this many mistakes the user has passed the wrong file.
MOST_MISTAKES = 1000

_LOADER = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: A comment without a space after the sign is probably part of the text: "fix #123".
_SUSPICIOUS_COMMENT = re.compile(r"[ \t]+(#[^\s#].*)")
_NULLS = ("", "~", "null", "Null", "NULL")
#: JSON escapes a character above U+FFFF as two surrogates, which YAML does not know.
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})"
)

#: A key of a mapping or an index of a list.
Step = str | int


class Mistake(Frozen):
    """A problem in a file: the line, counted from 1, and the path of the value."""

    line: int
    path: str
    message: str

    def __str__(self) -> str:
        """Return the mistake as one line of text."""
        if not self.path:
            return f"line {self.line}: {self.message}"
        return f"line {self.line}: {self.path}: {self.message}"


@dataclass(slots=True)
class Node:
    """A value and the line where it starts; in a mapping, the line of its key."""

    line: int
    value: "str | list[Node] | dict[str, Node]"

    def plain(self) -> object:
        """Return the value without lines."""
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        return self.value

    def line_of(self, steps: Sequence[Step]) -> int:
        """Return the line of the value at a path, or of its nearest existing parent."""
        node = self
        for step in steps:
            children = node.value
            if isinstance(children, dict) and step in children:
                node = children[str(step)]
            elif (
                isinstance(children, list)
                and isinstance(step, int)
                and step < len(children)
            ):
                node = children[step]
            else:
                break
        return node.line


@dataclass(slots=True)
class Document:
    """The document of a file; without a root if the file could not be read."""

    root: Node | None = None
    mistakes: list[Mistake] = field(default_factory=list)
    #: Values without quotes that end at a suspicious comment.
    remarks: list[Mistake] = field(default_factory=list)


def path(steps: Sequence[Step]) -> str:
    """Return a path as people write it: items[3].priority."""
    words = [
        f"[{step}]" if isinstance(step, int) else f".{limits.shortened(step)}"
        for step in steps
    ]
    return "".join(words).removeprefix(".")


def read(data: bytes) -> Document:
    """Return the document of a file, with all mistakes that were found in it."""
    if len(data) > limits.PLAN_BYTES:
        message = (
            f"The file is longer than {limits.PLAN_BYTES} bytes (16 MiB)."
        )
        return _unreadable(1, message)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return _unreadable(
            _last_line(data[: error.start]), "This is not UTF-8 text."
        )
    unprintable = YamlReader.NON_PRINTABLE.search(text)
    if unprintable:
        line = _last_line(text[: unprintable.start()].encode())
        character = unprintable.group()
        return _unreadable(
            line, f"YAML does not allow the character {character!r}."
        )
    if text.lstrip().startswith("{"):
        text = _SURROGATES.sub(_join_surrogates, text)
    parser = _Parser(text)
    parser.parse()
    return parser.document


def _unreadable(line: int, message: str) -> Document:
    return Document(mistakes=[Mistake(line=line, path="", message=message)])


class _Stop(Exception):
    """The rest of the file is not worth reading."""


@dataclass(slots=True)
class _Collection:
    """A list or mapping that is being read, with the key of its next value."""

    node: Node
    key: str | None = None
    key_line: int = 0

    def expects_key(self) -> bool:
        return isinstance(self.node.value, dict) and self.key is None

    def step(self) -> Step:
        """Return the key or index of the value that is being read."""
        return len(self.node.value) if self.key is None else self.key


class _Parser:
    """Reads the events of a file. Open collections are on a stack: no recursion."""

    def __init__(self, text: str) -> None:
        self.document = Document()
        self._text = text
        self._lines = _LINE_BREAK.split(text) if "#" in text else []
        self._stack: list[_Collection] = []
        self._documents = self._values = 0

    def parse(self) -> None:
        document = self.document
        try:
            for event in yaml.parse(self._text, Loader=_LOADER):
                self._read(event)
        except _Stop:
            return
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            reasons = [text for text in (error.context, error.problem) if text]
            message = f"This is not YAML: {', '.join(reasons)}."
            if "flow" in (error.context or "") and "${" in self._text:
                message += " Put a text with ${ in [ ] or { } in quotes."
            line = mark.line + 1 if mark else 1
            document.mistakes.append(
                Mistake(line=line, path="", message=message)
            )
        except yaml.YAMLError as error:
            message = f"This is not YAML: {error}"
            document.mistakes.append(Mistake(line=1, path="", message=message))
        if document.root is None and not document.mistakes:
            message = "The file is empty."
            document.mistakes.append(Mistake(line=1, path="", message=message))

    def _read(self, event: yaml.Event) -> None:
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    self._stop(
                        event, "A second document starts here; remove it."
                    )
            case yaml.CollectionEndEvent():
                self._add(self._stack.pop().node)
            case yaml.NodeEvent():
                self._values += 1
                if self._values > MOST_VALUES:
                    self._stop(
                        event, f"The file has more than {MOST_VALUES} values."
                    )
                self._refuse_extras(event)
                if isinstance(event, yaml.CollectionStartEvent):
                    self._open(event)
                else:
                    self._read_text(event)

    def _refuse_extras(self, event: yaml.NodeEvent) -> None:
        """Refuse aliases, anchors and tags."""
        name = limits.shortened(event.anchor or "")
        if isinstance(event, yaml.AliasEvent):
            message = (
                f"*{name}: aliases are not supported. Write out the value."
            )
            self._add_mistake(event, message)
        elif name:
            self._add_mistake(event, f"&{name}: anchors are not supported.")
        tag: str | None = getattr(event, "tag", None)
        if tag:
            message = "tags are not supported; every value is text."
            self._add_mistake(event, f"{limits.shortened(tag)}: {message}")

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        if len(self._stack) == MOST_NESTED:
            self._stop(
                event,
                f"Values are nested more than {MOST_NESTED} levels deep.",
            )
        if self._expects_key():
            self._stop(event, "A key must be text.")
        is_list = isinstance(event, yaml.SequenceStartEvent)
        self._stack.append(
            _Collection(Node(_line(event), [] if is_list else {}))
        )

    def _read_text(self, event: yaml.NodeEvent) -> None:
        text = event.value if isinstance(event, yaml.ScalarEvent) else ""
        if self._expects_key():
            mapping = self._stack[-1]
            if len(mapping.node.value) == MOST_KEYS:
                self._stop(event, f"A mapping has more than {MOST_KEYS} keys.")
            first_line = mapping.node.line_of([text])
            mapping.key, mapping.key_line = text, _line(event)
            if text in mapping.node.value:
                message = (
                    f"This key is used twice, first in line {first_line}."
                )
                self._add_mistake(event, message)
            return
        if (
            isinstance(event, yaml.ScalarEvent)
            and text in _NULLS
            and event.implicit[0]
        ):
            message = (
                "This value is missing. Remove the key, or put text in quotes."
            )
            self._add_mistake(event, message)
        self._check_comment(event, text)
        self._add(Node(_line(event), text))

    def _check_comment(self, event: yaml.NodeEvent, text: str) -> None:
        """Add a remark if a value without quotes ends at a suspicious comment."""
        is_plain = isinstance(event, yaml.ScalarEvent) and not event.style
        if not (self._lines and is_plain and event.end_mark):
            return
        rest = self._lines[event.end_mark.line][event.end_mark.column :]
        comment = _SUSPICIOUS_COMMENT.match(rest)
        if comment:
            lost = limits.shortened(comment[1].rstrip())
            kept = limits.shortened(text)
            message = (
                f"YAML reads {lost!r} as a comment, so the text is {kept!r}. "
                "Put the whole text in quotes."
            )
            self.document.remarks.append(self._mistake(event, message))

    def _expects_key(self) -> bool:
        return bool(self._stack) and self._stack[-1].expects_key()

    def _add(self, node: Node) -> None:
        """Add a finished value to the collection that is being read."""
        if not self._stack:
            self.document.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif isinstance(parent.node.value, dict) and parent.key is not None:
            node.line = parent.key_line
            parent.node.value[parent.key] = node
            parent.key = None

    def _add_mistake(self, event: yaml.Event, message: str) -> None:
        self.document.mistakes.append(self._mistake(event, message))
        if len(self.document.mistakes) > MOST_MISTAKES:
            raise _Stop

    def _mistake(self, event: yaml.Event, message: str) -> Mistake:
        steps = [each.step() for each in self._stack if not each.expects_key()]
        return Mistake(line=_line(event), path=path(steps), message=message)

    def _stop(self, event: yaml.Event, message: str) -> NoReturn:
        self._add_mistake(event, message)
        raise _Stop


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _last_line(text: bytes) -> int:
    """Return the number of the line in which a text ends."""
    return text.count(b"\n") + 1


def _join_surrogates(pair: re.Match[str]) -> str:
    return pair[1] + bytes.fromhex(pair[2] + pair[3]).decode("utf-16-be")
