"""What `orchestrate doctor` checks: each is a function of what was read, and says what mends what it found."""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter

from taskorch.cli.text import timestamp
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State
from taskorch.domain.mirror_record import MirrorStatus
from taskorch.queue.agents import AgentStatus
from taskorch.queue.audit import Environment, Finding, OpenDependency, Quarantined
from taskorch.transport.redis_errors import OLDEST

from taskorch_orchestrator.doctor.audit import Audit

#: An agent that has work and was not seen for longer is told.
STALE_MS = 24 * 3_600_000
#: Clocks that differ by less are no matter: times are shown to the second.
SKEW_MS = 2000
FULL = 0.9
OLDEST_VALKEY = (8, 0)
SHOWN = 5
FIX = "orchestrate doctor --fix"
#: A setting lasts as long as the server, unless its file has it: appendonly that is only set is off after a restart,
#: and the server then reads its last snapshot.
SET = "redis-cli config set {}, then redis-cli config rewrite"
#: What an audit compares, as a check of a name: the words of its findings, and what it says when there are none.
AUDITED = {
    "damage": (("damaged",), "every project, item and agent can be read"),
    "indexes": (("index",), "every item is in the index of its state, and in no other"),
    "dependencies": (
        ("dependency", "state"),
        "items that no agent holds wait if a dependency is open, and only then",
    ),
    "listings": (
        ("listed", "agent", "lost"),
        "every item is listed in its project, every agent among the agents",
    ),
    "counts": (("count",), "projects and agents count what is there"),
}


class CheckStatus(StrEnum):
    """How a check went; only a problem makes the doctor's exit code 5."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


class CheckResult(Frozen):
    """What one check found."""

    name: str
    status: CheckStatus
    found: str
    #: The command that mends it, or "".
    mend: str = ""
    #: The ids that it is about: items, projects, agents.
    items: tuple[str, ...] = ()


def of_environment(
    told: Environment, before_ms: float, after_ms: float, *, waited_for: int = 0
) -> Iterator[CheckResult]:
    """Check the server; it was asked between these two times of this machine. So many replicas are waited for."""
    yield _ok(
        "schema",
        f"version {told.schema}" if told.schema else "nothing is in this namespace yet",
    )
    yield _clock(told.at, before_ms, after_ms)
    if told.refused:
        mend = "redis-cli acl setuser NAME +info"
        yield _note(
            "server",
            f"this user may not ask it for INFO, so it was not checked: {told.refused}",
            mend,
        )
        return
    info = told.info
    yield _version(info)
    yield _role(info)
    yield _persistence(info)
    yield _eviction(info)
    yield _memory(info)
    yield _replicas(info, waited_for)


def of_audit(audited: Audit) -> Iterator[CheckResult]:
    """Check what the walk through the namespace has found and repaired."""
    for name, (words, fine) in AUDITED.items():
        left = [finding for finding in audited.left if finding.word in words]
        repaired = [finding for finding in audited.repaired if finding.word in words]
        if left:
            yield _problem(name, _listed(left), FIX, _ids(left))
        elif repaired:
            yield CheckResult(
                name=name,
                status=CheckStatus.OK,
                found=f"repaired: {_listed(repaired)}",
                items=_ids(repaired),
            )
        elif name == "counts" and not audited.counted:
            yield _note(name, "could not be compared while the namespace is busy")
        else:
            yield _ok(
                name, f"{fine} ({audited.items} items)" if name == "indexes" else fine
            )


def of_agents(agents: Sequence[AgentStatus], now: int) -> CheckResult:
    """Check whether somebody comes for what is assigned."""
    busy = [
        agent
        for agent in agents
        if any(
            agent.counts[s] for s in (State.QUEUED, State.IN_PROGRESS, State.BLOCKED)
        )
    ]
    stale = [agent for agent in busy if 0 < agent.last_seen_at < now - STALE_MS]
    never = [agent for agent in busy if not agent.last_seen_at]
    told = [_agent(agent) for agent in stale or never]
    if stale:
        mend = f"orchestrate list --agent {stale[0].name}, then orchestrate assign ITEM AGENT"
        return _problem(
            "agents",
            f"not seen for a day, and have work: {_cut(told)}",
            mend,
            _names(stale),
        )
    if never:
        mend = f"orchestrate list --agent {never[0].name}"
        return _note(
            "agents", f"never seen, and have work: {_cut(told)}", mend, _names(never)
        )
    return _ok(
        "agents",
        "those that have work were seen within a day" if busy else "none has work",
    )


def of_cycles(waiting: Sequence[OpenDependency]) -> CheckResult:
    """Check that no items wait for each other."""
    cycles = list(_cycles(waiting))
    if not cycles:
        return _ok("cycles", "no items wait for each other")
    members = tuple(dict.fromkeys(item for cycle in cycles for item in cycle))
    mend = f"orchestrate cancel {cycles[0][0]}, and create it anew; so with each of the others"
    return _problem(
        "cycles", _cut([" -> ".join(cycle) for cycle in cycles]), mend, members
    )


def of_dead_dependencies(waiting: Sequence[OpenDependency]) -> CheckResult:
    """Check that what is waited for can still be completed."""
    dead = [edge for edge in waiting if edge.state in (State.FAILED, State.CANCELLED)]
    if not dead:
        return _ok(
            "dead dependencies", "no item waits for one that is failed or cancelled"
        )
    told = [f"{edge.item} waits for {edge.dependency} ({edge.state})" for edge in dead]
    mend = (
        f"orchestrate requeue {dead[0].dependency} or orchestrate cancel {dead[0].item}"
    )
    return _problem(
        "dead dependencies",
        _cut(told),
        mend,
        tuple(dict.fromkeys(edge.dependency for edge in dead)),
    )


def of_quarantine(moved: Sequence[Quarantined]) -> CheckResult:
    """Say what was moved aside because it was damaged."""
    if not moved:
        return _ok("quarantine", "nothing was moved aside")
    told = [f"{each.kind} {each.id} ({each.why})" for each in moved]
    ids = tuple(each.id for each in moved)
    return _note(
        "quarantine",
        f"moved aside: {_cut(told)}",
        "look at it: orchestrate doctor --quarantined",
        ids,
    )


def of_mirrors(mirrors: Sequence[MirrorStatus]) -> CheckResult:
    """Check how the files of the roots are kept."""
    troubled = [
        str(kept.status.get("path", kept.root)) for kept in mirrors if _in_trouble(kept)
    ]
    if troubled:
        return _note(
            "files", f"in trouble: {_cut(troubled)}", "orchestrate sync status"
        )
    return _ok(
        "files",
        f"kept in {len(mirrors)} roots, without trouble"
        if mirrors
        else "no root's files are kept",
    )


def of_schema(reason: str, advice: str) -> CheckResult:
    """Say that the namespace is of another version, which ends all other checks."""
    return _problem("schema", reason, advice)


def of_root(root: str, *, there: bool = True, writable: bool) -> CheckResult:
    """Check that commands can write below the root."""
    if writable:
        return _ok("root", f"{root} is writable")
    if not there:
        return _problem(
            "root",
            f"{root} does not exist: workers cannot keep their tokens",
            f"mkdir {root}",
        )
    return _problem(
        "root",
        f"{root} is not writable: workers cannot keep their tokens",
        f"chmod u+w {root}",
    )


def of_service(pid: int, *, wanted: bool) -> CheckResult:
    """Check that the service of this root runs, if one belongs there."""
    if wanted and not pid:
        return _note(
            "service", "none runs beside the bundled server", "orchestrate server start"
        )
    return _ok("service", f"runs, pid {pid}" if pid else "none is wanted here")


def _version(info: Mapping[str, str]) -> CheckResult:
    valkey = info.get("valkey_version")
    shown, oldest = (
        valkey or info.get("redis_version", "0"),
        OLDEST_VALKEY if valkey else OLDEST,
    )
    name = f"{'Valkey' if valkey else 'Redis'} {shown}"
    if tuple(int(part) for part in shown.split(".")[:2]) < oldest:
        return _problem(
            "version",
            f"{name} is too old",
            "upgrade it to Redis 7.0 or Valkey 8.0, or newer",
        )
    return _ok("version", name)


def _role(info: Mapping[str, str]) -> CheckResult:
    if info.get("role") == "master":
        return _ok("role", "a primary")
    primary = (
        f"redis://{info.get('master_host', 'HOST')}:{info.get('master_port', 'PORT')}"
    )
    return _problem(
        "role",
        "a replica: it takes no changes",
        f"orchestrate --redis-url {primary} doctor",
    )


def _persistence(info: Mapping[str, str]) -> CheckResult:
    failing = {
        "aof_last_write_status": "append",
        "aof_last_bgrewrite_status": "rewrite of the append-only file",
    }
    failing |= {"rdb_last_bgsave_status": "snapshot"}
    for field, what in failing.items():
        if info.get(field, "ok") != "ok":
            return _problem(
                "persistence",
                f"the last {what} failed: {info[field]}",
                "df -h, then redis-cli bgrewriteaof",
            )
    if info.get("aof_enabled") == "1":
        return _ok("persistence", "appends changes to a file; appendfsync decides when")
    found = (
        "append-only is off: a restart loses all that changed since the last snapshot"
    )
    return _problem("persistence", found, SET.format("appendonly yes"))


def _eviction(info: Mapping[str, str]) -> CheckResult:
    policy, most = info.get("maxmemory_policy", ""), int(info.get("maxmemory", "0"))
    if most and policy != "noeviction":
        mend = SET.format("maxmemory-policy noeviction")
        return _problem(
            "eviction", f"{policy}: a full server throws leases and items away", mend
        )
    return _ok(
        "eviction",
        "noeviction"
        if policy == "noeviction"
        else f"{policy}, but no maxmemory is set",
    )


def _memory(info: Mapping[str, str]) -> CheckResult:
    used, most = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    if not most:
        return _ok("memory", f"{_mb(used)} used, no maxmemory")
    if used > FULL * most:
        mend = SET.format(f"maxmemory {2 * max(used, most)}")
        return _problem(
            "memory",
            f"{_mb(used)} used of {_mb(most)}: when it is full, all changes are refused",
            mend,
        )
    return _ok("memory", f"{_mb(used)} used of {_mb(most)}")


def _replicas(info: Mapping[str, str], waited_for: int) -> CheckResult:
    connected, good = (
        info.get("connected_slaves", "0"),
        info.get("min_slaves_good_slaves"),
    )
    if int(connected) < waited_for:
        found = f"{connected} connected, and {waited_for} are waited for: each step is done, and ends with exit 4"
        return _problem(
            "replicas",
            found,
            f"start replicas, or: export TASKORCH_WAIT_REPLICAS={connected}",
        )
    if connected == "0":
        return _note(
            "replicas", "none: when the machine of the server is lost, so is the queue"
        )
    return _ok(
        "replicas",
        f"{connected} connected" + (f", {good} of them in time" if good else ""),
    )


def _clock(at: int, before_ms: float, after_ms: float) -> CheckResult:
    half = (after_ms - before_ms) / 2
    ahead = before_ms + half - at
    if abs(ahead) <= SKEW_MS + half:
        return _ok("clock", "this machine and Redis agree")
    told = f"this machine is {abs(ahead) / 1000:.1f} s {'ahead of' if ahead > 0 else 'behind'} Redis"
    found = f"{told}: leases go by the clock of Redis alone, but --not-before and the times you read are off by that"
    return _note("clock", found, "timedatectl set-ntp true")


def _cycles(waiting: Sequence[OpenDependency]) -> Iterator[list[str]]:
    graph: dict[str, set[str]] = {}
    for edge in waiting:
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


def _in_trouble(kept: MirrorStatus) -> bool:
    return bool(kept.status.get("troubles") or kept.status.get("error"))


def _agent(agent: AgentStatus) -> str:
    seen = f", seen {timestamp(agent.last_seen_at)}" if agent.last_seen_at else ""
    held = agent.counts[State.IN_PROGRESS] + agent.counts[State.BLOCKED]
    return f"{agent.name} ({agent.counts[State.QUEUED]} queued, {held} held{seen})"


def _listed(findings: Sequence[Finding]) -> str:
    return _cut([f"{finding.id} ({finding.detail})" for finding in findings])


def _cut(told: Sequence[str]) -> str:
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return ", ".join(told[:SHOWN]) + more


def _ids(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(finding.id for finding in findings))


def _names(agents: Sequence[AgentStatus]) -> tuple[str, ...]:
    return tuple(agent.name for agent in agents)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _ok(name: str, found: str) -> CheckResult:
    return CheckResult(name=name, status=CheckStatus.OK, found=found)


def _note(
    name: str, found: str, mend: str = "", items: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        name=name, status=CheckStatus.NOTE, found=found, mend=mend, items=items
    )


def _problem(
    name: str, found: str, mend: str, items: tuple[str, ...] = ()
) -> CheckResult:
    return CheckResult(
        name=name, status=CheckStatus.PROBLEM, found=found, mend=mend, items=items
    )
