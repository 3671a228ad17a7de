"""The briefing of an orchestrator, which `orchestrate prime` prints."""

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, NewDiscoveries, Project
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import NewsLine
from taskorch.queue.stuck import ASKING, StuckItem
from taskorch.queue.views import Views

#: Rows of each kind that are shown.
SHOWN = 5
#: One row more shows that there are more.
READ = SHOWN + 1
#: Events among which comments are looked for.
EVENTS = 100


class OrchestratorBriefing(Frozen):
    """The newest open projects, and what waits for the orchestrator: READ rows each."""

    orchestrator: str
    namespace: str
    projects: tuple[Project, ...]
    #: Items with a question that waits for an answer.
    inbox: tuple[Item, ...]
    #: Items that wait for their reviewer.
    reviews: tuple[Item, ...]
    unassigned: tuple[Item, ...]
    #: Items that are stuck for another reason.
    stuck: tuple[StuckItem, ...]
    #: The budgets that are used up: no item of theirs is claimed.
    used_up: tuple[Budget, ...]
    #: The discoveries that the orchestrator has not read yet.
    new_discoveries: NewDiscoveries
    #: Comments of agents among the newest events, the newest first.
    comments: tuple[NewsLine, ...]


def briefing(
    views: Views, orchestrator: str, namespace: str
) -> OrchestratorBriefing:
    """Read the briefing of an orchestrator. Raises errors.Unavailable."""
    stuck = views.stuck(limit=READ).items
    used_up = tuple(each for each in views.budgets() if each.used_up)
    return OrchestratorBriefing(
        orchestrator=orchestrator,
        namespace=namespace,
        projects=views.open_projects(limit=READ),
        inbox=views.questions(limit=READ),
        reviews=views.reviews(limit=READ),
        unassigned=views.unassigned(limit=READ),
        stuck=tuple(item for item in stuck if item.why not in ASKING),
        used_up=used_up[:READ],
        new_discoveries=views.count_new_discoveries(),
        comments=tuple(
            each
            for each in views.news(limit=EVENTS).lines
            if each.event.verb == "agent_comment"
        )[:READ],
    )
