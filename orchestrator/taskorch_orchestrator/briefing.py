"""What an orchestrating agent needs to go on after a fresh start: its projects, and what waits for it."""

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project
from taskorch.queue.stuck import StuckItem
from taskorch.queue.views import Views

#: So many of each are named; one more tells that there are more.
MOST = 5
READ = MOST + 1


class Briefing(Frozen):
    """The newest open projects, and the first items of each kind that wait for the orchestrator: READ at most."""

    orchestrator: str
    namespace: str
    projects: tuple[Project, ...]
    #: Blockers that wait for an answer.
    inbox: tuple[Item, ...]
    unassigned: tuple[Item, ...]
    #: What does not go on by itself for another reason than a blocker.
    stuck: tuple[StuckItem, ...]


def briefing(views: Views, orchestrator: str, namespace: str) -> Briefing:
    """Read what there is to tell. Raises errors.Unavailable."""
    return Briefing(
        orchestrator=orchestrator,
        namespace=namespace,
        projects=views.open_projects(limit=READ),
        inbox=views.inbox(limit=READ),
        unassigned=views.unassigned(limit=READ),
        stuck=tuple(
            each for each in views.stuck(limit=READ).items if each.why != "blocked"
        ),
    )
