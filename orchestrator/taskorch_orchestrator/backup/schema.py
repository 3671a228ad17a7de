"""The lines of an export, as pydantic models: what a file must look like before anything of it is written."""

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
from taskorch.domain import errors, limits
from taskorch.domain.item import State
from taskorch.queue.replies import LEFT_OUT


def _within(check: Callable[[str], str]) -> AfterValidator:
    """Return a check of `bounds` as pydantic knows it: what it refuses is wrong at its place in the line."""

    def checked(value: str) -> str:
        try:
            return check(value)
        except errors.TaskOrchestratorError as error:
            raise ValueError(str(error)) from None

    return AfterValidator(checked)


#: As Redis holds it: earlier versions kept NUL too, which nobody may write any more.
Text = Annotated[str, _within(lambda value: limits.sized(value, "text"))]
Title = Annotated[
    Text, _within(lambda value: limits.title(value.replace("\0", "0")) and value)
]
Name = Annotated[str, _within(lambda value: limits.name(value, "an agent"))]
NameOrNone = Annotated[
    str, _within(lambda value: value and limits.name(value, "an agent"))
]
ProjectId = Annotated[str, _within(limits.project_id)]
ItemId = Annotated[str, _within(limits.item_id)]
Entry = Annotated[str, _within(limits.cursor)]
#: A number as Redis keeps it in a hash: text.
Number = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,16}$")]
NumberOrNone = Annotated[str, StringConstraints(pattern=r"^[0-9]{0,16}$")]
Time = Annotated[int, Field(ge=0, le=2**53)]
Texts = Json[Annotated[list[Text], Field(max_length=limits.LIST_VALUES)]]
Pairs = Json[Annotated[dict[Text, Text], Field(max_length=limits.LIST_VALUES)]]
Ids = Json[Annotated[list[ItemId], Field(max_length=limits.DEPENDENCIES)]]

HELD = (State.IN_PROGRESS, State.BLOCKED)
UNINDEXED = (State.COMPLETED, State.CANCELLED)
UNASSIGNED = (State.PENDING, State.COMPLETED, State.FAILED, State.CANCELLED)


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="after")
    def _has_no_null(self) -> Self:
        """Refuse what Redis does not know, and would stop at in the midst of the import."""
        if nulls := [
            name for name in self.model_fields_set if getattr(self, name) is None
        ]:
            raise ValueError(f"{nulls[0]} is null")
        return self


class Header(_Strict):
    """The first line."""

    kind: Literal["header"]
    format: Literal["task-orchestrator-export"]
    version: Literal[1]
    schema_: Literal["1"] = Field(alias="schema")
    namespace: Text
    exported_at: Text
    created_at: Time


class ProjectFields(_Strict):
    """The hash of a project, without its counts: they follow from its items."""

    title: Title
    description: Text
    status: Literal["active", "completed"]
    orchestrator: Name
    created_at: Number
    completed_at: NumberOrNone = ""
    plan: Text = ""


class ProjectLine(_Strict):
    """A project; its keys, items and discoveries follow it."""

    kind: Literal["project"]
    id: ProjectId
    fields: ProjectFields


class KeyLine(_Strict):
    """An idempotency key."""

    kind: Literal["key"]
    project: ProjectId
    key: Text
    item: ItemId


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
    deliverables: Pairs | None = None
    depends_on: Ids | None = None
    state: State
    agent: NameOrNone
    assigned_by: NameOrNone = ""
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
    claim_lease_ms: NumberOrNone = ""
    not_before: Number = LEFT_OUT["not_before"]
    holder_host: Text = ""
    holder_pid: Text = ""
    holder_session: Text = ""
    holder_since: NumberOrNone = ""
    blocker: Text = ""
    needs: Text = ""
    percent: NumberOrNone = ""
    summary: Text = ""
    created_at: Number
    assigned_at: NumberOrNone = ""
    started_at: NumberOrNone = ""
    completed_at: NumberOrNone = ""
    event: Entry


class ItemLine(_Strict):
    """An item; its reports and notes follow it."""

    kind: Literal["item"]
    id: ItemId
    #: Its place among the project's items.
    sequence: Time
    #: Its place in the index of its state: since when, until when, or its rank.
    score: Time | None = None
    #: Since when its agent has it in hand.
    held: Time | None = None
    #: The dependencies that are open.
    open: Annotated[list[ItemId], Field(max_length=limits.DEPENDENCIES)]
    fields: ItemFields

    @model_validator(mode="after")
    def _fits_its_state(self) -> "ItemLine":
        state, fields = self.fields.state, self.fields
        if not set(self.open) <= set(fields.depends_on or ()):
            raise ValueError("an open dependency is not among depends_on")
        is_left = state is State.BLOCKED and not fields.live_token
        is_held = state in HELD and not is_left
        if (self.score is None) != (state in UNINDEXED) or (
            self.held is None
        ) == is_held:
            raise ValueError(f"score and held are not those of an item that is {state}")
        if (state is State.PENDING and fields.agent) or (
            state not in UNASSIGNED and not fields.agent
        ):
            raise ValueError(f"the agent is not that of an item that is {state}")
        if state in HELD and not (
            (is_left or fields.live_token == fields.token) and fields.claim_lease_ms
        ):
            raise ValueError(f"an item that is {state} has a living token")
        return self


class ReportFields(_Strict):
    """A report as it stands in its stream."""

    kind: Text
    agent: Name
    attempt: Number
    token: Number
    request: Text
    text: Text = ""
    percent: Annotated[str, StringConstraints(pattern=r"^[0-9]{0,3}$")] = ""
    needs: Text = ""
    written_at: Text = ""
    made_at: NumberOrNone = ""


class ReportLine(_Strict):
    """A report on the item before it."""

    kind: Literal["report"]
    item: ItemId
    entry: Entry
    fields: ReportFields


class NoteFields(_Strict):
    """A note as it stands in its stream."""

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
    """A discovery as it stands in its stream."""

    item: ItemId
    agent: Name
    text: Text
    impact: Text
    request: Text = ""
    written_at: Text = ""
    made_at: NumberOrNone = ""


class DiscoveryLine(_Strict):
    """A discovery of the project before it."""

    kind: Literal["discovery"]
    project: ProjectId
    entry: Entry
    fields: DiscoveryFields


class AgentFields(_Strict):
    """The hash of an agent, without its counts; one that never called has none."""

    host: Text = ""
    pid: Text = ""
    session: Text = ""
    version: Text = ""


class AgentLine(_Strict):
    """An agent, and when it was last seen."""

    kind: Literal["agent"]
    name: Name
    seen: Time
    fields: AgentFields


class PlanLine(_Strict):
    """The key of a plan that was applied."""

    kind: Literal["plan"]
    key: Text
    project: ProjectId


class Trailer(_Strict):
    """The last line: how many lines there are of each kind, by which a file that was cut off is known."""

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
    | AgentLine
    | PlanLine
    | Trailer,
    Field(discriminator="kind"),
]
LINE: TypeAdapter[Line] = TypeAdapter(Line)
