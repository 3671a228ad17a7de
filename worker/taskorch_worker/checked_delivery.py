"""The delivery of an item with acceptance checks: they run while the item is held."""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from taskorch.acceptance.check_process import GRACE_S
from taskorch.acceptance.runner import CheckRunner
from taskorch.config import files, work_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.acceptance import Check, CheckEvidence
from taskorch.domain.acceptance_rules import existing_check, refuse_failed
from taskorch.domain.frozen import Frozen, members
from taskorch.domain.item import Lease, Receipt, SettledReceipt
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.renewal import Renewal

from taskorch_worker.run.reaper import reaping

#: The file for the summary and the deliverables of a command of `worker run`.
RESULT_FILE = "TASKORCH_RESULT_FILE"
#: The remark of a receipt for an item that the run of the command completes.
DELIVERED = "delivered"
#: The times between two renewals: a third of the lease, within these bounds.
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.1, 5.0


class RequiredChecks(Frozen):
    """The checks of an item whose completion was refused, and when its lease is due."""

    lease: Lease
    checks: tuple[Check, ...]
    #: The folder in which they run.
    folder: str
    #: The time to the first renewal of the lease, and that between two of them.
    first_s: float
    interval_s: float


def required_by(
    refusal: errors.TaskOrchestratorError, lease: Lease, settings: Settings
) -> RequiredChecks:
    """Return the checks that a refused completion names."""
    listed = json.loads(str(refusal.details["checks"]))
    first_s, interval_s = (
        min(LONGEST_INTERVAL_S, float(str(refusal.details[ms])) / 3000)
        for ms in ("left_ms", "lease_ms")
    )
    return RequiredChecks(
        lease=lease,
        checks=tuple(existing_check(each) for each in listed),
        folder=work_folder.find(os.environ, settings.root_path),
        first_s=first_s,
        interval_s=max(SHORTEST_INTERVAL_S, interval_s),
    )


def evidence(
    queue: AgentQueue,
    required: RequiredChecks,
    notify: Callable[[str], object],
) -> tuple[CheckEvidence, ...]:
    """Run the checks of an item, and return their results.

    The lease is renewed in the meantime. Raises errors.ChecksFailed if one does not
    pass, and the error of a lost lease.
    """
    item, folder = required.lease.item, required.folder
    notify(f"Running the acceptance checks of {item} in {folder}")
    with reaping(GRACE_S) as reaper:
        runner = CheckRunner(folder, watching=reaper.watching)
        with _renewing(queue, required, runner):
            results = runner.results(required.checks)
    refuse_failed(item, results)
    return results


@contextmanager
def _renewing(
    queue: AgentQueue, required: RequiredChecks, runner: CheckRunner
) -> Iterator[None]:
    """Renew the lease in a thread. Raises the error of a lost lease at the end."""
    lost: list[errors.TaskOrchestratorError] = []

    def lose(refusal: errors.TaskOrchestratorError) -> None:
        lost.append(refusal)
        runner.stop()

    renewal = Renewal(
        partial(queue.renew, required.lease, leaves_news=True),
        interval_s=required.interval_s,
        first_s=required.first_s,
        on_lost=lose,
        on_failure=lambda _: None,
    )
    try:
        yield
    finally:
        renewal.stop()
    if lost:
        raise lost[0]


def deliver_to_run(
    refusal: errors.RunCompletes,
    receipt: Receipt,
    summary: str,
    deliverables: Mapping[str, str],
) -> SettledReceipt:
    """Write a delivery to the result file, for the run that completes the item.

    Raises the refusal if there is no such file.
    """
    file = os.environ.get(RESULT_FILE)
    if not file:
        raise refusal
    content = {"summary": summary, "deliverables": dict(deliverables)}
    try:
        files.write_atomically(file, json.dumps(content).encode())
    except OSError:
        raise refusal from None
    values: dict[str, Any] = dict(members(receipt))
    return SettledReceipt(**{**values, "remark": DELIVERED})
