"""What the readers of other trackers' files find: projects and their items."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

#: Fields whose values are not worth a remark: they are empty.
EMPTY: tuple[object, ...] = (None, "", 0, False, [], {})
#: Priorities in words, as people and trackers name them.
PRIORITIES = {"critical": 0, "urgent": 0, "high": 1, "medium": 2, "low": 3}


class FoundState(StrEnum):
    """What is left to do of an item."""

    OPEN = "open"
    DONE = "done"
    CANCELLED = "cancelled"


class FoundItem(Frozen):
    """An item of a file. Its key is unique in the file."""

    key: str
    title: str
    state: FoundState
    description: str = ""
    criteria: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    priority: int = 2
    context: Mapping[str, str] = {}
    resources: tuple[str, ...] = ()
    #: Keys of items that must be done first; they may be missing in the file.
    depends_on: tuple[str, ...] = ()
    #: The key of the item that it is a part of, or "".
    parent: str = ""


@dataclass(slots=True)
class FoundProject:
    """The items of a file that belong together, by key and in their order."""

    title: str
    items: dict[str, FoundItem] = field(default_factory=dict)

    def add(self, item: FoundItem, place: str) -> None:
        """Add an item. Raises errors.Invalid if another one has its key."""
        if item.key in self.items:
            raise wrong(place, f"{limits.shortened(item.key)!r} is used twice")
        self.items[item.key] = item


@dataclass(slots=True)
class FoundFile:
    """The content of a file, and what has no place in an item."""

    projects: list[FoundProject] = field(default_factory=list)
    #: Field or state -> the number of items with one that has no place.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Texts that were cut, and labels that were changed.
    remarks: list[str] = field(default_factory=list)


class Record:
    """An object of a file, read field by field; the rest is counted as left out."""

    def __init__(self, value: object, place: str, file: FoundFile) -> None:
        """Read an object. `place` names it. Raises errors.Invalid for another value."""
        if not isinstance(value, dict):
            raise wrong(place, "is not an object")
        self.place = place
        self._fields: dict[str, object] = value
        self._unread = dict.fromkeys(value)
        self._file = file

    def value(self, name: str) -> object:
        """Return a value of any type; None if it is missing."""
        self._unread.pop(name, None)
        return self._fields.get(name)

    def skip(self, *names: str) -> None:
        """Leave out fields without counting them: they say nothing about the work."""
        for name in names:
            self._unread.pop(name, None)

    def text(self, name: str) -> str:
        """Return a text, "" if it is missing; one that is too long is cut."""
        value = self.value(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise wrong(self.place, f"{name} is not text")
        return self.fitted(value, name)

    def title(self) -> str:
        """Return the title. Raises errors.Invalid for a missing one."""
        title = self.text("title").strip()
        most = limits.TITLE_CHARACTERS
        if not title:
            raise wrong(self.place, "has no title")
        if len(title) > most:
            self._file.remarks.append(
                f"{self.place}: title is cut to {most} characters."
            )
        return title[:most]

    def fitted(self, text: str, name: str) -> str:
        """Return a text without what the queue refuses, at most 64 KiB long."""
        most = limits.TEXT_BYTES
        clean = limits.normalised(text).replace("\0", "")
        data = clean.encode(errors="replace")
        if len(data) > most:
            self._file.remarks.append(
                f"{self.place}: {name} is cut to {most} bytes."
            )
        return data[:most].decode(errors="ignore")

    def records(self, name: str) -> list["Record"]:
        """Return a list of objects; [] if it is missing."""
        return [
            Record(each, f"{self.place}.{name}[{place}]", self._file)
            for place, each in enumerate(self._list(name))
        ]

    def words(self, name: str) -> list[str]:
        """Return a list of texts or numbers as texts; [] if it is missing."""
        found = []
        for each in self._list(name):
            if isinstance(each, bool) or not isinstance(each, str | int):
                raise wrong(self.place, f"{name} has a value that is not text")
            found.append(str(each))
        return found

    def number(self, name: str, default: int) -> int:
        """Return a whole number."""
        value = self.value(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(self.place, f"{name} is not a whole number")
        return value

    def labels(self, names: list[str]) -> tuple[str, ...]:
        """Return labels in the form of ours; a changed one leaves a remark."""
        found = []
        for name in names:
            label = _label(name)
            if label != name:
                became = f"became {label!r}" if label else "is left out"
                self._file.remarks.append(
                    f"{self.place}: the label {limits.shortened(name)!r} {became}."
                )
            if label:
                found.append(label)
        unique = list(dict.fromkeys(found))
        if len(unique) > limits.LABELS:
            self._file.remarks.append(
                f"{self.place}: {len(unique)} labels; the first {limits.LABELS} are kept."
            )
        return tuple(unique[: limits.LABELS])

    def count_state(self, state: str) -> None:
        """Count an item whose state has no place here, such as in progress."""
        self._file.left_out[f"the state {limits.shortened(state)}"] += 1

    def count_link(self, kind: str) -> None:
        """Count a link to another item that no item waits for."""
        self._file.left_out[f"links of the kind {kind}"] += 1

    def end(self) -> None:
        """Count the fields that nobody has read."""
        for name in self._unread:
            if self._fields[name] not in EMPTY:
                self._file.left_out[limits.shortened(name)] += 1

    def _list(self, name: str) -> list[object]:
        value = self.value(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise wrong(self.place, f"{name} is not a list")
        return value


def wrong(place: str, reason: str) -> errors.Invalid:
    """Return the error for a file that is not what it seems to be."""
    return errors.Invalid(reason=f"{place}: {reason}. Nothing was written.")


def sections(*parts: tuple[str, str]) -> str:
    """Return a description of several texts, each under its heading; "" for none."""
    kept = [(heading, text.strip()) for heading, text in parts if text.strip()]
    return "\n\n".join(
        f"{heading}:\n{text}" if heading else text for heading, text in kept
    )


def _label(name: str) -> str:
    """Return a label of ours for another one: "good first issue", "area: api"."""
    words = name.replace(": ", ":").split()
    kept = [
        "".join(
            character if limits.is_label(f"x{character}") else "-"
            for character in word
        )
        for word in words
    ]
    label = "-".join(kept).lstrip("_.:/@+-")[: limits.LABEL_CHARACTERS]
    return label if limits.is_label(label) else ""
