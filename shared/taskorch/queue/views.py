"""What an orchestrator reads: each view is one script, and changes nothing."""

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from taskorch.domain import limits
from taskorch.domain.events import FROM_THE_START, Events
from taskorch.domain.item import (
    Discovery,
    Item,
    Package,
    Page,
    Project,
    ProjectProgress,
    State,
)
from taskorch.domain.mirror_record import MirrorRecord, MirrorStatus
from taskorch.queue import agents, audit, keys, replies, stuck
from taskorch.queue.agents import AgentStatus
from taskorch.queue.audit import Environment
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts
from taskorch.queue.stuck import SILENT_MS, UNSTARTED_MS, Stuck

Row = TypeVar("Row")

LIMIT = 1000
#: Of INFO.
SECTIONS = ("server", "replication", "persistence", "memory")


class Views:
    """The reads of a namespace. errors.NotFound for an unknown id, errors.Invalid for a bound.

    A damaged row of a list is left out, and put into the `damage` of the queue; where it was asked for by its id it is
    errors.Damaged.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def show(self, item: str) -> Package:
        """Return an item with all that it carries and its newest reports."""
        return replies.package(
            self._scripts.run_script("show", limits.item_id(item)), self._scripts.damage
        )

    def progress(self, project: str, *, limit: int = LIMIT) -> ProjectProgress:
        """Return a project, and its first items with the newest report on each."""
        view = self._scripts.run_script(
            "progress_of_project", limits.project_id(project), _limit(limit)
        )
        return replies.project_progress(view, self._scripts.damage)

    def discoveries(
        self, project: str, *, since: str = FROM_THE_START, limit: int = LIMIT
    ) -> tuple[Discovery, ...]:
        """Return a project's discoveries after the cursor `since`, oldest first; each carries its own cursor."""
        cursor = limits.cursor(since)
        while True:
            page = self._scripts.run_script(
                "discoveries", limits.project_id(project), cursor, _limit(limit)
            )
            entries = cast("list[Reply]", page)
            found = replies.sound(replies.discovery, entries, self._scripts.damage)
            if found or not entries:
                return found
            cursor = str(cast("list[Reply]", entries[-1])[0])  # all of them are damaged

    def list(
        self,
        *,
        project: str = "",
        state: State | None = None,
        agent: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> Page:
        """Return a page of items, of one project or of all, some by state and agent.

        A page may be shorter than `limit` and still have a cursor: a call visits a bounded number of items.
        """
        if project:
            limits.project_id(project)
        arguments = (
            project,
            state or "",
            agent and limits.name(agent, "an agent"),
            limits.list_cursor(cursor),
            _limit(limit),
        )
        next_cursor, views = replies.rows(self._scripts.run_script("list", *arguments))
        return Page(
            items=replies.items(cast("Reply", views), self._scripts.damage),
            cursor=str(next_cursor),
        )

    def unassigned(self, *, project: str = "", limit: int = LIMIT) -> tuple[Item, ...]:
        """Return the items that wait for an agent, oldest first, of one project or of all."""
        if project:
            return self.list(project=project, state=State.PENDING, limit=limit).items
        return replies.items(
            self._scripts.run_script("indexed", "unassigned", _limit(limit)),
            self._scripts.damage,
        )

    def inbox(self, *, limit: int = LIMIT) -> tuple[Item, ...]:
        """Return the items whose blockers wait for an answer, the longest wait first."""
        return replies.items(
            self._scripts.run_script("indexed", "blocked", _limit(limit)),
            self._scripts.damage,
        )

    def stuck(
        self,
        *,
        unstarted_ms: int = UNSTARTED_MS,
        silent_ms: int = SILENT_MS,
        project: str = "",
        limit: int = LIMIT,
    ) -> Stuck:
        """Return the items that do not go on by themselves, of one project or of all, and why.

        A queued item counts when nobody has claimed it for `unstarted_ms`, one in progress when its holder has not
        been heard of for `silent_ms`. A call looks at a bounded number of items.
        """
        arguments = (
            limits.number(
                unstarted_ms, "time without a start in ms", 1, limits.LONGEST_MS
            ),
            limits.number(silent_ms, "silence in ms", 1, limits.LONGEST_MS),
            project and limits.project_id(project),
            _limit(limit),
        )
        return stuck.stuck(
            self._scripts.run_script("stuck", *arguments), self._scripts.damage
        )

    def projects(self, *, limit: int = LIMIT) -> tuple[Project, ...]:
        """Return the newest projects."""
        return self._projects("", limit)

    def open_projects(self, *, limit: int = LIMIT) -> tuple[Project, ...]:
        """Return the newest of the projects that are not closed. A call looks at a bounded number of projects."""
        return self._projects("active", limit)

    def finished(self, *, older_than_ms: int) -> tuple[Project, ...]:
        """Return all projects that have been completed for so long, in the order of their creation."""
        age = limits.number(older_than_ms, "age in ms", 1, limits.LONGEST_MS)
        found: dict[str, Project] = {}
        passed = "0"
        while passed:
            passed, views = cast(
                "tuple[str, Reply]",
                self._scripts.run_script("finished", age, passed, LIMIT),
            )
            found |= {
                project.id: project for project in self._sound(replies.project, views)
            }
        return tuple(found.values())

    def agents(self, *, limit: int = LIMIT) -> tuple[AgentStatus, ...]:
        """Return the agents, those that called last first."""
        return self._sound(
            agents.agent_status, self._scripts.run_script("agents", _limit(limit))
        )

    def events(self, *, since: str = FROM_THE_START, limit: int = LIMIT) -> Events:
        """Return what happened after the cursor `since`, oldest first."""
        return replies.events(
            self._scripts.run_script("events", limits.cursor(since), _limit(limit)),
            self._scripts.damage,
        )

    def wait_for_event(self, since: str, timeout_s: float) -> bool:
        """Block until something happens after the cursor `since`, or for `timeout_s` seconds; return whether it did."""
        return self._scripts.wait_for_entry(
            keys.events(self._scripts.namespace), limits.cursor(since), timeout_s
        )

    def records(
        self, items: Sequence[str], *, session: str | None = None
    ) -> tuple[MirrorRecord, ...]:
        """Return items with all that the mirror writes of them; those that are not there, or damaged, are left out.

        Each has the lease of that `session`, if the item is its own.
        """
        ids = [limits.item_id(item) for item in items]
        view = self._scripts.run_script(
            "records", "" if session is None else f":{session}", *ids
        )
        return self._sound(lambda row: replies.record(row, self._scripts.damage), view)

    def mirrors(self, *, limit: int = LIMIT) -> tuple[MirrorStatus, ...]:
        """Return the roots whose files are kept, and how the last pass over each went."""
        return self._sound(
            replies.mirror_status, self._scripts.run_script("mirrors", _limit(limit))
        )

    def environment(self) -> Environment:
        """Return what the server says of itself; its user may not be allowed to ask."""
        return audit.environment(self._scripts.run_script("environment", *SECTIONS))

    def _projects(self, status: str, limit: int) -> tuple[Project, ...]:
        return self._sound(
            replies.project, self._scripts.run_script("projects", _limit(limit), status)
        )

    def _sound(self, read: Callable[[Reply], Row], views: Reply) -> tuple[Row, ...]:
        return replies.sound(read, cast("list[Reply]", views), self._scripts.damage)


def _limit(limit: int) -> int:
    return limits.number(limit, "limit", 1, 5000)
