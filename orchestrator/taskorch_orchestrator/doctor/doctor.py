"""`orchestrate doctor`: check the server, the namespace and this machine."""

import os
from time import time

from taskorch.bundled import service_process
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.queue import Queue

from taskorch_orchestrator.doctor import checks
from taskorch_orchestrator.doctor.audit import MOST_AGENTS, audit
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus


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
    service = checks.of_service(
        service_process.pid(settings), wanted=service_process.wanted(settings)
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
    diagnosis = Diagnosis(
        checks=(
            *server,
            *checks.of_audit(audited),
            checks.of_agents(
                queue.views.agents(limit=MOST_AGENTS), environment.at
            ),
            checks.of_cycles(audited.open_dependencies),
            checks.of_dead_dependencies(audited.open_dependencies),
            checks.of_quarantine(queue.quarantined()),
            checks.of_mirrors(queue.views.mirrors()),
            root,
            service,
        ),
        fixed=len(audited.repaired),
    )
    queue.damage.clear()  # the checks have reported it
    return diagnosis
