"""The doctor: reads the server, the namespace and this machine, and says what is wrong with them."""

import os
from collections.abc import Iterator
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
    """What the doctor found, and how many things it repaired."""

    checks: tuple[CheckResult, ...]
    fixed: int = 0

    @property
    def exit_code(self) -> int:
        """Return 5 while there is a problem; notes are none."""
        problem = any(check.status is CheckStatus.PROBLEM for check in self.checks)
        return errors.Invalid.exit_code if problem else 0


def examine(queue: Queue, settings: Settings, *, fix: bool) -> Diagnosis:
    """Check everything; with `fix` repair what is wrong in the namespace. Raises errors.Unavailable."""
    here = tuple(_this_machine(settings))
    before = time()
    try:
        environment = queue.views.environment()
    except errors.BadSchema as error:
        return Diagnosis(checks=(checks.of_schema(str(error), error.advice()), *here))
    after = time()
    audited = audit(queue, fix=fix)
    found = Diagnosis(
        checks=(
            *checks.of_environment(
                environment,
                before * 1000,
                after * 1000,
                waited_for=settings.wait_replicas,
            ),
            *checks.of_audit(audited),
            checks.of_agents(queue.views.agents(limit=MOST_AGENTS), environment.at),
            checks.of_cycles(audited.waiting),
            checks.of_dead_dependencies(audited.waiting),
            checks.of_quarantine(queue.quarantined()),
            checks.of_mirrors(queue.views.mirrors()),
            *here,
        ),
        fixed=len(audited.repaired),
    )
    queue.damage.clear()  # the checks have told it
    return found


def _this_machine(settings: Settings) -> Iterator[CheckResult]:
    there = settings.folder if settings.folder.exists() else settings.root
    yield checks.of_root(
        str(there), there=there.exists(), writable=os.access(there, os.W_OK | os.X_OK)
    )
    yield checks.of_service(
        service_process.pid(settings), wanted=service_process.wanted(settings)
    )
