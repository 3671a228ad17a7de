"""The queue as an orchestrator sees it; `Queue.views` has the reads.

`Queue.agent_queue` returns the queue as an agent sees it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

from taskorch.domain import errors, limits
from taskorch.domain.backoff import Notify
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    AnsweredItem,
    Assignment,
    Caller,
    CancelledItem,
    ClosedProject,
    ClosedQuestions,
    DiscoveryPage,
    EditedItem,
    ItemEdit,
    NewItem,
    ReapCounts,
    ReopenedProject,
    Requeued,
    ReviewedItem,
    State,
)
from taskorch.domain.mirror_record import Origin
from taskorch.queue import audit, discoveries, keys, replies
from taskorch.queue import fields as read
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.audit import AuditPage, Finding, Quarantined
from taskorch.queue.backup import Backup
from taskorch.queue.edit import arguments as edit_arguments
from taskorch.queue.fields import Damage
from taskorch.queue.plan import (
    AppliedPlan,
    CreatedItem,
    Plan,
    applied,
    arguments,
)
from taskorch.queue.port import Connection, Reply
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import Scripts, random_digits
from taskorch.queue.views import Views
from taskorch.tracing import switch as tracing

if TYPE_CHECKING:
    from taskorch.queue.access_tokens import AccessTokens
    from taskorch.queue.audit_log import AuditLines
    from taskorch.queue.budgets import BudgetChange
    from taskorch.queue.notifications import Notifications
    from taskorch.queue.schedules import Schedules
    from taskorch.queue.signals import Signals
    from taskorch.queue.waits import Waits

#: Items that one call of a script visits, so that it blocks Redis for some ms at most.
REAP_BATCH = 20
AGENTS_BATCH = 60
AUDIT_BATCH = 30
PURGE_BATCH = 20
#: Agents that one call of `forget_agents` looks at.
FORGET_BATCH = 120
#: Items that one call of `check_purge` looks at.
CHECK_BATCH = 400
#: The reason of items that a completed project cancels.
COMPLETED = "The project was completed."
#: Records that one call returns from quarantine.
QUARANTINE_PAGE = 50


class Queue:
    """One namespace of the queue: one method per verb, one script per method.

    Open it on a connection of `taskorch.connections.connect`:

        connection = connect("redis://localhost:6379/0")
        queue = Queue(connection, "default", Caller(agent="planner"))
        project = queue.project("Build authentication system")
        new = NewItem(title="Design database schema", agent="database_specialist")
        item = queue.create(project, new)
        claim = queue.agent_queue("database_specialist").claim()

    Every method may raise errors.Unavailable (Redis), errors.Invalid (a value that is
    not allowed) and errors.NotFound (an unknown id).
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
        """Open a namespace for `caller`, the orchestrating agent.

        `requests` gives each call its id; `Requests(same=error.request)` repeats the
        call that raised an errors.Unavailable, which then acts once. Damaged rows of
        lists are left out and added to `damage`. Raises errors.Invalid for a bad name.
        """
        limits.name(namespace, "a namespace")
        limits.name(caller.agent, "an agent")
        limits.session(caller.session)
        self._scripts = Scripts(
            connection, namespace, caller, requests=requests, damage=damage
        )
        self._run_script = self._scripts.run_script
        #: The damaged rows that were left out: kind and id -> reason.
        self.damage = self._scripts.damage
        #: The reads of an orchestrator.
        self.views = Views(self._scripts)
        #: The whole namespace, for an export or an import.
        self.backup = Backup(self._scripts)

    @property
    def connection(self) -> Connection:
        """The connection to Redis."""
        return self._scripts.connection

    @property
    def caller(self) -> Caller:
        """The orchestrating agent."""
        return self._scripts.caller

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self._scripts.namespace

    def report_upgrade(self, notify: Callable[[str], object]) -> None:
        """Have a call that takes long send a sentence to `notify`.

        That is the first call in a namespace of an earlier version, which upgrades it.
        """
        self._scripts.notify = notify

    def over(self, connection: Connection) -> "Queue":
        """Return the same namespace over another connection."""
        scripts = self._scripts
        return Queue(
            connection, scripts.namespace, scripts.caller, damage=self.damage
        )

    def under_token(self, access_token: str) -> "Queue":
        """Return the same namespace, as the client of an access token changes it.

        The token, of which this is the id, limits every call: its quotas count, and
        errors.TokenRefused is raised once it is revoked or has expired. Only those who
        may do everything in the namespace may call under a token.
        """
        scripts = self._scripts
        return Queue(
            scripts.connection,
            scripts.namespace,
            scripts.caller,
            requests=Requests(access_token=access_token),
            damage=self.damage,
        )

    def agent_queue(
        self,
        name: str,
        *,
        session: str = "",
        pools: Sequence[str] | None = None,
        origin: Origin | None = None,
    ) -> AgentQueue:
        """Return the queue as an agent sees it, called from this host and process.

        After its own queue, the agent takes items from `pools`, in this order. With (),
        it leaves its pools; with None, it takes items from none and stays in them.
        """
        own = self._scripts.caller
        caller = Caller(
            agent=name,
            host=own.host,
            pid=own.pid,
            session=session,
            pools=None if pools is None else limits.pools(pools),
        )
        return AgentQueue(
            self._scripts.connection,
            self._scripts.namespace,
            caller,
            origin=origin,
            damage=self.damage,
        )

    def access_tokens(self) -> "AccessTokens":
        """Return the access tokens of the namespace, which the gateway checks."""
        from taskorch.queue.access_tokens import AccessTokens

        return AccessTokens(self._scripts)

    def audit_log(self) -> "AuditLines":
        """Return the audit log of the gateways of the namespace."""
        from taskorch.queue.audit_log import AuditLines

        return AuditLines(self._scripts)

    def notifications(self) -> "Notifications":
        """Return the notifications of the namespace, for services."""
        from taskorch.queue.notifications import Notifications

        return Notifications(self._scripts)

    def schedules(self) -> "Schedules":
        """Return the schedules of the namespace."""
        from taskorch.queue.schedules import Schedules

        return Schedules(self._scripts)

    def signals(self, notify: Notify = lambda _: None) -> "Signals":
        """Return the signals of the namespace, for gateways.

        `notify` receives each failure in an outage of Redis, and None after a success.
        """
        from taskorch.queue.signals import Signals

        return Signals(self._scripts, notify)

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
        """Create a project and return its id.

        An imported project keeps its `id` and its creation time in ms. A repeat with
        the same `id` changes nothing.
        """
        created_at = limits.number(created_at, "time", 0, limits.LARGEST)
        reply = self._run_script(
            "project",
            limits.title(title),
            limits.text(description, "description"),
            limits.project_id(id) if id else random_digits(),
            created_at or "",
        )
        return read.texts(reply)[0]

    def create(self, project: str, new: NewItem) -> str:
        """Add an item to a project, assign it to `new.agent` if named, return its id.

        A repeat with the same `new.key` creates nothing and returns the id of the first
        item.
        Raises errors.NoItem for an unknown dependency, errors.ProjectClosed for a
        completed project.
        """
        return self.create_many(project, [new])[0].id

    def create_many(
        self, project: str, items: Sequence[NewItem]
    ) -> tuple[CreatedItem, ...]:
        """Add 1 to 50 items to a project in one step: all, or none.

        An item follows the items that it depends on. Each is created as by `create`,
        with the same errors.
        """
        count = len(limits.sequence(items, "items"))
        if count > limits.BATCH_ITEMS:
            raise errors.Invalid(
                reason=f"One call creates at most {limits.BATCH_ITEMS} items, all or "
                f"none, not {count}. Use several calls: an item may depend on the ids "
                "that earlier calls returned."
            )
        return self.apply(Plan(project=project, items=tuple(items))).items

    def apply(
        self, plan: Plan, *, dry_run: bool = False, updates: bool = False
    ) -> AppliedPlan:
        """Create the items of a plan, and its project if it is new: all, or none.

        Items that an earlier plan with the same key created are left as they are. With
        `updates`, they become what the plan says, as far as their state allows it.
        `dry_run` checks everything and writes nothing; new items then have no id and no
        state. Raises the errors of `create`, and errors.Cycle and errors.TooMany.
        """
        if dry_run:
            return self._apply(plan, dry_run=True, updates=updates)
        if tracing.is_off():
            return self._apply(plan, dry_run=False, updates=updates)
        from taskorch.queue.spans import PlanSpans

        traced = PlanSpans(plan, self.namespace)
        result = self._apply(traced.plan, dry_run=False, updates=updates)
        traced.end(result)
        return result

    def _apply(
        self, plan: Plan, *, dry_run: bool, updates: bool
    ) -> AppliedPlan:
        words = arguments(plan, dry_run=dry_run, updates=updates)
        reply = self._run_script("create", *words)
        return applied(plan, reply)

    def depend(self, item: str, dependencies: Sequence[str]) -> State:
        """Make an item that is not claimed yet wait for more items; return its state.

        Raises errors.Cycle, errors.TooDeep and errors.TooMany.
        """
        count = len(limits.sequence(dependencies, "dependencies"))
        limits.number(
            count, "number of dependencies", 1, limits.BATCH_DEPENDENCIES
        )
        ids = [limits.item_id(dependency) for dependency in dependencies]
        reply = self._run_script("depend", limits.item_id(item), *ids)
        return State(read.texts(reply)[1])

    def edit(
        self, items: Sequence[str], edit: ItemEdit
    ) -> tuple[EditedItem, ...]:
        """Change 1 to 16 items in the same way, in one step: all, or none.

        The holder of an item learns what has changed with its next report. Raises
        errors.Begun for a field that cannot change because an agent has begun the item,
        errors.WrongState for one of a completed item, and errors.TooMany.
        """
        reply = self._run_script("edit", *edit_arguments(items, edit))
        return replies.edited(reply)

    def assign(  # noqa: PLR0913  six, which the house style allows
        self,
        item: str,
        agent: str = "",
        *,
        pool: str = "",
        context: Mapping[str, object] | None = None,
        resources: Sequence[str] = (),
        force: bool = False,
    ) -> Assignment:
        """Assign an item to an agent or to a pool, with more context and resources.

        If an agent holds it, `force` revokes that lease; without it, errors.Held is
        raised, unless the agent has it from that pool.
        """
        return self.assign_many(
            [item],
            agent,
            pool=pool,
            context=context,
            resources=resources,
            force=force,
        )[0]

    def assign_many(  # noqa: PLR0913  six, which the house style allows
        self,
        items: Sequence[str],
        agent: str = "",
        *,
        pool: str = "",
        context: Mapping[str, object] | None = None,
        resources: Sequence[str] = (),
        force: bool = False,
    ) -> tuple[Assignment, ...]:
        """Assign 1 to 16 items to an agent or to a pool in one step: all, or none.

        Each is assigned as by `assign`, in this order, with the same context and
        resources. An error names the item. Raises errors.TooMany for an item that is given
        twice.
        """
        count = len(limits.sequence(items, "items"))
        limits.batch_steps(count)
        added = (
            limits.pairs(context, "context values", "context")
            if context
            else "",
            limits.values(resources, "resource", "resources")
            if resources
            else "",
        )
        limits.batch_size(added, times=count)
        owner = _owner(agent, pool)
        with self._assigning(owner, items):
            reply = self._run_script(
                "assign",
                owner,
                *added,
                "1" if force else "",
                *map(limits.item_id, items),
            )
        return replies.assigned(reply, pool)

    def _assigning(
        self, owner: str, items: Sequence[str]
    ) -> AbstractContextManager[None]:
        """Return a block that assigns items, for its span."""
        if not tracing.tracer():
            return nullcontext()
        from taskorch.queue.spans import assigning

        return assigning(self.namespace, owner, items)

    def answer(
        self, item: str, text: str, *, question: int = 0
    ) -> AnsweredItem:
        """Answer a question on an item; 0 for the only open one.

        With the last one, the holder of a blocked item continues under a full lease.
        Raises errors.NoQuestion, or errors.SeveralQuestions without a number.
        """
        answer = limits.text(text, "answer", required=True)
        reply = self._run_script(
            "answer", limits.item_id(item), answer, limits.question(question)
        )
        return replies.answered(reply)

    def comment(self, item: str, text: str) -> tuple[State, str]:
        """Add a comment to an open item; return its state and its agent, or "".

        Its holder, or else the next one, gets the comment with its next step. Raises
        errors.WrongState for a completed or cancelled item.
        """
        comment = limits.text(text, "comment", required=True)
        reply = self._run_script("comment", limits.item_id(item), comment)
        _, state, agent = read.texts(reply)
        return State(state), agent

    def accept(self, item: str, text: str = "") -> ReviewedItem:
        """Complete an item that its agent has completed for review.

        What waited for it is queued. Accepting a completed item changes nothing. Raises
        errors.WrongState for an item in another state, and errors.OwnWork for one that
        the caller has completed itself.
        """
        from taskorch.queue import reviews

        return reviews.accept(self._scripts, item, text, as_agent=False)

    def send_back(self, item: str, text: str) -> ReviewedItem:
        """Return an item in review to its agent, whose next claim shows the text first.

        No attempt is used up. Raises the errors of `accept`.
        """
        from taskorch.queue import reviews

        return reviews.send_back(self._scripts, item, text, as_agent=False)

    def new_discoveries(
        self, project: str = "", *, limit: int = discoveries.LIMIT
    ) -> DiscoveryPage:
        """Return the discoveries that this orchestrator has not read yet.

        They are those of one project or of all, and count as read from now on.
        """
        target = limits.project_id(project) if project else discoveries.ALL
        return discoveries.new(
            self._scripts, discoveries.ORCHESTRATOR, target, limit
        )

    def cancel(self, item: str, *, reason: str = "") -> CancelledItem:
        """Cancel an item, which closes its open questions.

        A holder gets errors.Cancelled at its next step. Raises errors.WrongState for a
        completed item.
        """
        reason = limits.text(reason, "reason")
        reply = self._run_script("cancel", limits.item_id(item), reason)
        return replies.cancelled(reply)

    def requeue(
        self, item: str, *, reason: str = "", reopen: bool = False
    ) -> Requeued:
        """Queue a failed, cancelled or completed item again, with all its attempts.

        Its holders get the reason with the item. `reopen` makes its project active
        again; without it, an item of a completed project raises errors.NeedsReopen.
        Its dependents wait for it again, except those that an agent holds. Each call of
        the script handles some of the dependents; if the requeue is interrupted, the
        next one handles the rest.
        """
        limits.item_id(item)
        reason = limits.text(reason, "reason")
        words = (reason, "1" if reopen else "")
        reply = self._run_script("requeue", item, "", *words)
        done, left = replies.requeued(reply)
        rest = self._scripts.for_the_rest()
        while left:
            reply = rest.run_script("requeue", item, "1", *words)
            more, left = replies.requeued(reply)
            done = replace(
                done,
                waiting=done.waiting + more.waiting,
                held=done.held + more.held,
            )
        return done

    def complete_project(
        self, project: str, *, force: bool = False
    ) -> ClosedProject:
        """Complete a project.

        `force` cancels open items; without it, they raise errors.OpenItems.
        """
        return self._close(project, cancels=force, reason=COMPLETED)

    def cancel_project(
        self, project: str, *, reason: str = ""
    ) -> ClosedProject:
        """Cancel the open items of a project, and complete it.

        Holders get errors.Cancelled at their next step.
        """
        reason = limits.text(reason, "reason")
        return self._close(project, cancels=True, reason=reason)

    def _close(
        self, project: str, *, cancels: bool, reason: str
    ) -> ClosedProject:
        """Complete a project, in as many calls of the script as its open items need.

        If this is interrupted, the project is `closing`, and later calls of any agent
        or of the service cancel the rest.
        """
        limits.project_id(project)
        words = (project, "1" if cancels else "", reason)
        cancelled, is_left = 0, True
        closed: list[ClosedQuestions] = []
        scripts = self._scripts
        try:
            while is_left:
                reply = scripts.run_script("close_project", *words)
                left, number, remark, view, some_closed = cast(
                    "tuple[str, int, str, Reply, Reply]", reply
                )
                is_left = bool(left)
                cancelled += number
                closed += replies.closed_questions(some_closed)
                scripts = scripts.for_the_rest()
        except KeyboardInterrupt:
            if not cancelled:
                raise
            raise KeyboardInterrupt(
                f"{project} is being closed, and {cancelled} of its open items are "
                "cancelled so far. The service and the next claims of workers cancel "
                "the others. To do it now: orchestrate reap"
            ) from None
        return ClosedProject(
            project=replies.project(view),
            cancelled=cancelled,
            remark=remark,
            closed_questions=tuple(closed),
        )

    def reopen_project(self, project: str) -> ReopenedProject:
        """Make a completed project active again. Its items keep their states."""
        limits.project_id(project)
        remark, view = cast(
            "tuple[str, Reply]", self._run_script("reopen_project", project)
        )
        return ReopenedProject(project=replies.project(view), remark=remark)

    def set_budget(
        self,
        owner: str,
        *,
        period: str,
        limit_micros: int | None = None,
        limit_tokens: int | None = None,
    ) -> "BudgetChange":
        """Set the budget of a project, an agent or the `namespace`.

        `period` is "day" (of UTC) or "total". An agent may claim no item of an owner that
        has used as much as a limit: 0 stops all claims. Without a limit, the budget is
        removed. Raises errors.NoProject and errors.NoAgent.
        """
        from taskorch.queue import budgets

        return budgets.set_budget(
            self._scripts,
            budgets.owner_of(owner),
            period,
            limit_micros=limit_micros,
            limit_tokens=limit_tokens,
        )

    def check_purge(self, project: str) -> None:
        """Check whether a project may be purged, in as many calls as that takes.

        Raises errors.WrongState for a project that is not completed, errors.Awaited if
        an item of another project waits for one of its items.
        """
        limits.project_id(project)
        cursor = "0"
        while cursor:
            reply = self._run_script("awaited", project, cursor, CHECK_BATCH)
            cursor = cast(str, reply)

    def purge(self, project: str) -> tuple[int, int, int]:
        """Remove part of a completed project; the last call removes the project too.

        Call `check_purge` before, which looks at all items. Return the numbers of items
        left, of items removed and of keys removed; call it until no item is left. Raises
        errors.WrongState for a project that is not completed, errors.Awaited if an item
        of another project waits for one of the items of this part.
        """
        limits.project_id(project)
        reply = self._run_script("purge", project, PURGE_BATCH)
        left, items, keys = read.texts(reply)
        return int(left), int(items), int(keys)

    def archive_take(
        self, project: str, root: str, older_than_ms: int
    ) -> tuple[str, str]:
        """Take the right to archive a project that was completed this long ago.

        Return the id of this run, the only one that may end the archive from now on, and
        the file of an archive that is already complete, or "". The run is "" if the
        project is younger, or another root has the right, for a day at most. Raises
        errors.WrongState for a project that is not completed.
        """
        reply = self._run_script(
            "archive_take",
            limits.project_id(project),
            root,
            limits.number(older_than_ms, "age in ms", 1, limits.LONGEST_MS),
        )
        run, file = read.texts(reply)
        return run, file

    def archive_done(self, project: str, run: str, file: str) -> bool:
        """Record that `file` has the whole project, which may be purged now.

        Return False if another run has begun, or the project was reopened.
        """
        reply = self._run_script(
            "archive_done", limits.project_id(project), run, file
        )
        return bool(reply)

    def forget_agents(self, *, unseen_ms: int) -> int:
        """Forget the agents without items that have not called for this long.

        Return their number. Agents that never called are among them. Then forget the
        pools that are as old, and have no items and no agents.
        """
        age = limits.number(unseen_ms, "age in ms", 1, limits.LONGEST_MS)
        forgotten, skip, skip_pools = 0, "0", "0"
        scripts = self._scripts
        while skip_pools:
            reply = scripts.run_script(
                "forget_agents", age, skip, FORGET_BATCH, skip_pools
            )
            skip, number, skip_pools = cast("tuple[str, int, str]", reply)
            forgotten += number
            scripts = scripts.for_the_rest()
        return forgotten

    def reap(self) -> ReapCounts:
        """Expire overdue leases, and queue delayed items that are due.

        Steps that earlier calls left unfinished are finished, such as the cancellation
        of the items of a large project.
        """
        done = ReapCounts(reaped=0, promoted=0)
        cursor, is_left = "0", True
        scripts = self._scripts
        while is_left:
            reply = scripts.run_script(
                "reap", REAP_BATCH, cursor, AGENTS_BATCH
            )
            reaped, promoted, cursor, unfinished, released, cancelled = cast(
                "tuple[int, int, str, int, int, int]", reply
            )
            done = replace(
                done,
                reaped=done.reaped + reaped,
                promoted=done.promoted + promoted,
                released=done.released + released,
                cancelled=done.cancelled + cancelled,
            )
            is_full = max(reaped, promoted) >= REAP_BATCH
            is_left = cursor != "0" or is_full or unfinished > 0
            scripts = scripts.for_the_rest()
        return done

    def audit(self, *, cursor: str = "", fix: bool = False) -> AuditPage:
        """Compare some items with their indexes, dependencies and projects.

        `fix` repairs what is wrong; the findings include what was repaired. Raises
        errors.NoProject if the project of the cursor has been purged.
        """
        cursor = limits.list_cursor(cursor)
        reply = self._run_script(
            "audit",
            cursor,
            AUDIT_BATCH,
            "1" if fix else "",
        )
        return audit.audit_page(reply)

    def audit_index(
        self, index: str, *, fix: bool = False
    ) -> tuple[Finding, ...]:
        """Return the wrong entries of an index, such as `leases` or `queue:ada`.

        `fix` removes them.
        """
        found: dict[Finding, None] = {}
        cursor = "0"
        scripts = self._scripts
        while True:
            reply = scripts.run_script(
                "audit_index",
                index,
                cursor,
                AUDIT_BATCH,
                "1" if fix else "",
            )
            next_cursor, findings = read.rows(reply)
            cursor = str(next_cursor)
            found |= dict.fromkeys(audit.findings(findings))
            scripts = scripts.for_the_rest()
            if cursor == "0":
                return tuple(found)

    def recount(
        self,
        event: str,
        counts: Mapping[str, Mapping[str, int]],
        *,
        fix: bool = False,
    ) -> tuple[Finding, ...] | None:
        """Compare the stored counts of owners with those that an audit has counted.

        `event` is the newest event when the audit began. If there is a newer one, the
        counts cannot be compared, and the result is None. `fix` corrects the stored
        counts.
        """
        words: list[str] = []
        for owner, states in counts.items():
            words += (owner, json.dumps(states))
        event = limits.cursor(event)
        reply = self._run_script(
            "recount",
            event,
            "1" if fix else "",
            *words,
        )
        return audit.wrong_counts(reply)

    def quarantine(self, kind: str, id_: str, reason: str) -> None:
        """Move a damaged item, project or agent to quarantine: see `quarantined`.

        A project remains, with its id as its title. An audit repairs the references.
        """
        self._run_script(
            "quarantine",
            kind,
            id_,
            reason,
        )

    def quarantined(self) -> tuple[Quarantined, ...]:
        """Return the records in quarantine, in the order in which they were moved."""
        found: list[Quarantined] = []
        total = 1
        while len(found) < total:
            view = self._run_script("damaged", len(found) + 1, QUARANTINE_PAGE)
            total, page = cast("tuple[int, list[Reply]]", view)
            found += map(audit.quarantined, page)
        return tuple(found)

    def mirror_take(
        self, root: str, writer: str, lease_ms: int
    ) -> tuple[bool, str, str]:
        """Take the lease on the files of a root for `lease_ms`, at most 10 minutes.

        Return whether `writer` has it, who has it, and the creation time of the
        namespace in ms, which tells it from a deleted one of the same name.
        """
        reply = self._run_script(
            "mirror_take",
            root,
            writer,
            limits.number(
                lease_ms, "lease in ms", 1, limits.LONGEST_MIRROR_MS
            ),
        )
        is_taken, holder, _, created = read.texts(reply)
        return bool(is_taken), holder, created

    def mirror_give(
        self,
        root: str,
        writer: str,
        status: Mapping[str, object],
        service: Mapping[str, object],
    ) -> None:
        """Give back the lease on the files of a root, with the result of the pass.

        `service` describes the service that made it, if any. A writer that has lost the
        lease is ignored.
        """
        self._run_script(
            "mirror_give",
            root,
            writer,
            json.dumps(status),
            json.dumps(service) if service else "",
        )


def _owner(agent: str, pool: str) -> str:
    """Return an agent or a pool as the owner of a queue. Raises errors.Invalid."""
    if bool(agent) == bool(pool):
        raise errors.Invalid(
            reason="An item is assigned to an agent or to a pool: name one of them."
        )
    if pool:
        return keys.of_pool(limits.pool_name(pool))
    return limits.agent_name(agent)
