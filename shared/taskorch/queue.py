"""The queue as an orchestrator sees it: create, assign, answer, mend; `views` reads, `agent` is the workers' side."""

import json
from collections.abc import Mapping, Sequence

from taskorch import bounds, finding, reply
from taskorch.agent_queue import AgentQueue
from taskorch.archive import Archive
from taskorch.finding import Finding, Slice
from taskorch.item import Assignment, Caller, NewItem, ProjectProgress, State
from taskorch.record import Origin
from taskorch.script import Argument, Connection, Scripts, random_digits
from taskorch.views import Views

REAP_BATCH = 500
#: Items that a part of an audit looks at, so that no script keeps others waiting for more than some milliseconds.
AUDIT_BATCH = 250


class Queue:
    """One namespace of the queue: one method per verb, one script per method.

    Open it on a connection of `taskorch.connection.connect`:

        queue = Queue(connect("redis://localhost:6379/0"), "default", Caller(agent="planner"))
        project = queue.project("Build authentication system")
        item = queue.create(project, NewItem(title="Design database schema", agent="database_specialist"))
        claim = queue.agent("database_specialist").claim()

    Every method may raise errors.Unavailable (Redis), errors.Invalid (a bound) and errors.NotFound.
    """

    def __init__(self, connection: Connection, namespace: str, caller: Caller) -> None:
        """Speak for `caller`, the orchestrating agent."""
        bounds.name(namespace, "a namespace")
        bounds.name(caller.agent, "an agent")
        self._scripts = Scripts(connection, namespace, caller)
        #: The reads of an orchestrator.
        self.views = Views(self._scripts)
        #: All of the namespace, for an export and an import.
        self.archive = Archive(self._scripts)

    def agent(self, name: str, *, session: str = "", origin: Origin | None = None) -> AgentQueue:
        """Return the queue as the agent `name` sees it, from this host and process."""
        me = self._scripts.caller
        caller = Caller(agent=name, host=me.host, pid=me.pid, session=session)
        return AgentQueue(self._scripts.connection, self._scripts.namespace, caller, origin)

    def project(self, title: str, *, description: str = "", id: str = "", created_at: int = 0) -> str:  # noqa: A002
        """Open a project and return its id; `id` and `created_at` (ms) are those that it had elsewhere.

        A repeat with the same `id` changes nothing.
        """
        digits = bounds.project_id(id) if id else random_digits()
        created = bounds.number(created_at, "time", 0, 2**53) or ""
        arguments = (bounds.title(title), bounds.text(description, "description"), digits, created)
        return reply.texts(self._scripts.run("project", *arguments))[0]

    def create(self, project: str, new: NewItem) -> str:
        """Add an item to a project and return its id; assigned at once if `new.agent` is named.

        A repeat with the same `new.key` creates nothing and returns the first item's id. Raises errors.NoItem for an
        unknown dependency, errors.ProjectClosed for a completed project.
        """
        dependencies = [bounds.item_id(item) for item in dict.fromkeys(new.depends_on)]
        bounds.values(dependencies, "dependency")
        arguments = (
            bounds.project_id(project),
            bounds.item_id(new.id) if new.id else random_digits(),
            bounds.text(new.key, "key"),
            bounds.name(new.agent, "an agent") if new.agent else "",
            bounds.number(new.not_before_at, "time", 0, 2**53),
            bounds.number(new.delay_ms, "delay in ms", 0, bounds.LONGEST_MS),
            len(dependencies),
            *dependencies,
            *_fields(new),
        )
        return reply.texts(self._scripts.run("create", *arguments))[0]

    def depend(self, item: str, dependencies: Sequence[str]) -> State:
        """Make an item that nobody has begun wait for others too. Raises errors.Cycle."""
        ids = [bounds.item_id(dependency) for dependency in dependencies]
        return State(reply.texts(self._scripts.run("depend", bounds.item_id(item), *ids))[1])

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
        arguments = (
            bounds.item_id(item),
            bounds.name(agent, "an agent"),
            bounds.pairs(context, "context values") if context else "",
            bounds.values(resources, "resource") if resources else "",
            "1" if force else "",
        )
        id_, project, agent, state, previous = reply.texts(self._scripts.run("assign", *arguments))
        return Assignment(id=id_, project=project, agent=agent, state=State(state), previous=previous)

    def answer(self, item: str, text: str) -> State:
        """Answer an item's blocker; its holder goes on, under a full lease."""
        return self._change("answer", item, bounds.text(text, "answer", required=True))

    def cancel(self, item: str, *, reason: str = "") -> int:
        """Take an item out of work, and return how many items wait for it; a holder is told at its next step.

        Raises errors.WrongState once it is completed.
        """
        arguments = (bounds.item_id(item), bounds.text(reason, "reason"))
        return int(reply.texts(self._scripts.run("cancel", *arguments))[3])

    def requeue(self, item: str) -> State:
        """Start a failed, cancelled or completed item afresh, with all its attempts."""
        return self._change("requeue", item)

    def complete_project(self, project: str, *, force: bool = False) -> ProjectProgress:
        """Close a project and return it with its items; `force` cancels the open ones (else errors.OpenItems)."""
        view = reply.rows(self._scripts.run("complete_project", bounds.project_id(project), "1" if force else ""))
        return ProjectProgress(project=reply.project(view[0]), items=reply.items(view[1]), last_reports={})

    def reap(self) -> tuple[int, int]:
        """Act on every expired lease and every delayed item that is due; return how many of each."""
        reaped = promoted = 0
        while True:
            some_reaped, some_promoted = (int(n) for n in reply.texts(self._scripts.run("reap", REAP_BATCH)))
            reaped, promoted = reaped + some_reaped, promoted + some_promoted
            if max(some_reaped, some_promoted) < REAP_BATCH:
                return reaped, promoted

    def audit(self, *, cursor: str = "", mend: bool = False) -> Slice:
        """Compare a part of the items with their indexes, dependencies and projects; `mend` repairs what is wrong.

        What was repaired is in the findings. Raises errors.NoProject when that of the cursor is gone meanwhile.
        """
        arguments = (bounds.list_cursor(cursor), AUDIT_BATCH, "1" if mend else "")
        return finding.audited(self._scripts.run("audit", *arguments))

    def audit_index(self, index: str, *, mend: bool = False) -> tuple[Finding, ...]:
        """Return the entries of an index (`leases`, `queue:ada` …) that are wrong; `mend` drops them."""
        found: dict[Finding, None] = {}
        cursor = "0"
        while True:
            arguments = (index, cursor, AUDIT_BATCH, "1" if mend else "")
            next_cursor, some = reply.rows(self._scripts.run("audit_index", *arguments))
            cursor = str(next_cursor)
            found |= dict.fromkeys(finding.findings(some))
            if cursor == "0":
                return tuple(found)

    def recount(
        self, event: str, counts: Mapping[str, Mapping[str, int]], *, mend: bool = False
    ) -> tuple[Finding, ...] | None:
        """Compare the counts of owners with those of an audit that began at an event; `mend` sets them right.

        None when something has happened since: then they cannot be judged.
        """
        words = [word for owner, states in counts.items() for word in (owner, json.dumps(states))]
        return finding.drifts(self._scripts.run("recount", bounds.cursor(event), "1" if mend else "", *words))

    def mirror_take(self, root: str, writer: str, lease_ms: int) -> tuple[bool, str]:
        """Take the right to write the files of a root for so long; return whether it is the caller's, and whose."""
        mine, holder, _ = reply.texts(self._scripts.run("mirror_take", root, writer, lease_ms))
        return bool(mine), holder

    def mirror_give(self, root: str, writer: str, status: Mapping[str, object], service: Mapping[str, object]) -> None:
        """Give that right back, say how the pass went, and which service ran it; ignored from who has lost it."""
        words = (json.dumps(status), json.dumps(service) if service else "")
        self._scripts.run("mirror_give", root, writer, *words)

    def _change(self, verb: str, item: str, *arguments: Argument) -> State:
        return State(reply.texts(self._scripts.run(verb, bounds.item_id(item), *arguments))[1])


def _fields(new: NewItem) -> list[Argument]:
    """Return the item's own fields as name, value …; empty ones take no memory."""
    texts: dict[str, Argument] = {
        "title": bounds.title(new.title),
        "description": bounds.text(new.description, "description"),
        "requirements": bounds.values(new.requirements, "requirement"),
        "context": bounds.pairs(new.context, "context values"),
        "resources": bounds.values(new.resources, "resource"),
        "deliverables_expected": bounds.values(new.deliverables_expected, "deliverable"),
        "criteria": bounds.values(new.criteria, "criterion"),
        "priority": bounds.number(new.priority, "priority", 0, 4),
        "lease_ms": bounds.number(new.lease_ms, "lease in ms", 1, bounds.LONGEST_MS),
        "max_attempts": bounds.number(new.max_attempts, "number of attempts", 1, 1000),
        "created_at": bounds.number(new.created_at, "time", 0, 2**53) or "",
    }
    empty = ("", json.dumps([]), json.dumps({}))
    return [word for name, value in texts.items() if value not in empty for word in (name, value)]
