"""Pydantic models of the files that others write."""

import json
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)


class NotValid(ValueError):
    """A document does not fit its model; the text says what is wrong first."""


class _Filed(BaseModel):
    """A document of a file-based worker. Unknown fields are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @classmethod
    def read(cls, document: object) -> Self:
        """Return a parsed JSON document, or a row, as this model. Raises NotValid."""
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise _not_valid(error) from None

    @classmethod
    def read_json(cls, data: bytes) -> Self:
        """Return a JSON text as this model. Raises NotValid."""
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            raise _not_valid(error) from None


def _not_valid(error: ValidationError) -> NotValid:
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return NotValid(f"it has no {field}")
    if first["type"] == "json_invalid":
        return NotValid(f"not JSON: {first['msg']}")
    if not field:
        return NotValid("it is not a JSON object")
    return NotValid(f"its {field} is not valid: {first['msg']}")


def _number_as_text(value: object) -> object:
    """Return a time that is a number as text."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return json.dumps(value)
    return value


#: A time as a worker wrote it: ISO 8601 or a number. A longer text is not a time.
Time = Annotated[str, Field(max_length=64), BeforeValidator(_number_as_text)]
#: A time in a column of a database.
ColumnTime = Annotated[str | None, BeforeValidator(_number_as_text)]


class FiledUpdate(_Filed):
    """An entry of `updates` in `{item}_progress.json`."""

    timestamp: Time
    message: str
    percentage: float | None = None


class FiledProgress(_Filed):
    """`{item}_progress.json`."""

    item_id: str
    #: The first writer.
    agent_id: str
    updates: list[object]


class FiledDiscovery(_Filed):
    """An entry of `{item}_discoveries.json`."""

    timestamp: Time
    agent_id: str
    discovery: str
    impact: str | None = None
    item_id: str | None = None


class FiledCompletion(_Filed):
    """`{item}_completion.json`."""

    item_id: str
    agent_id: str
    completed_at: Time
    summary: str | None = ""
    deliverables: dict[str, object] | None = None


def _parsed_column(value: object) -> object:
    """Parse a JSON column of the predecessor's database; return None if it is empty."""
    if isinstance(value, str) and value:
        return json.loads(value)
    return value or None


def _parsed_column_or_text(value: object) -> object:
    """Return a column that has JSON or plain text, parsed if it is JSON."""
    text = (
        value.decode(errors="replace") if isinstance(value, bytes) else value
    )
    try:
        return _parsed_column(text)
    except (ValueError, RecursionError):
        return text


JsonList = Annotated[list[str] | None, BeforeValidator(_parsed_column)]
JsonOrText = Annotated[object, BeforeValidator(_parsed_column_or_text)]


class LegacyProject(_Filed):
    """A row of the predecessor's table `orchestration`."""

    project_id: str
    title: str
    description: str | None = None
    orchestrator_id: str | None = None
    created_at: ColumnTime = None
    status: str | None = None


class LegacyTask(_Filed):
    """The work to do, in a handoff of the predecessor."""

    title: str
    description: str | None = None
    requirements: list[str] = []
    dependencies: list[str] = []


class LegacyContext(_Filed):
    """The project, in a handoff of the predecessor."""

    project_id: str
    project_title: str


class LegacyPackage(_Filed):
    """`{item}_handoff.json` of the predecessor."""

    item_id: str
    assigned_to: str | None = None
    task: LegacyTask
    project_context: LegacyContext
    provided_context: dict[str, object] | None = None
    provided_resources: list[object] | None = None
    expected_deliverables: list[object] | None = None


class LegacyItem(_Filed):
    """A row of the predecessor's table `work_items`."""

    item_id: str
    project_id: str
    title: str
    description: str | None = None
    requirements: JsonList = None
    assigned_to: str | None = None
    status: str | None = None
    dependencies: JsonList = None
    created_at: ColumnTime = None
    completed_at: ColumnTime = None
    #: An object, a list, or plain text.
    deliverables: JsonOrText = None

    @classmethod
    def of(cls, package: LegacyPackage) -> "LegacyItem":
        """Return the item of a handoff."""
        task = package.task
        return cls(
            item_id=package.item_id,
            project_id=package.project_context.project_id,
            title=task.title,
            description=task.description,
            requirements=task.requirements,
            assigned_to=package.assigned_to,
            dependencies=task.dependencies,
        )
