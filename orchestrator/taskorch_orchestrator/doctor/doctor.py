"""`orchestrate doctor`: check the server, the namespace and this machine."""

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from time import time
from typing import cast

from taskorch.bundled import service_process
from taskorch.config.notify_target import hosts
from taskorch.config.settings import Settings, notify_targets
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.queue import keys, libraries, scripts
from taskorch.queue.queue import Queue
from taskorch.transport import address
from taskorch.transport.address import ServerAddress

from taskorch_orchestrator.doctor import checks
from taskorch_orchestrator.doctor.audit import MOST_AGENTS, audit
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus

#: The service may take this long to archive an old project.
SLACK_MS = 24 * 3_600_000
#: The newest open projects, among which those that are being closed are looked for.
MOST_PROJECTS = 1000


class Diagnosis(Frozen):
    """The results of all checks, and the number of repairs."""

    checks: tuple[CheckResult, ...]
    fixed: int = 0

    @property
    def exit_code(self) -> int:
        """Return 5 if there is a problem, else 0. Notes are not problems."""
        problem = any(
            check.status is CheckStatus.PROBLEM for check in self.checks
        )
        return errors.Invalid.exit_code if problem else 0


def examine(queue: Queue, settings: Settings, *, fix: bool) -> Diagnosis:
    """Run all checks; with `fix`, repair the namespace. Raises errors.Unavailable."""
    folder = settings.folder if settings.folder.exists() else settings.root
    writable = os.access(folder, os.W_OK | os.X_OK)
    root = checks.of_root(
        str(folder), exists=folder.exists(), writable=writable
    )
    service_pid = service_process.pid(settings)
    service = checks.of_service(
        service_pid, wanted=service_process.wanted(settings)
    )
    before_ms = time() * 1000
    try:
        environment = queue.views.environment()
    except errors.BadSchema as error:
        schema = checks.of_schema(str(error), error.hint())
        return Diagnosis(checks=(schema, root, service))
    server = checks.of_server(
        environment,
        before_ms,
        time() * 1000,
        required_replicas=settings.wait_replicas,
    )
    audited = audit(queue, fix=fix)
    agents = queue.views.agents(limit=MOST_AGENTS)
    mirrors = queue.views.mirrors()
    seen = (
        *(agent.last_seen_at for agent in agents),
        *(mirror.service_at for mirror in mirrors),
    )
    oldest = environment.at - checks.AT_WORK_MS
    is_at_work = bool(service_pid) or max(seen, default=0) > oldest
    found = (
        *server,
        _functions(queue, environment.at),
        _users(queue),
        checks.of_address(address.redacted(settings.redis_url)),
        *checks.of_audit(audited),
        checks.of_agents(agents, environment.at),
        checks.of_idle_agents(agents, queue.views.budgets()),
        checks.of_closing(
            queue.views.open_projects(limit=MOST_PROJECTS),
            is_continued=is_at_work,
        ),
        checks.of_cycles(audited.open_dependencies),
        checks.of_dead_dependencies(audited.open_dependencies),
        checks.of_quarantine(queue.quarantined()),
        checks.of_mirrors(mirrors),
        _notifications(queue, settings),
        _schedules(queue, environment.at),
        checks.of_archive(
            settings.retention_ms,
            _number_due(queue, settings.retention_ms),
            _archived(settings.folder / "archive"),
        ),
        root,
        service,
    )
    queue.damage.clear()  # the checks have reported it
    socket = _socket(settings)
    return Diagnosis(
        checks=tuple(_at_socket(check, socket) for check in found),
        fixed=len(audited.repaired),
    )


def _notifications(queue: Queue, settings: Settings) -> checks.CheckResult:
    """Check the targets of notifications in the config file."""
    try:
        targets = notify_targets(settings, os.environ)
    except errors.UntrustedConfig as error:
        return checks.of_untrusted_targets(str(error), error.hint())
    records = queue.notifications().records([each.id for each in targets])
    return checks.of_notifications(hosts(targets), records)


def _socket(settings: Settings) -> str:
    """Return the path of the socket of Redis, "" for a Redis with a host."""
    if not settings.redis_url:
        return address.socket_path(settings.folder_path)
    if not settings.redis_url.startswith("unix:"):
        return ""
    place = address.parse(settings.redis_url)
    return place.path if isinstance(place, ServerAddress) else ""


def _at_socket(check: CheckResult, socket: str) -> CheckResult:
    """Return a check whose redis-cli calls the server at a socket, if there is one."""
    if not socket:
        return check
    command = f"redis-cli -s {quote(socket)}"
    return replace(check, mend=check.mend.replace("redis-cli", command))


def _number_due(queue: Queue, retention_ms: int) -> int:
    """Return the number of projects that should have been archived a day ago."""
    if not retention_ms:
        return 0
    age_ms = min(retention_ms + SLACK_MS, limits.LONGEST_MS)
    return len(queue.views.finished(older_than_ms=age_ms))


def _archived(folder: Path) -> Sequence[int]:
    """Return the sizes in bytes of the archived projects in a root."""
    return [file.stat().st_size for file in folder.glob("*.jsonl.gz")]


def _schedules(queue: Queue, now_ms: int) -> CheckResult:
    listed = queue.schedules().list()
    damaged = [id_ for kind, id_ in queue.damage if kind == "schedule"]
    return checks.of_schedules(listed, damaged, now_ms)


def _functions(queue: Queue, now_ms: int) -> CheckResult:
    try:
        installed = libraries.installed(queue.connection, queue.namespace)
    except errors.Refused as error:
        return checks.of_unread_functions(str(error.details["reason"]))
    except errors.Unavailable:
        raise
    except errors.TaskOrchestratorError as error:  # a server without functions
        return checks.of_unread_functions(str(error))
    return checks.of_functions(installed, scripts.library_text(), now_ms)


def _users(queue: Queue) -> CheckResult:
    key = keys.meta(queue.namespace)
    try:
        rows = queue.connection.run_command(key, "ACL", "LIST")
    except errors.Unavailable as error:
        if error.retryable:
            raise
        return checks.of_unread_users(str(error.details["reason"]))
    return checks.of_users(cast("list[str]", rows), queue.namespace)
