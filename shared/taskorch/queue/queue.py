"""The queue as an orchestrator sees it: create, assign, answer, fix; `views` reads, `agent` is the workers' side."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from taskorch.domain import limits
from taskorch.domain.backoff import Notify
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    Assignment,
    Caller,
    NewItem,
    ProjectProgress,
    Requeued,
    State,
)
from taskorch.domain.mirror_record import Origin
from taskorch.queue import audit as finding
from taskorch.queue import replies
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.archive import Archive
from taskorch.queue.audit import AuditPage, Finding, Quarantined
from taskorch.queue.plan import AppliedPlan, CreatedItem, Plan, applied, arguments
from taskorch.queue.port import Argument, Connection, Reply
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import Damage, Scripts, random_digits
from taskorch.queue.views import Views

if TYPE_CHECKING:
    from taskorch.queue.waits import Waits

REAP_BATCH = 500
#: Items that a part of an audit looks at, so that no script keeps others waiting for more than some milliseconds.
AUDIT_BATCH = 250
#: Of what was moved aside.
QUARANTINE_PAGE = 50
#: The same of a purge.
PURGE_BATCH = 250


class Queue:
    """One namespace of the queue: one method per verb, one script per method.

    Open it on a connection of `taskorch.connect.connect`:

        queue = Queue(connect("redis://localhost:6379/0"), "default", Caller(agent="planner"))
        project = queue.project("Build authentication system")
        item = queue.create(project, NewItem(title="Design database schema", agent="database_specialist"))
        claim = queue.agent("database_specialist").claim()

    Every method may raise errors.Unavailable (Redis), errors.Invalid (a bound) and errors.NotFound.
    """

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        requests: Requests | None = None,
        damage: Damage | None = None,
    ) -> None:
        """Speak for `caller`, the orchestrating agent.

        `requests` gives each call its id; `Requests(same=error.request)` repeats the call
        that raised an errors.Unavailable, which then acts once. Damaged rows of lists
        are left out and added to `damage`.
        """
        limits.name(namespace, "a namespace")
        limits.name(caller.agent, "an agent")
        self._scripts = Scripts(
            connection, namespace, caller, requests=requests, damage=damage
        )
        #: What was damaged among the rows that were read: kind and id of each, and why.
        self.damage = self._scripts.damage
        #: The reads of an orchestrator.
        self.views = Views(self._scripts)
        #: All of the namespace, for an export and an import.
        self.archive = Archive(self._scripts)

    @property
    def namespace(self) -> str:
        """Return the name of the namespace."""
        return self._scripts.namespace

    def agent(
        self, name: str, *, session: str = "", origin: Origin | None = None
    ) -> AgentQueue:
        """Return the queue as the agent `name` sees it, from this host and process."""
        me = self._scripts.caller
        caller = Caller(agent=name, host=me.host, pid=me.pid, session=session)
        return AgentQueue(
            self._scripts.connection,
            self._scripts.namespace,
            caller,
            origin=origin,
            damage=self.damage,
        )

    def waits(self, notify: Notify = lambda _: None) -> "Waits":
        """Return the waits of the namespace.

        `notify` receives each failure in an outage of Redis, and None after a success.
        """
        from taskorch.queue.waits import Waits

        return Waits(self._scripts, notify)

    def project(
        self,
        title: str,
        *,
        description: str = "",
        id: str = "",  # noqa: A002
        created_at: int = 0,
    ) -> str:
        """Open a project and return its id; `id` and `created_at` (ms) are those that it had elsewhere.

        A repeat with the same `id` changes nothing.
        """
        digits = limits.project_id(id) if id else random_digits()
        created = limits.number(created_at, "time", 0, limits.LARGEST) or ""
        arguments = (
            limits.title(title),
            limits.text(description, "description"),
            digits,
            created,
        )
        return replies.texts(self._scripts.run_script("project", *arguments))[0]

    def create(self, project: str, new: NewItem) -> str:
        """Add an item to a project and return its id; assigned at once if `new.agent` is named.

        A repeat with the same `new.key` creates nothing and returns the first item's id. Raises errors.NoItem for an
        unknown dependency, errors.ProjectClosed for a completed project.
        """
        return self.create_many(project, [new])[0].id

    def create_many(
        self, project: str, items: Sequence[NewItem]
    ) -> tuple[CreatedItem, ...]:
        """Add 1 to 5,000 items to a project in one step, all or none; in the order of their dependencies on each other.

        Each is as by `create`, and raises the same errors.
        """
        return self.apply(Plan(project=project, items=tuple(items))).items

    def apply(self, plan: Plan, *, dry_run: bool = False) -> AppliedPlan:
        """Create the items of a plan in one step, all or none, and its project if it is a new one.

        What a plan of the same key has created already, item by item, is left as it is. `dry_run` checks all of it,
        and writes nothing: ids and states of new items are empty. Raises the errors of `create`.
        """
        return applied(
            plan, self._scripts.run_script("create", *arguments(plan, dry_run=dry_run))
        )

    def depend(self, item: str, dependencies: Sequence[str]) -> State:
        """Make an item that nobody has begun wait for others too. Raises errors.Cycle."""
        limits.number(
            len(dependencies), "number of dependencies", 1, limits.DEPENDENCIES
        )
        ids = [limits.item_id(dependency) for dependency in dependencies]
        return State(
            replies.texts(
                self._scripts.run_script("depend", limits.item_id(item), *ids)
            )[1]
        )

    def assign(
        self,
        item: str,
        agent: str,
        *,
        context: Mapping[str, str] | None = None,
        resources: Sequence[str] = (),
        force: bool = False,
    ) -> Assignment:
        """Give an item to an agent, with more context and resources.

        An item that somebody holds is only taken with `force` (errors.Held); the holder's token dies then.
        """
        return self.assign_many(
            [item], agent, context=context, resources=resources, force=force
        )[0]

    def assign_many(
        self,
        items: Sequence[str],
        agent: str,
        *,
        context: Mapping[str, str] | None = None,
        resources: Sequence[str] = (),
        force: bool = False,
    ) -> tuple[Assignment, ...]:
        """Give 1 to 100 items to an agent in one step, in their order: all, or none where one is refused.

        Each is as by `assign`, with the same context and resources; an error names the item. Raises errors.TooMany
        where an item stands twice.
        """
        limits.number(len(items), "number of items", 1, limits.BATCH_STEPS)
        arguments = (
            limits.name(agent, "an agent"),
            limits.pairs(context, "context values") if context else "",
            limits.values(resources, "resource") if resources else "",
            "1" if force else "",
            *map(limits.item_id, items),
        )
        return replies.assigned(self._scripts.run_script("assign", *arguments))

    def answer(self, item: str, text: str) -> State:
        """Answer an item's blocker; its holder goes on, under a full lease."""
        return self._change("answer", item, limits.text(text, "answer", required=True))

    def cancel(self, item: str, *, reason: str = "") -> int:
        """Take an item out of work, and return how many items wait for it; a holder is told at its next step.

        Raises errors.WrongState once it is completed.
        """
        arguments = (limits.item_id(item), limits.text(reason, "reason"))
        return int(replies.texts(self._scripts.run_script("cancel", *arguments))[3])

    def requeue(self, item: str) -> Requeued:
        """Start a failed, cancelled or completed item afresh, with all its attempts.

        Its dependents wait for it again, except those that an agent holds. Of very many dependents each call of the
        script takes some; an interrupted requeue is finished by the next one.
        """
        done, left = replies.requeued(
            self._scripts.run_script("requeue", limits.item_id(item), "")
        )
        while left:
            more, left = replies.requeued(
                self._scripts.run_script("requeue", item, "1")
            )
            done = replace(
                done, waiting=done.waiting + more.waiting, held=done.held + more.held
            )
        return done

    def complete_project(self, project: str, *, force: bool = False) -> ProjectProgress:
        """Close a project and return it with its items; `force` cancels the open ones (else errors.OpenItems)."""
        view = replies.rows(
            self._scripts.run_script(
                "complete_project", limits.project_id(project), "1" if force else ""
            )
        )
        closed, items = cast("list[Reply]", view)
        return ProjectProgress(
            project=replies.project(closed),
            items=replies.items(items, self.damage),
            last_reports={},
        )

    def purge(self, project: str) -> tuple[int, int, int]:
        """Remove a part of a completed project, and itself with the last; return items left, items and keys removed.

        Call it until no item is left. Raises errors.WrongState for a project that is not completed, errors.Awaited
        where an item of another one waits for one of its items.
        """
        left, items, keys = replies.texts(
            self._scripts.run_script("purge", limits.project_id(project), PURGE_BATCH)
        )
        return int(left), int(items), int(keys)

    def reap(self) -> tuple[int, int]:
        """Act on every expired lease and every delayed item that is due; return how many of each."""
        reaped = promoted = 0
        while True:
            some_reaped, some_promoted = (
                int(n)
                for n in replies.texts(self._scripts.run_script("reap", REAP_BATCH))
            )
            reaped, promoted = reaped + some_reaped, promoted + some_promoted
            if max(some_reaped, some_promoted) < REAP_BATCH:
                return reaped, promoted

    def audit(self, *, cursor: str = "", fix: bool = False) -> AuditPage:
        """Compare a part of the items with their indexes, dependencies and projects; `fix` repairs what is wrong.

        What was repaired is in the findings. Raises errors.NoProject when that of the cursor is gone meanwhile.
        """
        arguments = (limits.list_cursor(cursor), AUDIT_BATCH, "1" if fix else "")
        return finding.audited(self._scripts.run_script("audit", *arguments))

    def audit_index(self, index: str, *, fix: bool = False) -> tuple[Finding, ...]:
        """Return the entries of an index (`leases`, `queue:ada` …) that are wrong; `fix` drops them."""
        found: dict[Finding, None] = {}
        cursor = "0"
        while True:
            arguments = (index, cursor, AUDIT_BATCH, "1" if fix else "")
            next_cursor, some = replies.rows(
                self._scripts.run_script("audit_index", *arguments)
            )
            cursor = str(next_cursor)
            found |= dict.fromkeys(finding.findings(some))
            if cursor == "0":
                return tuple(found)

    def recount(
        self, event: str, counts: Mapping[str, Mapping[str, int]], *, fix: bool = False
    ) -> tuple[Finding, ...] | None:
        """Compare the counts of owners with those of an audit that began at an event; `fix` sets them right.

        None when something has happened since: then they cannot be judged.
        """
        words = [
            word
            for owner, states in counts.items()
            for word in (owner, json.dumps(states))
        ]
        return finding.drifts(
            self._scripts.run_script(
                "recount", limits.cursor(event), "1" if fix else "", *words
            )
        )

    def quarantine(self, kind: str, id_: str, reason: str) -> None:
        """Move an item, a project or an agent that is damaged to where nothing works with it: see `quarantined`.

        A project stays, under its id as its title; what else belongs to it is for an audit to repair.
        """
        self._scripts.run_script("quarantine", kind, id_, reason)

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return what was moved aside because it was damaged, in the order in which it was moved."""
        found: list[Quarantined] = []
        there = 1
        while len(found) < there:
            view = self._scripts.run_script("damaged", len(found) + 1, QUARANTINE_PAGE)
            there, some = cast("tuple[int, list[Reply]]", view)
            found += map(finding.quarantined, some)
        return tuple(found)

    def mirror_take(
        self, root: str, writer: str, lease_ms: int
    ) -> tuple[bool, str, str]:
        """Take the right to write the files of a root for a time; return whether the caller has it, and who has.

        The third value is the time in ms when the namespace was created, which tells it from one that is gone.
        """
        mine, holder, _, created = replies.texts(
            self._scripts.run_script("mirror_take", root, writer, lease_ms)
        )
        return bool(mine), holder, created

    def mirror_give(
        self,
        root: str,
        writer: str,
        status: Mapping[str, object],
        service: Mapping[str, object],
    ) -> None:
        """Give that right back, say how the pass went, and which service ran it; ignored from who has lost it."""
        words = (json.dumps(status), json.dumps(service) if service else "")
        self._scripts.run_script("mirror_give", root, writer, *words)

    def _change(self, verb: str, item: str, *arguments: Argument) -> State:
        return State(
            replies.texts(
                self._scripts.run_script(verb, limits.item_id(item), *arguments)
            )[1]
        )
