"""What an orchestrating agent needs to go on after a fresh start: its projects, and what waits for it."""

from taskorch.frozen import Frozen
from taskorch.item import Item, Project, State
from taskorch.stuck import StuckItem
from taskorch.views import Views

#: So many of each are named.
MOST = 5
MOST_PROJECTS = 200


class Briefing(Frozen):
    """The open projects, the newest first, and the first items of each kind that wait for the orchestrator."""

    orchestrator: str
    namespace: str
    projects: tuple[Project, ...]
    projects_count: int
    #: Blockers that wait for an answer.
    inbox: tuple[Item, ...]
    unassigned: tuple[Item, ...]
    #: What does not go on by itself for another reason than a blocker.
    stuck: tuple[StuckItem, ...]


def briefing(views: Views, orchestrator: str, namespace: str) -> Briefing:
    """Read what there is to tell. Raises errors.Unavailable."""
    listed = views.projects(limit=MOST_PROJECTS)
    active = [project for project in listed if project.status == "active"]
    return Briefing(
        orchestrator=orchestrator,
        namespace=namespace,
        projects=tuple(active[:MOST]),
        projects_count=len(active),
        inbox=views.inbox(limit=MOST),
        unassigned=views.unassigned(limit=MOST),
        stuck=tuple(each for each in views.stuck(limit=2 * MOST).items if each.why != "blocked")[:MOST],
    )


def is_finished(project: Project) -> bool:
    """Return whether nothing is left to do but to complete the project."""
    ended = (State.COMPLETED, State.CANCELLED)
    return project.completed > 0 and all(state in ended or not count for state, count in project.counts.items())
