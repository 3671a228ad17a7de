"""The delivery of an item with acceptance checks: they run while the item is held."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from taskorch.acceptance.check_process import GRACE_S
from taskorch.acceptance.runner import CheckRunner
from taskorch.config import files, work_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.acceptance import Check, CheckEvidence
from taskorch.domain.acceptance_rules import existing_check, refuse_failed
from taskorch.domain.frozen import members
from taskorch.domain.item import Lease, Receipt, SettledReceipt
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.renewal import Renewal

from taskorch_worker.run.reaper import reaping

#: The file for the summary and the deliverables of a command of `worker run`.
RESULT_FILE = "TASKORCH_RESULT_FILE"
#: The remark of a receipt for an item that the run of the command completes.
DELIVERED = "delivered"
#: The interval of the renewals: less than a third of any lease that people choose.
RENEWAL_S = 5.0


def checks_in(refusal: errors.TaskOrchestratorError) -> Sequence[Check]:
    """Return the checks that a refused completion names."""
    listed = json.loads(str(refusal.details["checks"]))
    return [existing_check(each) for each in listed]


def evidence(
    queue: AgentQueue,
    lease: Lease,
    checks: Sequence[Check],
    folder: str,
    notify: Callable[[str], object],
) -> tuple[CheckEvidence, ...]:
    """Run the checks of an item in a folder, and return their results.

    The lease is renewed in the meantime. Raises errors.ChecksFailed if one does not
    pass, and the error of a lost lease.
    """
    notify(f"Running the acceptance checks of {lease.item} in {folder}")
    with reaping(GRACE_S) as reaper:
        runner = CheckRunner(folder, watching=reaper.watching)
        results = _while_renewing(queue, lease, runner, checks)
    refuse_failed(lease.item, results)
    return results


def _while_renewing(
    queue: AgentQueue,
    lease: Lease,
    runner: CheckRunner,
    checks: Sequence[Check],
) -> tuple[CheckEvidence, ...]:
    """Run checks while a thread renews the lease. Raises the error of a lost lease."""
    lost: list[errors.TaskOrchestratorError] = []

    def lose(refusal: errors.TaskOrchestratorError) -> None:
        lost.append(refusal)
        runner.stop()

    renewal = Renewal(
        partial(queue.renew, lease, leaves_news=True),
        interval_s=RENEWAL_S,
        on_lost=lose,
        on_failure=lambda _: None,
    )
    try:
        results = runner.results(checks)
    finally:
        renewal.stop()
    if lost:
        raise lost[0]
    return results


def folder_of(settings: Settings) -> str:
    """Return the folder in which the checks of an agent run."""
    return work_folder.find(os.environ, settings.root_path)


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
