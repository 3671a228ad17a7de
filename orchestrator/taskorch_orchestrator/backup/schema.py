"""The lines of an export as pydantic models, which check a file before an import."""

from collections.abc import Callable
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    StringConstraints,
    TypeAdapter,
    model_validator,
)
from taskorch.domain import acceptance_rules, errors, limits, usage_rules
from taskorch.domain.item import State
from taskorch.domain.schedule import (
    CRON_CHARACTERS,
    PLAN_BYTES,
    ZONE_CHARACTERS,
)
from taskorch.queue.keys import POOL
from taskorch.queue.replies import LEFT_OUT


def _checked_by(check: Callable[[str], str]) -> AfterValidator:
    """Return a check of `limits` as a validator."""

    def validate(value: str) -> str:
        try:
            return check(value)
        except errors.TaskOrchestratorError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(validate)


def _read_by(read: Callable[[object], object]) -> AfterValidator:
    """Return a check of a mapping by what reads it."""

    def validate(value: dict[str, object]) -> dict[str, object]:
        try:
            read(value)
        except errors.Invalid as error:
            raise ValueError(str(error)) from None
        return value

    return AfterValidator(validate)


#: Text in Redis. Earlier versions accepted NUL, which the commands refuse today.
Text = Annotated[str, _checked_by(lambda value: limits.sized(value, "text"))]
Title = Annotated[
    Text,
    _checked_by(
        lambda value: limits.title(value.replace("\0", "0")) and value
    ),
]
Name = Annotated[
    str, _checked_by(lambda value: limits.name(value, "an agent"))
]
NameOrNone = Annotated[
    str, _checked_by(lambda value: value and limits.name(value, "an agent"))
]
#: An agent, or pool: and the name of a pool.
OwnerOrNone = Annotated[
    str,
    _checked_by(
        lambda value: (
            value and limits.name(value.removeprefix(POOL), "an owner")
        )
    ),
]
ProjectId = Annotated[str, _checked_by(limits.project_id)]
ItemId = Annotated[str, _checked_by(limits.item_id)]
Entry = Annotated[str, _checked_by(limits.cursor)]
#: A role and a name, such as worker:ada.
Reader = Annotated[
    str,
    StringConstraints(pattern=r"^(worker|orchestrator):"),
    _checked_by(
        lambda value: (
            limits.name(value.partition(":")[2], "an agent") and value
        )
    ),
]
#: A number in a Redis hash, which is text.
Number = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,16}$")]
NumberOrNone = Annotated[str, StringConstraints(pattern=r"^[0-9]{0,16}$")]
Time = Annotated[int, Field(ge=0, le=2**53)]
Texts = Json[Annotated[list[Text], Field(max_length=limits.LIST_VALUES)]]
Pairs = Json[Annotated[dict[Text, Text], Field(max_length=limits.LIST_VALUES)]]
Ids = Json[Annotated[list[ItemId], Field(max_length=limits.DEPENDENCIES)]]

Labels = Json[
    Annotated[
        list[Annotated[str, _checked_by(limits.label)]],
        Field(max_length=limits.LABELS),
    ]
]
Checks = Json[
    Annotated[
        list[
            Annotated[
                dict[str, object], _read_by(acceptance_rules.existing_check)
            ]
        ],
        Field(max_length=acceptance_rules.CHECKS),
    ]
]
Evidence = Json[
    Annotated[
        list[
            Annotated[dict[str, object], _read_by(acceptance_rules.result_of)]
        ],
        Field(max_length=acceptance_rules.CHECKS),
    ]
]
Traceparent = Annotated[str, _checked_by(limits.traceparent)]
Changes = Json[list[Annotated[list[Text], Field(min_length=3, max_length=3)]]]

Model = Annotated[
    str, _checked_by(lambda value: value and usage_rules.model_name(value))
]
#: The owner of a budget.
Owner = Annotated[
    str,
    StringConstraints(
        pattern=r"^(namespace|project:proj_[0-9a-z]{1,32}|agent:[A-Za-z0-9_.-]{1,64})$"
    ),
]
Limit = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,16}|-)$")]
#: A field of sums, and its four numbers.
UsageField = Annotated[
    str,
    StringConstraints(
        pattern=r"^(total|day:[0-9]{1,9}|model:[!-~]{1,100}|agent:[A-Za-z0-9_.-]{1,64})$"
    ),
]
_SUMS = r"^[0-9]{1,16}( [0-9]{1,16}){3}$"

HELD = (State.IN_PROGRESS, State.BLOCKED)
UNINDEXED = (State.COMPLETED, State.CANCELLED)
#: The states in which an item of a pool has no agent.
IN_POOL = (State.WAITING, State.QUEUED, State.DELAYED)
UNASSIGNED = (State.PENDING, State.COMPLETED, State.FAILED, State.CANCELLED)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="after")
    def _has_no_null(self) -> Self:
        """Refuse null, at which Redis would fail in the middle of the import."""
        for name in self.model_fields_set:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is null")
        return self


class Header(_Strict):
    """The first line."""

    kind: Literal["header"]
    format: Literal["task-orchestrator-export"]
    version: Literal[1]
    schema_: Literal["1", "2"] = Field(alias="schema")
    namespace: Text
    exported_at: Text
    created_at: Time


class ProjectFields(_Strict):
    """The hash of a project, without its counts, which follow from its items."""

    title: Title
    description: Text
    status: Literal["active", "closing", "completed"]
    orchestrator: Name
    created_at: Number
    completed_at: NumberOrNone = ""
    plan: Text = ""
    #: Of a project whose open items are being cancelled: how far that is, who did it, why.
    closing_before: Annotated[
        str, StringConstraints(pattern=r"^([0-9]*|inf)$")
    ] = ""
    closing_by: NameOrNone = ""
    closing_reason: Text = ""
    #: The bytes of all its discoveries so far, and the number of those that were dropped.
    discovered: NumberOrNone = ""
    dropped: NumberOrNone = ""


class ProjectLine(_Strict):
    """A project; its keys, items, discoveries and readers follow it."""

    kind: Literal["project"]
    id: ProjectId
    fields: ProjectFields


class KeyLine(_Strict):
    """An idempotency key."""

    kind: Literal["key"]
    project: ProjectId
    key: Text
    item: ItemId


class QuestionFields(_Strict):
    """An open question of an item."""

    number: Number
    text: Text
    needs: Text
    agent: Name
    at: Number


Questions = Json[
    Annotated[list[QuestionFields], Field(max_length=limits.OPEN_QUESTIONS)]
]


class ReturnedFields(_Strict):
    """Why an item was sent back or requeued."""

    text: Text
    by: Name
    at: Number


class ItemFields(_Strict):
    """The hash of an item."""

    project: ProjectId
    title: Title
    description: Text = ""
    requirements: Texts | None = None
    context: Pairs | None = None
    resources: Texts | None = None
    deliverables_expected: Texts | None = None
    criteria: Texts | None = None
    checks: Checks | None = None
    reviewer: NameOrNone = ""
    deliverables: Pairs | None = None
    evidence: Evidence | None = None
    labels: Labels | None = None
    depends_on: Ids | None = None
    state: State
    agent: NameOrNone
    pool: NameOrNone = ""
    #: The agent of the newest claim of an item of a pool.
    claimer: NameOrNone = ""
    assigned_by: NameOrNone = ""
    returned: Json[ReturnedFields] | None = None
    #: Of its task of MCP.
    task: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""
    generation: Number = "0"
    had_failed: Literal["", "1"] = ""
    traceparent: Traceparent = ""
    tokens_in: Number = "0"
    tokens_out: Number = "0"
    cache_read: Number = "0"
    cost_micros: Number = "0"
    model: Model = ""
    priority: Annotated[str, StringConstraints(pattern=r"^[0-4]$")] = LEFT_OUT[
        "priority"
    ]
    seq: Number
    token: Number = LEFT_OUT["token"]
    claim: Text = ""
    live_token: NumberOrNone = ""
    attempts: Number = LEFT_OUT["attempts"]
    max_attempts: Number = LEFT_OUT["max_attempts"]
    lease_ms: Number = LEFT_OUT["lease_ms"]
    claim_lease_ms: NumberOrNone = LEFT_OUT["claim_lease_ms"]
    not_before: Number = LEFT_OUT["not_before"]
    holder_host: Text = ""
    holder_pid: Text = ""
    holder_session: Text = ""
    holder_since: NumberOrNone = ""
    asked: Number = "0"
    open_questions: Annotated[
        str, StringConstraints(pattern=r"^[0-9 ]{0,200}$")
    ] = ""
    questions: Questions | None = None
    #: The open question of an earlier version.
    blocker: Text = ""
    needs: Text = ""
    percent: NumberOrNone = ""
    summary: Text = ""
    edited: Text = ""
    created_at: Number
    created_by: NameOrNone = ""
    assigned_at: NumberOrNone = ""
    started_at: NumberOrNone = ""
    completed_at: NumberOrNone = ""
    completion: Text = ""
    event: Entry
    #: The newest event if it did not move the item, and the time in ms of the one that did.
    since: Annotated[
        str, StringConstraints(pattern=r"^([0-9]+-[0-9]+ [0-9]+)?$")
    ] = ""
    #: The newest comment, and the newest one that the holder was shown.
    commented: Entry = "0-0"
    comments_read: Entry = "0-0"


class ItemLine(_Strict):
    """An item; its reports and notes follow it."""

    kind: Literal["item"]
    id: ItemId
    #: Its place among the project's items.
    sequence: Time
    #: Its score in the index of its state: a time or a rank.
    score: Time | None = None
    #: The time of the claim, in ms since the epoch, if an agent holds it.
    held: Time | None = None
    #: The dependencies that are open.
    open: Annotated[list[ItemId], Field(max_length=limits.DEPENDENCIES)]
    fields: ItemFields

    @model_validator(mode="after")
    def _fits_its_state(self) -> "ItemLine":
        state, fields = self.fields.state, self.fields
        if not set(self.open) <= set(fields.depends_on or ()):
            raise ValueError("an open dependency is not among depends_on")
        # A holder may release an item that it reported as blocked.
        is_released = state is State.BLOCKED and not fields.live_token
        is_held = state in HELD and not is_released
        has_score, has_holder = self.score is not None, self.held is not None
        if has_score == (state in UNINDEXED) or has_holder != is_held:
            raise ValueError(
                f"score and held do not fit an item that is {state}"
            )
        may_have_agent = state is not State.PENDING
        is_in_pool = bool(fields.pool) and state in IN_POOL
        must_have_agent = state not in UNASSIGNED and not is_in_pool
        if (fields.agent and not may_have_agent) or (
            must_have_agent and not fields.agent
        ):
            raise ValueError(f"the agent does not fit an item that is {state}")
        if fields.pool and state is State.PENDING:
            raise ValueError(f"the pool does not fit an item that is {state}")
        has_token = is_released or fields.live_token == fields.token
        if not _numbers_fit(fields):
            raise ValueError("open_questions does not fit questions")
        if state in HELD and not (has_token and fields.claim_lease_ms):
            raise ValueError(
                f"an item that is {state} needs a valid token and a lease"
            )
        return self


def _numbers_fit(fields: ItemFields) -> bool:
    numbers = [question.number for question in fields.questions or ()]
    return fields.open_questions.split() == numbers


class ReportFields(_Strict):
    """The fields of a report in its stream."""

    kind: Text
    agent: Name
    attempt: Number
    token: Number
    request: Text
    text: Text = ""
    percent: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,3}$")] = ""
    needs: Text = ""
    question: NumberOrNone = ""
    changes: Changes | None = None
    #: Of an assignment that replaced another one.
    to: OwnerOrNone = ""
    from_: Annotated[OwnerOrNone, Field(alias="from")] = ""
    from_by: NameOrNone = ""
    from_at: NumberOrNone = ""
    #: Of a report that ended a claim.
    holder: NameOrNone = ""
    host: Text = ""
    pid: Text = ""
    session: Text = ""
    since: NumberOrNone = ""
    #: What was used since the report before it.
    tokens_in: Number = "0"
    tokens_out: Number = "0"
    cache_read: Number = "0"
    cost_micros: Number = "0"
    model: Model = ""
    #: Of a requeue.
    ended: Literal["", "completed", "failed", "cancelled"] = ""
    #: Of a completion for review.
    reviewer: NameOrNone = ""
    written_at: Text = ""
    made_at: NumberOrNone = ""


class ReportLine(_Strict):
    """A report on the item before it."""

    kind: Literal["report"]
    item: ItemId
    entry: Entry
    fields: ReportFields


class NoteFields(_Strict):
    """The fields of a note in its stream."""

    text: Text
    written_at: Text = ""
    made_at: NumberOrNone = ""


class NoteLine(_Strict):
    """A note of an agent on the item before it."""

    kind: Literal["note"]
    item: ItemId
    agent: Name
    entry: Entry
    fields: NoteFields


class DiscoveryFields(_Strict):
    """The fields of a discovery in its stream."""

    item: ItemId
    agent: Name
    text: Text
    impact: Text
    request: Text = ""
    total: NumberOrNone = ""
    written_at: Text = ""
    made_at: NumberOrNone = ""


class DiscoveryLine(_Strict):
    """A discovery of the project before it."""

    kind: Literal["discovery"]
    project: ProjectId
    entry: Entry
    fields: DiscoveryFields


class ReaderLine(_Strict):
    """How far an agent has read the discoveries of the project before it."""

    kind: Literal["reader"]
    project: ProjectId
    reader: Reader
    cursor: Entry


class AgentFields(_Strict):
    """The hash of an agent, without its counts."""

    host: Text = ""
    pid: Text = ""
    session: Text = ""
    version: Text = ""
    named_at: Text = ""
    #: Such as backend,python.
    pools: Annotated[
        str, StringConstraints(pattern=r"^[A-Za-z0-9_.,-]{0,1100}$")
    ] = ""


class AgentLine(_Strict):
    """An agent; `seen` is a time in ms since the epoch, 0 for never."""

    kind: Literal["agent"]
    name: Name
    seen: Time
    fields: AgentFields


class UsageLine(_Strict):
    """What a project, an agent or the namespace has used: in total, by day and so on."""

    kind: Literal["usage"]
    owner: Owner
    fields: Annotated[
        dict[UsageField, Annotated[str, StringConstraints(pattern=_SUMS)]],
        Field(max_length=1000),
    ]


class BudgetLine(_Strict):
    """A budget; a `-` is no limit."""

    kind: Literal["budget"]
    owner: Owner
    period: Literal["day", "total"]
    limit_micros: Limit
    limit_tokens: Limit


class PlanLine(_Strict):
    """The key of a plan that was applied."""

    kind: Literal["plan"]
    key: Text
    project: ProjectId


class ScheduleFields(_Strict):
    """The hash of a schedule."""

    cron: Annotated[str, StringConstraints(max_length=CRON_CHARACTERS)]
    zone: Annotated[str, StringConstraints(max_length=ZONE_CHARACTERS)]
    plan: Annotated[str, StringConstraints(max_length=PLAN_BYTES)]
    values: Pairs
    next: Number
    created_at: Number
    created_by: Name
    running: NumberOrNone = ""
    last_at: NumberOrNone = ""
    last_project: Annotated[
        str, StringConstraints(pattern=r"^(proj_[0-9a-z]{1,32})?$")
    ] = ""
    last_error: Text = ""
    runs: NumberOrNone = ""
    #: An export has no tokens: where there is no such token, the runs fail.
    access_token: Annotated[
        str, StringConstraints(pattern=r"^(tok_[0-9a-f]{8})?$")
    ] = ""


class ScheduleLine(_Strict):
    """A schedule; `due_at` is when a service acts on it, in ms since the epoch."""

    kind: Literal["schedule"]
    name: Annotated[
        str, _checked_by(lambda value: limits.name(value, "a schedule"))
    ]
    due_at: Time
    fields: ScheduleFields


class Trailer(_Strict):
    """The last line, with the number of lines of each kind."""

    kind: Literal["trailer"]
    sequence: Time
    counts: dict[str, int]


Line = Annotated[
    Header
    | ProjectLine
    | KeyLine
    | ItemLine
    | ReportLine
    | NoteLine
    | DiscoveryLine
    | ReaderLine
    | AgentLine
    | UsageLine
    | BudgetLine
    | PlanLine
    | ScheduleLine
    | Trailer,
    Field(discriminator="kind"),
]
LINE: TypeAdapter[Line] = TypeAdapter(Line)
