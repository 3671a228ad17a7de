"""Plan files of `orchestrate apply`: their fields, and mistakes with line numbers."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from taskorch.domain import acceptance_rules, errors, limits, start_time
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    NewItem,
)
from taskorch.domain.start_time import StartTime
from taskorch.queue.plan import Plan

from taskorch_orchestrator.plan import variables, yaml_reader
from taskorch_orchestrator.plan.variables import Variable
from taskorch_orchestrator.plan.yaml_reader import Mistake, Node, Step

MOST_SHOWN = 20
#: A message may quote the value that it refuses.
MESSAGE_CHARACTERS = 400
#: Names of a circular dependency in its message.
CYCLE_SHOWN = 6

T = TypeVar("T")


def _checked_by(check: Callable[[Any], object]) -> AfterValidator:
    """Return a check of `limits` as a validator."""

    def validate(value: T) -> T:
        try:
            check(value)
        except errors.Invalid as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(validate)


def _parsed_by(parse: Callable[[str], T]) -> BeforeValidator:
    """Return a function that parses text as a validator."""

    def validate(value: object) -> T:
        if not isinstance(value, str):
            raise ValueError("Expected text.")  # noqa: TRY004  pydantic collects only ValueErrors
        try:
            return parse(value)
        except errors.Invalid as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(validate)


def _number(what: str, least: int, most: int) -> BeforeValidator:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", value):
            shown = limits.shortened(value)
            raise errors.Invalid(
                reason=f"{shown!r} is not a whole number from {least} to {most}."
            )
        return limits.number(int(value), what, least, most)

    return _parsed_by(parse)


def _text(what: str) -> AfterValidator:
    return _checked_by(lambda value: limits.text(value, what, required=True))


def _sized(least: int, most: int) -> BeforeValidator:
    """Return a validator of a list's length that runs before its values are checked."""

    def validate(value: object) -> object:
        if isinstance(value, list) and len(value) < least:
            raise ValueError("The list is empty.")
        if isinstance(value, list) and len(value) > most:
            raise ValueError(
                f"The list has {len(value)} values; at most {most} are allowed."
            )
        return value

    return BeforeValidator(validate)


Texts = Annotated[
    tuple[Annotated[str, _text("value")], ...], _sized(0, limits.LIST_VALUES)
]
Dependencies = Annotated[
    tuple[Annotated[str, _text("value")], ...], _sized(0, limits.DEPENDENCIES)
]


def _fits_one_step(value: object) -> object:
    """Refuse more items than one step creates."""
    if isinstance(value, list) and (
        too_many := limits.batch_items(len(value))
    ):
        raise ValueError(f"The list has {too_many}")
    return value


Labels = Annotated[
    tuple[Annotated[str, _checked_by(limits.label)], ...] | None,
    _sized(0, limits.LABELS),
]


#: Criteria in words, and the rules of acceptance checks and reviews.
Accept = Annotated[
    tuple[
        Annotated[
            object, _checked_by(lambda entry: acceptance_rules.parse([entry]))
        ],
        ...,
    ],
    _sized(0, limits.LIST_VALUES),
    _checked_by(acceptance_rules.parse),
]


class PlannedItem(BaseModel):
    """An item of a plan file: the options and arguments of `orchestrate create`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[
        str, _checked_by(lambda value: limits.title(value, "name"))
    ]
    title: Annotated[str, _checked_by(limits.title)]
    description: Annotated[str, _text("description")] = ""
    agent: Annotated[str, _checked_by(limits.agent_name)] = ""
    pool: Annotated[str, _checked_by(limits.pool_name)] = ""
    requirements: Texts = ()
    depends_on: Dependencies = ()
    priority: Annotated[int, _number("priority", 0, 4)] = DEFAULT_PRIORITY
    lease: Annotated[int, _parsed_by(limits.duration_ms)] = DEFAULT_LEASE_MS
    max_attempts: Annotated[int, _number("number of attempts", 1, 1000)] = (
        DEFAULT_MAX_ATTEMPTS
    )
    not_before: Annotated[StartTime, _parsed_by(start_time.parse)] = (
        StartTime()
    )
    context: Annotated[
        dict[str, str],
        _checked_by(
            lambda mapped: limits.pairs(mapped, "context values", "context")
        ),
    ] = {}
    resources: Texts = ()
    deliverables: Texts = ()
    accept: Accept = ()
    #: None leaves the labels of an existing item.
    labels: Labels = None
    traceparent: Annotated[str, _checked_by(limits.traceparent)] = ""

    def new(self, depends_on: Sequence[str | int]) -> NewItem:
        """Return the item to create; its name becomes its key.

        `depends_on` holds item ids and places of earlier items in the plan.
        """
        accepted = acceptance_rules.parse(self.accept)
        return NewItem(
            key=self.name,
            title=self.title,
            description=self.description,
            agent=self.agent,
            pool=self.pool,
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
            criteria=accepted.criteria,
            checks=accepted.checks,
            reviewer=accepted.reviewer,
            labels=self.labels,
            traceparent=self.traceparent,
        )


class PlanFile(BaseModel):
    """A plan file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: A title, or the id of an existing project.
    project: Annotated[str, _checked_by(limits.title)]
    description: Annotated[str, _text("description")] = ""
    key: Annotated[str, _text("key")] = ""
    items: Annotated[
        tuple[PlannedItem, ...],
        _sized(1, limits.LARGEST),
        BeforeValidator(_fits_one_step),
    ]

    def is_addition(self) -> bool:
        """Return whether the plan adds items to an existing project."""
        return limits.is_project_id(self.project)


def read(
    name: str,
    data: bytes,
    values: Mapping[str, str] | None = None,
    offered: Mapping[str, str] | None = None,
) -> Plan:
    """Return the plan in a file. `name` is used in messages.

    `values` are those of its variables, by name. `offered` values are for variables that
    are not among them, and need not be declared. Raises errors.BadPlan with all mistakes
    in the file.
    """
    document = yaml_reader.read(data)
    if document.root is None or document.mistakes:
        raise _bad_plan(name, document.mistakes)
    filled = variables.fill(document.root, values or {}, offered or {})
    if filled.mistakes:
        raise _bad_plan(name, filled.mistakes)
    root = filled.root
    try:
        plan_file = PlanFile.model_validate(root.plain())
    except ValidationError as error:
        mistakes = [
            _mistake(root, each) for each in error.errors(include_url=False)
        ]
        raise _bad_plan(name, mistakes) from None
    mistakes = list(_mistakes_between_fields(root, plan_file))
    if mistakes:
        raise _bad_plan(name, mistakes)
    remarks = document.remarks
    for place, item in enumerate(plan_file.items):
        if item.not_before.remark:
            steps: list[Step] = ["items", place, "not_before"]
            remarks.append(_mistake_at(root, steps, item.not_before.remark))
    remarks.sort(key=lambda remark: remark.line)
    return replace(
        _plan(plan_file),
        remarks=tuple(map(str, remarks)),
        filled=root.plain() if filled.has_variables else None,
    )


def variables_of(data: bytes) -> tuple[Variable, ...] | None:
    """Return the variables that a file declares, None if it cannot be read."""
    document = yaml_reader.read(data)
    if document.root is None or document.mistakes:
        return None
    return variables.declared(document.root)


def _plan(plan_file: PlanFile) -> Plan:
    ordered = [plan_file.items[place] for place in _in_order(plan_file.items)]
    places = {item.name: place for place, item in enumerate(ordered)}
    items = tuple(
        item.new([places.get(name, name) for name in item.depends_on])
        for item in ordered
    )
    if plan_file.is_addition():
        return Plan(items=items, project=plan_file.project)
    return Plan(
        items=items,
        title=plan_file.project,
        description=plan_file.description,
        key=plan_file.key,
    )


def _in_order(items: Sequence[PlannedItem]) -> Iterator[int]:
    """Yield the places of the items: dependencies first, else in the file's order.

    Raises CycleError.
    """
    places = {item.name: place for place, item in enumerate(items)}
    graph = {
        place: [places[name] for name in item.depends_on if name in places]
        for place, item in enumerate(items)
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


def _mistakes_between_fields(
    root: Node, plan_file: PlanFile
) -> Iterator[Mistake]:
    """Find the mistakes that no field shows by itself."""
    for field in ("key", "description"):
        if plan_file.is_addition() and getattr(plan_file, field):
            message = f"Remove this field: {plan_file.project} exists already."
            yield _mistake_at(root, [field], message)
    items = plan_file.items
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        if item.name in first:
            line = root.line_of(["items", first[item.name], "name"])
            message = (
                f"{_quoted(item.name)} is used twice, first in line {line}."
            )
            yield _mistake_at(root, ["items", place, "name"], message)
        first.setdefault(item.name, place)
        if item.agent and item.pool:
            message = "Name an agent or a pool, not both."
            yield _mistake_at(root, ["items", place, "pool"], message)
    yield from _unknown_dependencies(root, items)
    if len(first) == len(items):
        yield from _cycle(root, items)


def _unknown_dependencies(
    root: Node, items: Sequence[PlannedItem]
) -> Iterator[Mistake]:
    names = {item.name for item in items}
    for place, item in enumerate(items):
        for index, name in enumerate(item.depends_on):
            if name not in names and not limits.is_item_id(name):
                steps: list[Step] = ["items", place, "depends_on", index]
                message = f"{_quoted(name)} is neither a name in this plan nor an id."
                yield _mistake_at(root, steps, message)


def _cycle(root: Node, items: Sequence[PlannedItem]) -> Iterator[Mistake]:
    try:
        list(_in_order(items))
    except CycleError as error:
        cycle: list[int] = error.args[1][::-1]
        names = [_quoted(items[place].name) for place in cycle]
        if len(names) > CYCLE_SHOWN:
            names = [*names[: CYCLE_SHOWN - 1], "…", names[-1]]
        message = f"Circular dependency: {' needs '.join(names)}."
        yield _mistake_at(root, ["items", cycle[0], "depends_on"], message)


def _mistake(root: Node, error: ErrorDetails) -> Mistake:
    """Return an error of pydantic as a mistake in the words of a plan."""
    model = PlannedItem if "items" in error["loc"] else PlanFile
    fields = ", ".join(model.model_fields)
    messages = {
        "missing": "This field is missing.",
        "extra_forbidden": f"Unknown field. Fields are {fields}.",
        "string_type": "Expected text.",
        "tuple_type": "Expected a list.",
        "dict_type": "Expected a mapping of names to text.",
        "model_type": "Expected a mapping of fields to values.",
        "value_error": "{error}",
    }
    message = messages.get(error["type"], error["msg"])
    steps = [step for step in error["loc"] if step != "[key]"]
    return _mistake_at(root, steps, message.format_map(error.get("ctx", {})))


def _mistake_at(root: Node, steps: Sequence[Step], message: str) -> Mistake:
    line, path = root.line_of(steps), yaml_reader.path(steps)
    return Mistake(line=line, path=path, message=message)


def _quoted(name: str) -> str:
    return repr(limits.shortened(name))


def _bad_plan(name: str, mistakes: Sequence[Mistake]) -> errors.BadPlan:
    ordered = sorted(mistakes, key=lambda mistake: mistake.line)
    shown: list[dict[str, str | int]] = []
    for mistake in ordered[:MOST_SHOWN]:
        message = limits.shortened(mistake.message, MESSAGE_CHARACTERS)
        shown.append(
            {"line": mistake.line, "path": mistake.path, "message": message}
        )
    return errors.BadPlan(
        file=name, mistakes=shown, left_out=len(ordered) - len(shown)
    )
