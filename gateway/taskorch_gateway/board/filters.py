"""The filter language of the board: what a person types, and the items that it means.

    filter = [ term { space term } ]
    term   = [ "-" ] key ":" value { "," value } | word | quoted
    value  = quoted | characters without a space, a comma and a quote
    quoted = '"', characters with a backslash in front of a quote or a backslash, '"'

Several values of a key mean any of them, except labels: an item has all of those. All
words are in the title or the description of an item.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Generic, TypeVar

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import ItemFilter, State
from taskorch.queue.search import MOST_TEXTS, MOST_VALUES

#: Maximum number of characters of a filter.
MOST_CHARACTERS = 1000
#: Maximum number of projects that a filter names.
MOST_PROJECTS = 20
#: What `state:open` means: items that are neither completed nor cancelled.
OPEN = "open"
OPEN_STATES = tuple(
    state for state in State if state not in (State.COMPLETED, State.CANCELLED)
)
PRIORITIES = (0, 1, 2, 3, 4)
#: Key -> an example of its values.
KEYS: Mapping[str, str] = {
    "state": "failed",
    "agent": "frontend",
    "pool": "backend",
    "project": "report",
    "label": "api",
    "priority": "0",
    "older": "2h",
    "newer": "30m",
}
#: The keys that may have a "-" in front, because all of their values are known.
NEGATABLE = ("state", "priority")
_SPACES = r"\s*"
_NOT_SPACES = r"\S+"
_KEY = r"(-?)([A-Za-z_]+):"
_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_ESCAPED = r"\\(.)"
_BARE_VALUE = r'[^\s,"]+'
#: Words and values that are understood without quotes.
_PLAIN_WORD = r'(?!-)[^\s":]+'
_PLAIN_VALUE = _BARE_VALUE

Choice = TypeVar("Choice", State, int)


class WrongFilter(errors.Usage):
    """A filter that does not parse, with the place of the mistake."""

    message = "Column {column}: {reason}"

    def __init__(self, reason: str, at: int, end: int) -> None:
        """`at` is the first wrong character, counted from 0, and `end` is behind it."""
        super().__init__(reason=reason, column=at + 1)
        self.at = at
        self.end = max(end, at + 1)


class FilterValue(Frozen):
    """A word, or a value of a key, and its place in the filter."""

    text: str
    at: int
    end: int

    def wrong(self, reason: str) -> WrongFilter:
        """Return the error that it is wrong."""
        return WrongFilter(reason, self.at, self.end)

    def checked(self, check: Callable[[str], object]) -> str:
        """Return its text if a check of its form passes. Raises WrongFilter."""
        try:
            check(self.text)
        except errors.Invalid as error:
            raise self.wrong(str(error)) from None
        return self.text


class Filter(Frozen):
    """What a filter says. An empty field matches every item."""

    states: tuple[State, ...] = ()
    agents: tuple[str, ...] = ()
    #: The pools that they came from.
    pools: tuple[str, ...] = ()
    #: Ids, or texts in their titles.
    projects: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    priorities: tuple[int, ...] = ()
    #: Durations, such as "2h": it has not changed for this long, or it has changed since.
    older: str = ""
    newer: str = ""
    words: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return it as text, which parses as the same filter."""
        return " ".join(_terms(self))

    def items(self, project: str = "") -> ItemFilter:
        """Return it for a search in one project, "" for all."""
        return ItemFilter(
            project=project,
            states=self.states,
            agents=self.agents,
            pools=self.pools,
            priorities=self.priorities,
            labels=self.labels,
            texts=self.words,
            since_ago_ms=_ms(self.newer),
            until_ago_ms=_ms(self.older),
        )

    def of_states(self, *states: State) -> "Filter":
        """Return the same filter for other states."""
        return replace(self, states=states)


class ParsedFilter(Frozen):
    """A filter, and where it names its projects: only the queue knows those."""

    filter: Filter
    projects: tuple[FilterValue, ...]


def parse(text: str) -> ParsedFilter:
    """Return what a filter says. Raises WrongFilter."""
    if len(text) > MOST_CHARACTERS:
        raise WrongFilter(
            f"A filter has at most {MOST_CHARACTERS} characters.",
            MOST_CHARACTERS,
            len(text),
        )
    said, reader = _Said(), _TermReader(text)
    while reader.has_more():
        reader.read_term(said)
    return said.parsed()


class _Choices(Generic[Choice]):
    """The values of a key that are named, and those that are ruled out."""

    def __init__(self, every: Iterable[Choice]) -> None:
        self._every: tuple[Choice, ...] = tuple(every)
        self._named: set[Choice] = set()
        self._ruled_out: set[Choice] = set()

    def add(
        self, place: FilterValue, values: Iterable[Choice], *, is_negated: bool
    ) -> None:
        """Add values. Raises WrongFilter if none is left then."""
        (self._ruled_out if is_negated else self._named).update(values)
        if not self._left():
            raise place.wrong("The filter names this, and rules it out.")

    def wanted(self) -> tuple[Choice, ...]:
        """Return the values that an item may have; () for any."""
        left = self._left()
        return left if left != self._every else ()

    def _left(self) -> tuple[Choice, ...]:
        named = self._named or self._every
        return tuple(
            each
            for each in self._every
            if each in named and each not in self._ruled_out
        )


class _Said:
    """What the terms so far say."""

    def __init__(self) -> None:
        self._states = _Choices(State)
        self._priorities = _Choices(PRIORITIES)
        self._agents: dict[str, None] = {}
        self._pools: dict[str, None] = {}
        self._labels: dict[str, None] = {}
        self._projects: dict[str, FilterValue] = {}
        self._words: dict[str, None] = {}
        #: "older" and "newer" -> a duration.
        self._ages: dict[str, str] = {}

    def add_word(self, word: FilterValue) -> None:
        """Add a word. Raises WrongFilter."""
        text = word.checked(lambda text: limits.title(text, "word"))
        self._words[limits.normalised(text)] = None
        if len(self._words) > MOST_TEXTS:
            raise word.wrong(f"A filter has at most {MOST_TEXTS} words.")

    def add(self, key: str, value: FilterValue, *, is_negated: bool) -> None:
        """Add a value of a key. Raises WrongFilter."""
        match key:
            case "state":
                states = _states(value)
                self._states.add(value, states, is_negated=is_negated)
            case "priority":
                priority = (_priority(value),)
                self._priorities.add(value, priority, is_negated=is_negated)
            case "agent":
                value.checked(lambda text: limits.name(text, "an agent"))
                self._agents[value.text] = None
                _need_few(value, self._agents, MOST_VALUES, "agents")
            case "pool":
                self._pools[value.checked(limits.pool_name)] = None
                _need_few(value, self._pools, MOST_VALUES, "pools")
            case "label":
                self._labels[value.checked(limits.label)] = None
                _need_few(value, self._labels, limits.LABELS, "labels")
            case "project":
                value.checked(lambda text: limits.title(text, "project"))
                self._projects[value.text] = value
                _need_few(value, self._projects, MOST_PROJECTS, "projects")
            case _:
                self._add_age(key, value)

    def _add_age(self, key: str, value: FilterValue) -> None:
        value.checked(limits.duration_ms)
        if key in self._ages:
            raise value.wrong(f"The filter has {key}: twice.")
        self._ages[key] = value.text

    def parsed(self) -> ParsedFilter:
        """Return all of it."""
        known = Filter(
            states=self._states.wanted(),
            agents=tuple(self._agents),
            pools=tuple(self._pools),
            projects=tuple(self._projects),
            labels=tuple(self._labels),
            priorities=self._priorities.wanted(),
            older=self._ages.get("older", ""),
            newer=self._ages.get("newer", ""),
            words=tuple(self._words),
        )
        return ParsedFilter(
            filter=known, projects=tuple(self._projects.values())
        )


class _TermReader:
    """Reads a text, term by term."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def has_more(self) -> bool:
        """Return whether there is another term."""
        self._match(_SPACES)
        return self._at < len(self._text)

    def read_term(self, said: _Said) -> None:
        """Read a term. Raises WrongFilter."""
        at = self._at
        if key := self._match(_KEY):
            name = self._key(at, key)
            for value in self._values(at, name):
                said.add(name, value, is_negated=bool(key[1]))
        elif self._next() == "-":
            self._match(_NOT_SPACES)
            raise WrongFilter(
                "Only state: and priority: take a '-' in front. To find a text with "
                "it, write it in quotes.",
                at,
                self._at,
            )
        else:
            said.add_word(self._quoted() or self._bare(_NOT_SPACES))
        if self._next().strip():
            raise WrongFilter("A space is missing.", self._at, self._at + 1)

    def _key(self, at: int, match: re.Match[str]) -> str:
        """Return the name of a known key. Raises WrongFilter."""
        negation, given = match.groups()
        name = given.lower()
        if name not in KEYS:
            shown = limits.shortened(given)
            raise WrongFilter(
                f"There is no key {shown}:{_meant(name, KEYS, ':')} To find a text "
                "with a colon, write it in quotes.",
                at,
                self._at,
            )
        if negation and name not in NEGATABLE:
            raise WrongFilter(
                f"Only state: and priority: take a '-' in front, not {name}:",
                at,
                self._at,
            )
        return name

    def _values(self, at: int, key: str) -> Iterator[FilterValue]:
        """Yield the values behind a key that begins at a place. Raises WrongFilter."""
        while True:
            value = self._quoted() or self._bare(_BARE_VALUE)
            if not (value.text or value.end > value.at):
                raise WrongFilter(
                    f"A value is missing, such as {key}:{KEYS[key]}",
                    at,
                    self._at,
                )
            yield value
            if not self._match(","):
                return

    def _quoted(self) -> FilterValue | None:
        """Read a text in quotes, if there is one. Raises WrongFilter."""
        at = self._at
        if self._next() != '"':
            return None
        match = self._match(_QUOTED)
        if not match:
            raise WrongFilter("The quote is not closed.", at, len(self._text))
        text = re.sub(_ESCAPED, r"\1", match[1], flags=re.DOTALL)
        text = re.sub(r"\s", " ", text)
        return FilterValue(text=text, at=at, end=self._at)

    def _bare(self, pattern: str) -> FilterValue:
        """Read a text without quotes, "" if there is none."""
        at = self._at
        match = self._match(pattern)
        return FilterValue(text=match[0] if match else "", at=at, end=self._at)

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _match(self, pattern: str) -> re.Match[str] | None:
        match = re.compile(pattern, re.DOTALL).match(self._text, self._at)
        if match:
            self._at = match.end()
        return match


def _states(value: FilterValue) -> Sequence[State]:
    word = re.sub("[ -]", "_", value.text.lower())
    if word == OPEN:
        return OPEN_STATES
    try:
        return (State(word),)
    except ValueError:
        known = (*State, OPEN)
        shown = limits.shortened(value.text)
        raise value.wrong(
            f"There is no state {shown}.{_meant(word, known)}"
        ) from None


def _priority(value: FilterValue) -> int:
    if value.text in map(str, PRIORITIES):
        return int(value.text)
    shown = limits.shortened(value.text)
    raise value.wrong(
        f"{shown} is not a priority. It is 0 (most urgent) to 4."
    )


def _need_few(
    value: FilterValue, named: Mapping[str, object], most: int, what: str
) -> None:
    if len(named) > most:
        raise value.wrong(f"A filter names at most {most} {what}.")


def _meant(word: str, known: Iterable[str], mark: str = "") -> str:
    """Return a sentence with the similar words, or with all of them."""
    words = [str(each) for each in known]
    similar = get_close_matches(word, words, n=2)
    if similar:
        return f" Did you mean {' or '.join(f'{each}{mark}' for each in similar)}?"
    return f" There are {', '.join(f'{each}{mark}' for each in words)}."


def _terms(known: Filter) -> Iterator[str]:
    """Yield the terms of a filter."""
    if known.states == OPEN_STATES:
        yield f"state:{OPEN}"
    else:
        yield from _choices("state", known.states, State)
    for key, values in (
        ("agent", known.agents),
        ("pool", known.pools),
        ("project", known.projects),
        ("label", known.labels),
    ):
        if values:
            written = (_in_quotes(each, _PLAIN_VALUE) for each in values)
            yield f"{key}:{','.join(written)}"
    yield from _choices("priority", known.priorities, PRIORITIES)
    for key, age in (("older", known.older), ("newer", known.newer)):
        if age:
            yield f"{key}:{age}"
    for word in known.words:
        yield _in_quotes(word, _PLAIN_WORD)


def _choices(
    key: str, wanted: Sequence[Choice], every: Iterable[Choice]
) -> Iterator[str]:
    """Yield the term of the values that an item may have, in the shorter way."""
    others = [each for each in every if each not in wanted]
    if not wanted:
        return
    if len(others) < len(wanted):
        yield f"-{key}:{','.join(map(str, others))}"
    else:
        yield f"{key}:{','.join(map(str, wanted))}"


def _in_quotes(text: str, plain: str) -> str:
    """Return a text as a filter has it: in quotes unless it is plain."""
    if re.fullmatch(plain, text):
        return text
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _ms(duration: str) -> int:
    return limits.duration_ms(duration) if duration else 0
