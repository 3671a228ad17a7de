"""The plan file of `orchestrate apply`: its fields, what is wrong in which line, and the plan that it becomes."""

import re
from collections.abc import Callable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
)
from pydantic_core import ErrorDetails
from taskorch.domain import errors, limits, start_time
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    NewItem,
)
from taskorch.domain.start_time import StartTime
from taskorch.queue.plan import Plan

from taskorch_orchestrator.plan import yaml_reader
from taskorch_orchestrator.plan.yaml_reader import Mistake, Node, Step

MOST_SHOWN = 20
#: A message may quote what it refuses.
MESSAGE_CHARACTERS = 400
CIRCLE_SHOWN = 6

T = TypeVar("T")


def _within(check: Callable[[Any], object]) -> AfterValidator:
    """Return a bound as a validator."""

    def run(value: T) -> T:
        try:
            check(value)
        except errors.Invalid as refusal:
            raise ValueError(str(refusal)) from None
        return value

    return AfterValidator(run)


def _read_by(read: Callable[[str], T]) -> BeforeValidator:
    """Return a reader of text as a validator."""

    def run(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("It is to be a text.")  # noqa: TRY004  pydantic collects the one, not the other
        try:
            return read(value)
        except errors.Invalid as refusal:
            raise ValueError(str(refusal)) from None

    return BeforeValidator(run)


def _number(what: str, least: int, most: int) -> BeforeValidator:
    def read(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value):
            raise errors.Invalid(
                reason=f"{limits.shortened(value)!r} is not a whole number from {least} to {most}."
            )
        return limits.number(int(value), what, least, most)

    return _read_by(read)


def _text(what: str) -> AfterValidator:
    return _within(lambda value: limits.text(value, what, required=True))


def _counting(least: int, most: int) -> BeforeValidator:
    """Return a bound of a list as a validator that runs before its values are looked at."""

    def run(value: object) -> object:
        if isinstance(value, list) and len(value) < least:
            raise ValueError("It is empty.")
        if isinstance(value, list) and len(value) > most:
            raise ValueError(f"There are {len(value)}; {most} are allowed.")
        return value

    return BeforeValidator(run)


Texts = Annotated[
    tuple[Annotated[str, _text("value")], ...], _counting(0, limits.LIST_VALUES)
]
Dependencies = Annotated[
    tuple[Annotated[str, _text("value")], ...], _counting(0, limits.DEPENDENCIES)
]


class PlannedItem(BaseModel):
    """An item of a plan file; each field is an option of `orchestrate create`, or its argument."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, _within(lambda value: limits.title(value, "name"))]
    title: Annotated[str, _within(limits.title)]
    description: Annotated[str, _text("description")] = ""
    agent: Annotated[str, _within(lambda value: limits.name(value, "an agent"))] = ""
    requirements: Texts = ()
    depends_on: Dependencies = ()
    priority: Annotated[int, _number("priority", 0, 4)] = DEFAULT_PRIORITY
    lease: Annotated[int, _read_by(limits.duration_ms)] = DEFAULT_LEASE_MS
    max_attempts: Annotated[int, _number("number of attempts", 1, 1000)] = (
        DEFAULT_MAX_ATTEMPTS
    )
    not_before: Annotated[StartTime, _read_by(start_time.parse)] = StartTime()
    context: Annotated[
        dict[str, str], _within(lambda mapped: limits.pairs(mapped, "context values"))
    ] = {}
    resources: Texts = ()
    deliverables: Texts = ()
    accept: Texts = ()

    def new(self, depends_on: Sequence[str | int]) -> NewItem:
        """Return the item; its name is its key."""
        return NewItem(
            key=self.name,
            title=self.title,
            description=self.description,
            agent=self.agent,
            requirements=self.requirements,
            depends_on=tuple(depends_on),
            priority=self.priority,
            lease_ms=self.lease,
            max_attempts=self.max_attempts,
            delay_ms=self.not_before.delay_ms,
            not_before_at=self.not_before.at,
            context=self.context,
            resources=self.resources,
            deliverables_expected=self.deliverables,
            criteria=self.accept,
        )


class PlanFile(BaseModel):
    """A plan file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A title, or the id of a project that is there.
    project: Annotated[str, _within(limits.title)]
    description: Annotated[str, _text("description")] = ""
    key: Annotated[str, _text("key")] = ""
    items: Annotated[tuple[PlannedItem, ...], _counting(1, limits.BATCH_ITEMS)]

    def adds(self) -> bool:
        """Return whether it adds to a project that is there."""
        return limits.is_project_id(self.project)


def read(name: str, data: bytes) -> Plan:
    """Return the plan that a file of that name holds; raises errors.BadPlan with all that is wrong with it."""
    root, mistakes, eaten = yaml_reader.read(data)
    if root is None or mistakes:
        raise _refusal(name, mistakes)
    try:
        found = PlanFile.model_validate(root.plain())
    except ValidationError as error:
        raise _refusal(
            name, [_mistake(root, each) for each in error.errors(include_url=False)]
        ) from None
    mistakes = list(_mistaken_names(root, found))
    if mistakes:
        raise _refusal(name, mistakes)
    remarks = sorted(
        [*eaten, *_times_without_zone(root, found)], key=lambda remark: remark.line
    )
    return replace(_plan(found), remarks=tuple(remark.told() for remark in remarks))


def _times_without_zone(root: Node, found: PlanFile) -> Iterator[Mistake]:
    for place, item in enumerate(found.items):
        if item.not_before.remark:
            yield _at(root, ["items", place, "not_before"], item.not_before.remark)


def _plan(found: PlanFile) -> Plan:
    places = {
        found.items[at].name: place for place, at in enumerate(_in_order(found.items))
    }
    items = {item.name: item for item in found.items}
    news = tuple(
        items[name].new(
            [places.get(needed, needed) for needed in items[name].depends_on]
        )
        for name in places
    )
    if found.adds():
        return Plan(items=news, project=found.project)
    return Plan(
        items=news, title=found.project, description=found.description, key=found.key
    )


def _in_order(items: Sequence[PlannedItem]) -> Iterator[int]:
    """Return the places of the items in the file: each after those it depends on, and else in the file's order.

    Raises CycleError.
    """
    places = {item.name: place for place, item in enumerate(items)}
    graph = {
        at: [places[name] for name in item.depends_on if name in places]
        for at, item in enumerate(items)
    }
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    ready: list[int] = []
    while sorter.is_active():
        for place in sorter.get_ready():
            heappush(ready, place)
        first = heappop(ready)
        sorter.done(first)
        yield first


def _mistaken_names(root: Node, found: PlanFile) -> Iterator[Mistake]:
    """Find what each field by itself does not show."""
    for field in ("key", "description"):
        if found.adds() and getattr(found, field):
            yield _at(
                root,
                [field],
                f"It does not go with the id of a project; {found.project} is there already.",
            )
    first: dict[str, int] = {}
    for place, item in enumerate(found.items):
        if item.name in first:
            line = root.line_of(["items", first[item.name], "name"])
            yield _at(
                root,
                ["items", place, "name"],
                f"{_named(item.name)} is there twice, first in line {line}.",
            )
        first.setdefault(item.name, place)
    for place, item in enumerate(found.items):
        for at, name in enumerate(item.depends_on):
            if name not in first and not limits.is_item_id(name):
                message = (
                    f"{_named(name)} is no name of this plan, and no id of an item."
                )
                yield _at(root, ["items", place, "depends_on", at], message)
    if len(first) == len(found.items):
        yield from _circle(root, found.items)


def _circle(root: Node, items: Sequence[PlannedItem]) -> Iterator[Mistake]:
    try:
        list(_in_order(items))
    except CycleError as error:
        circle: list[int] = error.args[1][::-1]
        shown = [_named(items[place].name) for place in circle]
        cut = (
            [*shown[: CIRCLE_SHOWN - 1], "…", shown[-1]]
            if len(shown) > CIRCLE_SHOWN
            else shown
        )
        yield _at(
            root,
            ["items", circle[0], "depends_on"],
            f"A circle: {' needs '.join(cut)}.",
        )


def _mistake(root: Node, error: ErrorDetails) -> Mistake:
    steps = [step for step in error["loc"] if step != "[key]"]
    return _at(root, steps, _in_words(error))


def _in_words(error: ErrorDetails) -> str:
    """Return what pydantic says in the words of a plan."""
    fields = (
        PlannedItem.model_fields if "items" in error["loc"] else PlanFile.model_fields
    )
    words = {
        "missing": "It is missing.",
        "extra_forbidden": f"There is no such field; there are {', '.join(fields)}.",
        "string_type": "It is to be a text.",
        "tuple_type": "It is to be a list.",
        "dict_type": "It is to be a mapping, name: value.",
        "model_type": "It is to be a mapping, field: value.",
        "value_error": "{error}",
    }
    return words.get(error["type"], error["msg"]).format_map(error.get("ctx", {}))


def _at(root: Node, steps: Sequence[Step], message: str) -> Mistake:
    return Mistake(
        line=root.line_of(steps), path=yaml_reader.path(steps), message=message
    )


def _named(name: str) -> str:
    return repr(limits.shortened(name))


def _refusal(name: str, mistakes: Sequence[Mistake]) -> errors.BadPlan:
    ordered = sorted(mistakes, key=lambda mistake: mistake.line)
    shown: list[dict[str, str | int]] = [
        {
            "line": m.line,
            "path": m.path,
            "message": limits.shortened(m.message, MESSAGE_CHARACTERS),
        }
        for m in ordered[:MOST_SHOWN]
    ]
    return errors.BadPlan(file=name, mistakes=shown, left_out=len(ordered) - len(shown))
