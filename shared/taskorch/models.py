"""What we publish, and what strangers hand us, as pydantic models."""

from pydantic import BaseModel, ConfigDict

from taskorch.document import moment
from taskorch.item import Package

DEFAULT_DELIVERABLES = [
    "Status updates via progress reports",
    "Completion notification",
    "Any discoveries or blockers",
]


class _Published(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(_Published):
    """What is to be done."""

    title: str
    description: str | None
    requirements: list[str]
    dependencies: list[str]


class ProjectContext(_Published):
    """The project that the item belongs to."""

    project_id: str
    project_title: str
    project_description: str


class Communication(_Published):
    """The files that a file-based worker reports in."""

    progress_file: str
    completion_file: str
    discovery_file: str


class SyncState(_Published):
    """What Redis knew of the item when the package was made."""

    state: str
    token: int
    attempt: int


class HandoffPackage(_Published):
    """The package of an assignment, in the form that the file-based predecessor reads."""

    handoff_version: str = "1.0"
    item_id: str
    assigned_to: str | None
    assigned_by: str | None
    assigned_at: str | None
    task: Task
    project_context: ProjectContext
    provided_context: dict[str, str]
    provided_resources: list[str]
    expected_deliverables: list[str]
    communication: Communication
    x_sync: SyncState

    @classmethod
    def of(cls, package: Package) -> "HandoffPackage":
        """Return the handoff package of an item."""
        item, project = package.item, package.project_context
        return cls(
            item_id=item.id,
            assigned_to=item.agent or None,
            assigned_by=item.assigned_by or None,
            assigned_at=moment(item.assigned_at) if item.assigned_at else None,
            task=Task(
                title=item.title,
                description=item.description or None,
                requirements=list(item.requirements),
                dependencies=list(item.depends_on),
            ),
            project_context=ProjectContext(
                project_id=project.id, project_title=project.title, project_description=project.description
            ),
            provided_context=item.context,
            provided_resources=list(item.resources),
            expected_deliverables=list(item.deliverables_expected) or DEFAULT_DELIVERABLES,
            communication=Communication(
                progress_file=f"{item.id}_progress.json",
                completion_file=f"{item.id}_completion.json",
                discovery_file=f"{item.id}_discoveries.json",
            ),
            x_sync=SyncState(state=item.state, token=item.token, attempt=item.attempts),
        )
