"""The checks of `orchestrate doctor`, as functions of data that was read before."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from taskorch.cli.text import ago, counted, size, timestamp
from taskorch.domain import errors, hints
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Project, State
from taskorch.domain.mirror_record import MirrorStatus
from taskorch.domain.notification import TargetRecord
from taskorch.domain.schedule import Schedule
from taskorch.queue import redis_users
from taskorch.queue.agents import AgentStatus, is_forgotten
from taskorch.queue.audit import (
    Environment,
    Finding,
    OpenDependency,
    Quarantined,
)
from taskorch.queue.budgets import Budget
from taskorch.queue.libraries import InstalledLibrary
from taskorch.transport.redis_errors import OLDEST

from taskorch_orchestrator.doctor import vulnerabilities
from taskorch_orchestrator.doctor.audit import Audit

#: An agent that has work and was not seen for longer is reported.
STALE_MS = 24 * 3_600_000
#: A smaller difference between clocks is ignored: times are shown to the second.
SKEW_MS = 2000
FULL = 0.9
VALKEY = "Valkey"
OLDEST_VALKEY = (8, 0)
#: A schedule that should have run longer ago than this is overdue.
LATE_MS = 600_000
#: A service or a worker that was seen within this time is at work.
AT_WORK_MS = 600_000
SHOWN = 5
FIX = "orchestrate doctor --fix"
#: Without the rewrite, the setting is lost at a restart. For appendonly, the server
#: would then load its last snapshot.
SET = "redis-cli config set {}, then redis-cli config rewrite"
#: Name of a check -> words of its findings in an audit, and its text if there are none.
AUDITED = {
    "damage": (
        ("damaged", "step"),
        "every project, item and agent can be read",
    ),
    "indexes": (
        ("index",),
        "every item is in the index of its state, and in no other",
    ),
    "dependencies": (
        ("dependency", "state"),
        "items that no agent holds wait if a dependency is open, and only then",
    ),
    "listings": (
        ("listed", "agent", "lost"),
        "every item is listed in its project, and every agent among the agents",
    ),
    "counts": (("count",), "the item counts of projects and agents are right"),
}
#: Fields of INFO about persistence -> what failed if a field is not "ok".
WRITES = {
    "aof_last_write_status": "append",
    "aof_last_bgrewrite_status": "rewrite of the append-only file",
    "rdb_last_bgsave_status": "snapshot",
}


#: The roles whose users of Redis may not do everything in a namespace.
CONFINED_ROLES = ("worker", "orchestrator", "viewer")
#: Words of a rule that no user of these roles needs.
TOO_MUCH = frozenset((
    "~*", "allkeys", "+@all", "allcommands", "+@dangerous", "+@admin", "+@scripting", "+eval", "+evalsha", "+script",
    "+function", "+function|load", "+config", "+acl",
))  # fmt: skip


class CheckStatus(StrEnum):
    """The outcome of a check; only a problem makes the exit code 5."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class CheckResult(Frozen):
    """The result of one check."""

    name: str
    status: CheckStatus
    found: str
    #: The command that fixes it, or "".
    mend: str = ""
    #: The ids of the items, projects or agents concerned.
    items: tuple[str, ...] = ()


def of_server(
    environment: Environment,
    before_ms: float,
    after_ms: float,
    *,
    required_replicas: int = 0,
) -> Iterator[CheckResult]:
    """Check the server.

    `before_ms` and `after_ms` are the times of this machine around the request.
    """
    yield _schema(environment.schema)
    yield _clock(environment.at, before_ms, after_ms)
    if environment.refused:
        found = f"not checked, because this user may not run INFO: {environment.refused}"
        yield _note("server", found, "redis-cli acl setuser NAME +info")
        return
    info = environment.info
    yield _version(info)
    yield _vulnerabilities(info)
    yield _role(info)
    yield _persistence(info)
    yield _eviction(info)
    yield _memory(info)
    yield _replicas(info, required_replicas)


def _schema(version: str) -> CheckResult:
    if version in errors.BadSchema.UPGRADABLE:
        return _note(
            "schema", f"was version {version}; doctor has upgraded it"
        )
    if version:
        return _ok("schema", f"version {version}")
    return _ok("schema", "the namespace is empty")


def _clock(at: int, before_ms: float, after_ms: float) -> CheckResult:
    half_trip_ms = (after_ms - before_ms) / 2
    ahead_ms = before_ms + half_trip_ms - at
    if abs(ahead_ms) <= SKEW_MS + half_trip_ms:
        return _ok("clock", "this machine and Redis agree")
    direction = "ahead of" if ahead_ms > 0 else "behind"
    found = (
        f"this machine is {abs(ahead_ms) / 1000:.1f} s {direction} Redis: leases use "
        "only the clock of Redis, but --not-before and displayed ages are off by that"
    )
    return _note("clock", found, "timedatectl set-ntp true")


def _version(info: Mapping[str, str]) -> CheckResult:
    name, text = _server(info)
    oldest = OLDEST_VALKEY if name == VALKEY else OLDEST
    if _numbers(text) < oldest:
        mend = "upgrade to Redis 7.0 or Valkey 8.0, or newer"
        return _problem("version", f"{name} {text} is too old", mend)
    return _ok("version", f"{name} {text}")


def _vulnerabilities(info: Mapping[str, str]) -> CheckResult:
    """Check the version only: a distribution may have fixed an older one."""
    name, text = _server(info)
    version, is_valkey = _numbers(text), name == VALKEY
    is_cluster = info.get("redis_mode") == "cluster"
    known = vulnerabilities.of_version(
        version, is_valkey=is_valkey, is_cluster=is_cluster
    )
    if not known:
        return _ok("vulnerabilities", f"none are known of {name} {text}")
    fixed = vulnerabilities.fixed_version(
        version, is_valkey=is_valkey, is_cluster=is_cluster
    )
    found = (
        f"{name} {text} has these, unless your distribution has fixed them: "
        f"{_first([f'{each.id} ({each.risk})' for each in known])}"
    )
    mend = f"upgrade to {name} {fixed} or newer"
    return _note("vulnerabilities", found, mend)


def _server(info: Mapping[str, str]) -> tuple[str, str]:
    """Return the name of the server's program, and its version."""
    valkey = info.get("valkey_version")
    if valkey:
        return VALKEY, valkey
    return "Redis", info.get("redis_version", "0")


def _numbers(version: str) -> tuple[int, int, int]:
    """Return the numbers of a version, with 0 for what is missing or not a number."""
    parts = [*version.split("."), "0", "0"][:3]
    major, minor, patch = (
        int(part) if part.isdecimal() else 0 for part in parts
    )
    return major, minor, patch


def _role(info: Mapping[str, str]) -> CheckResult:
    if info.get("role") == "master":
        return _ok("role", "a primary")
    host, port = (
        info.get("master_host", "HOST"),
        info.get("master_port", "PORT"),
    )
    mend = f"orchestrate --redis-url redis://{host}:{port} doctor"
    return _problem("role", "a replica, which accepts no changes", mend)


def _persistence(info: Mapping[str, str]) -> CheckResult:
    for field, write in WRITES.items():
        if info.get(field, "ok") != "ok":
            found = f"the last {write} failed: {info[field]}"
            return _problem(
                "persistence", found, "df -h, then redis-cli bgrewriteaof"
            )
    if info.get("aof_enabled") == "1":
        found = "changes are appended to a file, as often as appendfsync says"
        return _ok("persistence", found)
    found = "append-only is off: a restart loses all changes since the last snapshot"
    return _problem("persistence", found, SET.format("appendonly yes"))


def _eviction(info: Mapping[str, str]) -> CheckResult:
    policy = info.get("maxmemory_policy", "")
    if policy == "noeviction":
        return _ok("eviction", policy)
    if not _max_memory(info):
        return _ok("eviction", f"{policy}, but no maxmemory is set")
    found = f"{policy}: a full server deletes leases and items"
    return _problem(
        "eviction", found, SET.format("maxmemory-policy noeviction")
    )


def _memory(info: Mapping[str, str]) -> CheckResult:
    used, most = int(info.get("used_memory", "0")), _max_memory(info)
    if not most:
        return _ok("memory", f"{size(used)} used, no maxmemory")
    if used > FULL * most:
        found = f"{size(used)} used of {size(most)}: a full server refuses all changes"
        mend = SET.format(f"maxmemory {2 * max(used, most)}")
        return _problem("memory", found, mend)
    return _ok("memory", f"{size(used)} used of {size(most)}")


def _max_memory(info: Mapping[str, str]) -> int:
    return int(info.get("maxmemory", "0"))


def _replicas(info: Mapping[str, str], required: int) -> CheckResult:
    connected = info.get("connected_slaves", "0")
    if int(connected) < required:
        found = (
            f"{connected} connected, but {required} required: each change is made, "
            "then the command exits with 4"
        )
        mend = f"start replicas, or: export TASKORCH_WAIT_REPLICAS={connected}"
        return _problem("replicas", found, mend)
    if connected == "0":
        return _note(
            "replicas", "none: if the server is lost, so is the queue"
        )
    good = info.get("min_slaves_good_slaves")
    if good:
        return _ok(
            "replicas", f"{connected} connected, {good} of them up to date"
        )
    return _ok("replicas", f"{connected} connected")


def of_functions(
    libraries: Sequence[InstalledLibrary], text: str, now_ms: int
) -> CheckResult:
    """Check the libraries of functions on the server; `text` is that of our own."""
    foreign = [
        each.name
        for each in libraries
        if not each.called_at or (each.is_own and each.text != text)
    ]
    if foreign:
        found = (
            f"another program's, under the name of ours: {', '.join(foreign)}"
        )
        mend = f"redis-cli function delete {foreign[0]}"
        return _problem("functions", found, mend)
    own = [each.name for each in libraries if each.is_own]
    if not own:
        return _note(
            "functions",
            "not installed: commands run slower scripts",
            "redis-cli acl setuser NAME +fcall +function|load",
        )
    found = f"{own[0]} is installed"
    others = [
        f"{each.name}, last called {ago(now_ms - each.called_at)}"
        for each in libraries
        if not each.is_own
    ]
    if others:
        found += f"; of other versions: {'; '.join(others)}"
    return _ok("functions", found)


def of_unread_functions(reason: str) -> CheckResult:
    """Report that this user, or this server, does not list functions."""
    lacks_right = reason.startswith("NOPERM")
    mend = "redis-cli acl setuser NAME +function|list" if lacks_right else ""
    return _note("functions", f"not checked: {reason}", mend)


def of_users(rows: Sequence[str], namespace: str) -> CheckResult:
    """Check the users of roles among the rows of ACL LIST: which may do too much."""
    users = {name: rule for _, name, *rule in (row.split() for row in rows)}
    prefix = redis_users.name_of("", namespace) + redis_users.BETWEEN
    of_roles = {
        name: rule
        for name, rule in users.items()
        if name.startswith(prefix)
        and name.removeprefix(prefix).partition(redis_users.BETWEEN)[0]
        in CONFINED_ROLES
    }
    if not of_roles:
        return _ok("users", "no users for roles")
    loose = [
        f"{name} ({' '.join(excess)})"
        for name, rule in of_roles.items()
        if (excess := [word for word in rule if word in TOO_MUCH])
    ]
    if loose:
        found = f"may do more than their role: {_first(loose)}"
        mend = "set each again: orchestrate acl ROLE NAME --apply"
        return _problem("users", found, mend)
    if {"on", "nopass"} <= set(users.get("default", ())):
        found = "the user default needs no password, so the users of roles confine nobody"
        return _problem("users", found, "redis-cli acl setuser default off")
    return _ok("users", f"{counted(len(of_roles), 'user', 'users')} for roles")


def of_address(url: str) -> CheckResult:
    """Check whether the way to Redis is encrypted; `url` has no password."""
    scheme, _, rest = url.partition("://")
    is_plain = scheme.partition("+")[0] == "redis"
    hosts = rest.rpartition("@")[2].partition("/")[0].partition("?")[0]
    others = [
        host
        for host in hosts.split(",")
        if not host.startswith(("127.", "localhost", "[::1]"))
    ]
    if is_plain and others:
        found = (
            f"{others[0]} is reached without TLS: anyone on the way can read "
            "the password and the items"
        )
        return _note("address", found, "use rediss:// or a private network")
    return _ok("address", "encrypted, or on this machine")


def of_unread_users(reason: str) -> CheckResult:
    """Report that this user does not list users."""
    return _note("users", f"not checked: {reason}")


def of_schema(reason: str, advice: str) -> CheckResult:
    """Report a namespace of another version, which ends all other checks."""
    return _problem("schema", reason, advice)


def of_audit(audited: Audit) -> Iterator[CheckResult]:
    """Check the findings and repairs of an audit."""
    for name, (words, fine) in AUDITED.items():
        left = [
            finding for finding in audited.findings if finding.word in words
        ]
        repaired = [
            finding for finding in audited.repaired if finding.word in words
        ]
        if left:
            yield _problem(name, _findings(left), FIX, _ids(left))
        elif repaired:
            found = f"repaired: {_findings(repaired)}"
            yield _ok(name, found, _ids(repaired))
        elif name == "counts" and not audited.counted:
            yield _note(
                name, "could not be compared while the namespace is busy"
            )
        elif name == "indexes":
            items = counted(audited.items, "item", "items")
            yield _ok(name, f"{fine} ({items})")
        else:
            yield _ok(name, fine)


def _findings(findings: Sequence[Finding]) -> str:
    return _first([f"{finding.id} ({finding.detail})" for finding in findings])


def _ids(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.id for finding in findings))


def of_agents(agents: Sequence[AgentStatus], now_ms: int) -> CheckResult:
    """Check that the agents that have work were seen within a day."""
    active = (State.QUEUED, State.IN_PROGRESS, State.BLOCKED)
    busy = [
        agent
        for agent in agents
        if any(agent.counts[state] for state in active)
    ]
    oldest = now_ms - STALE_MS
    stale = [agent for agent in busy if 0 < agent.last_seen_at < oldest]
    if stale:
        found = f"have work, but were not seen for a day: {_agents(stale)}"
        first = stale[0].name
        mend = f"orchestrate list --agent {first}, then orchestrate assign ITEM AGENT"
        return _problem(
            "agents", found, mend, tuple(agent.name for agent in stale)
        )
    new = [agent for agent in busy if not agent.last_seen_at]
    if new:
        found = f"have work, but were never seen: {_agents(new)}"
        mend = f"orchestrate list --agent {new[0].name}"
        return _note("agents", found, mend, tuple(agent.name for agent in new))
    if busy:
        return _ok(
            "agents", "all agents that have work were seen within a day"
        )
    return _ok("agents", "no agent has work")


def _agents(agents: Sequence[AgentStatus]) -> str:
    texts = []
    for agent in agents:
        held = agent.counts[State.IN_PROGRESS] + agent.counts[State.BLOCKED]
        text = f"{agent.counts[State.QUEUED]} queued, {held} held"
        if agent.last_seen_at:
            text += f", seen {timestamp(agent.last_seen_at)}"
        texts.append(f"{agent.name} ({text})")
    return _first(texts)


def of_archive(
    retention_ms: int, due: int, archived: Sequence[int]
) -> CheckResult:
    """Check that old projects are archived.

    `due` is the number of completed projects older than the retention, `archived` has
    the sizes in bytes of the files in the archive of this root.
    """
    files = counted(len(archived), "project", "projects")
    found = f"{files} in the archive of this root"
    if archived:
        found += f" ({size(sum(archived))})"
    if not retention_ms:
        return _ok("archive", f"off; {found}")
    if due:
        projects = counted(
            due, "completed project is", "completed projects are"
        )
        found = f"{projects} older than the retention; {found}"
        mend = "orchestrate service, or orchestrate sync status for the reason"
        return _note("archive", found, mend)
    return _ok("archive", found)


def of_schedules(
    schedules: Sequence[Schedule], damaged: Sequence[str], now_ms: int
) -> CheckResult:
    """Check that the schedules run, and that their last runs succeeded."""
    if damaged:
        found = f"cannot be read: {_first(damaged)}"
        mend = "orchestrate schedule remove NAME"
        return _problem("schedules", found, mend, tuple(damaged))
    failing = [each.name for each in schedules if each.last_error]
    late = [each.name for each in schedules if each.next_at < now_ms - LATE_MS]
    if failing:
        count = counted(len(failing), "schedule", "schedules")
        found = f"the last run of {count} failed: {_first(failing)}"
        mend = "orchestrate schedule list shows why"
        return _problem("schedules", found, mend, tuple(failing))
    if late:
        count = counted(len(late), "schedule is", "schedules are")
        found = f"{count} overdue, because no service runs: {_first(late)}"
        return _note("schedules", found, "orchestrate service", tuple(late))
    count = counted(len(schedules), "schedule", "schedules")
    return _ok("schedules", f"{count}, none of them failing")


def of_idle_agents(
    agents: Sequence[AgentStatus], budgets: Sequence[Budget]
) -> CheckResult:
    """Report the agents that the service is going to forget: none with a budget."""
    kept = {budget.owner for budget in budgets}
    idle = [
        agent.name
        for agent in agents
        if is_forgotten(agent) and f"agent:{agent.name}" not in kept
    ]
    if not idle:
        return _ok("idle agents", "no agent is about to be forgotten")
    count = counted(len(idle), "agent without items", "agents without items")
    found = (
        f"{count} never called, or not for 30 days: the service forgets them"
    )
    return _ok("idle agents", found, tuple(idle))


def of_cycles(dependencies: Sequence[OpenDependency]) -> CheckResult:
    """Check that no items wait for each other."""
    cycles = list(_cycles(dependencies))
    if not cycles:
        return _ok("cycles", "no items wait for each other")
    found = _first([" -> ".join(cycle) for cycle in cycles])
    first = cycles[0][0]
    mend = (
        f"orchestrate cancel {first}, then create it again; so in each cycle"
    )
    items = tuple(dict.fromkeys(item for cycle in cycles for item in cycle))
    return _problem("cycles", found, mend, items)


def _cycles(dependencies: Sequence[OpenDependency]) -> Iterator[list[str]]:
    graph: dict[str, set[str]] = {}
    for edge in dependencies:
        graph.setdefault(edge.item, set()).add(edge.dependency)
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle: list[str] = error.args[1][::-1]
            yield cycle
            for item in cycle:
                graph.pop(item, None)
        else:
            return


def of_dead_dependencies(
    dependencies: Sequence[OpenDependency],
) -> CheckResult:
    """Check that every open dependency can still be completed."""
    dead = [
        edge
        for edge in dependencies
        if edge.state in (State.FAILED, State.CANCELLED)
    ]
    if not dead:
        return _ok(
            "dead dependencies", "no item waits for a failed or cancelled item"
        )
    found = _first(
        [
            f"{edge.item} waits for {edge.dependency} ({edge.state})"
            for edge in dead
        ]
    )
    first = dead[0]
    requeue = hints.with_reopen(
        f"orchestrate requeue {first.dependency}", reopens=first.reopens
    )
    mend = f"{requeue} or orchestrate cancel {first.item}"
    items = tuple(dict.fromkeys(edge.dependency for edge in dead))
    return _problem("dead dependencies", found, mend, items)


def of_closing(
    projects: Sequence[Project], *, is_continued: bool
) -> CheckResult:
    """Check that projects which are being closed go on by themselves.

    `projects` are the open ones; `is_continued` tells whether a service or a worker,
    which cancel the items that are left, was seen a short time ago.
    """
    closing = [each for each in projects if each.status == "closing"]
    if not closing:
        return _ok("closing", "no project is being closed")
    texts = [
        f"{each.id} ({counted(each.open, 'open item', 'open items')} left)"
        for each in closing
    ]
    found = f"being closed: {_first(texts)}"
    items = tuple(each.id for each in closing)
    if is_continued:
        found += "; the service or a worker cancels the items"
        return _note("closing", found, items=items)
    found += (
        "; neither a service nor a worker that cancels the items was seen for "
        f"{AT_WORK_MS // 60_000} min"
    )
    return _note("closing", found, "orchestrate reap", items)


def of_quarantine(moved: Sequence[Quarantined]) -> CheckResult:
    """Report the damaged records that were moved aside."""
    if not moved:
        return _ok("quarantine", "no damaged record was moved aside")
    texts = [f"{record.kind} {record.id} ({record.why})" for record in moved]
    found = f"damaged records were moved aside: {_first(texts)}"
    mend = "inspect them: orchestrate doctor --quarantined"
    return _note(
        "quarantine", found, mend, tuple(record.id for record in moved)
    )


def of_mirrors(mirrors: Sequence[MirrorStatus]) -> CheckResult:
    """Check the file mirrors of all roots."""
    failing = [
        str(mirror.status.get("path", mirror.root))
        for mirror in mirrors
        if mirror.status.get("troubles") or mirror.status.get("error")
    ]
    if failing:
        found = f"problems in {_first(failing)}"
        return _note("files", found, "orchestrate sync status")
    if not mirrors:
        return _ok("files", "no root has a file mirror")
    roots = counted(len(mirrors), "root", "roots")
    return _ok("files", f"mirrored in {roots}, without problems")


def of_untrusted_targets(refusal: str, mend: str) -> CheckResult:
    """Report targets of notifications that get nothing, because they are not trusted."""
    return _note("notifications", refusal, mend)


def of_notifications(
    names: Sequence[str], records: Sequence[TargetRecord]
) -> CheckResult:
    """Check the targets of notifications: whether their last attempt has succeeded."""
    failing = [
        f"{name}: {record.failure}"
        for name, record in zip(names, records, strict=True)
        if record.failed_at > record.sent_at
    ]
    if failing:
        found = f"the last message was not sent: {_first(failing)}"
        return _note("notifications", found, "orchestrate notify --test")
    if not names:
        return _ok("notifications", "no targets")
    targets = counted(len(names), "target", "targets")
    return _ok("notifications", f"{targets}, without a failure")


def of_root(root: str, *, exists: bool = True, writable: bool) -> CheckResult:
    """Check that commands can write below the root."""
    if writable:
        return _ok("root", f"{root} is writable")
    if not exists:
        found = f"{root} does not exist: workers cannot store their tokens"
        return _problem("root", found, f"mkdir {root}")
    found = f"{root} is not writable: workers cannot store their tokens"
    return _problem("root", found, f"chmod u+w {root}")


def of_service(pid: int, *, wanted: bool) -> CheckResult:
    """Check that the service of this root runs, if the settings ask for one."""
    if pid:
        return _ok("service", f"running, pid {pid}")
    if wanted:
        found = "not running beside the bundled server"
        return _note("service", found, "orchestrate server start")
    return _ok("service", "not needed for this root")


def _first(texts: Sequence[str]) -> str:
    """Return the first texts as a list, and the number of the others."""
    more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def _ok(name: str, found: str, items: tuple[str, ...] = ()) -> CheckResult:
    return CheckResult(
        name=name, status=CheckStatus.OK, found=found, items=items
    )


def _note(
    name: str, found: str, mend: str = "", items: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        name=name,
        status=CheckStatus.NOTE,
        found=found,
        mend=mend,
        items=items,
    )


def _problem(
    name: str, found: str, mend: str, items: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        name=name,
        status=CheckStatus.PROBLEM,
        found=found,
        mend=mend,
        items=items,
    )
