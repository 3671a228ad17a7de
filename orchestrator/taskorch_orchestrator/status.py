"""What `orchestrate status` shows: what needs the user, agents, projects and health."""

from taskorch.bundled import server
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project
from taskorch.domain.mirror_record import MirrorStatus
from taskorch.domain.server_status import ServerStatus
from taskorch.queue.agents import AgentStatus
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import PoolWork
from taskorch.queue.stuck import ASKING, StuckItem
from taskorch.queue.views import Views
from taskorch.transport import address


class Health(Frozen):
    """Whether Redis answers, the bundled server and the service run, and files are synced."""

    #: The address, without a password.
    url: str
    #: Whether Redis answers.
    reachable: bool
    #: Whether it is the bundled server of the root.
    is_bundled: bool
    #: The bundled server; None for another one, or if it could not be asked.
    server: ServerStatus | None
    #: The roots with mirrored files, and the result of each last pass.
    mirrors: tuple[MirrorStatus, ...] = ()


class StatusReport(Frozen):
    """One screen about a namespace: at most `limit` rows of each kind, and one more."""

    namespace: str
    #: The items with an open question, the oldest question first.
    questions: tuple[Item, ...]
    #: The items that wait for their reviewer, the oldest first.
    reviews: tuple[Item, ...]
    #: The items that are stuck for another reason.
    stuck: tuple[StuckItem, ...]
    unassigned: tuple[Item, ...]
    #: The agents, the last callers first.
    agents: tuple[AgentStatus, ...]
    #: The pools in the order in which they were named.
    pools: tuple[PoolWork, ...]
    #: The newest open projects.
    projects: tuple[Project, ...]
    #: The budgets, those that are used up first.
    budgets: tuple[Budget, ...]
    health: Health


def status(views: Views, settings: Settings, *, limit: int) -> StatusReport:
    """Read the status of the namespace. Raises errors.Unavailable.

    One row more than `limit` shows that there are more.
    """
    rows = limit + 1
    # Questions and reviews come last among the stalled items: they displace no other.
    stuck = views.stuck(limit=rows).items
    agents, pools = views.agents_and_pools(limit=rows)
    return StatusReport(
        namespace=settings.namespace,
        questions=views.questions(limit=rows),
        reviews=views.reviews(limit=rows),
        stuck=tuple(item for item in stuck if item.why not in ASKING),
        unassigned=views.unassigned(limit=rows),
        agents=agents,
        pools=pools,
        projects=views.open_projects(limit=rows),
        budgets=views.budgets()[:rows],
        health=health(
            settings, reachable=True, mirrors=views.mirrors(limit=rows)
        ),
    )


def health(
    settings: Settings,
    *,
    reachable: bool,
    mirrors: tuple[MirrorStatus, ...] = (),
) -> Health:
    """Return what is known of the server, whether Redis answers or not."""
    return Health(
        url=address.redacted(address.url_of(settings)),
        reachable=reachable,
        is_bundled=not settings.redis_url,
        server=None if settings.redis_url else _bundled(settings),
        mirrors=mirrors,
    )


def _bundled(settings: Settings) -> ServerStatus | None:
    """Return the state of the bundled server; None for one that cannot be asked."""
    try:
        return server.status(settings)
    except errors.TaskOrchestratorError:
        return None
