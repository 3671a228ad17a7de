"""The notifications of a namespace, which its services send to targets.

Redis keeps what each target got, so any number of services sends a message once.
"""

import json
from collections.abc import Collection, Sequence
from typing import cast

from taskorch.domain import limits
from taskorch.domain.backoff import Notify
from taskorch.domain.notification import (
    AttemptResult,
    Notification,
    NotificationBatch,
    NotificationKind,
    Observation,
    TargetRecord,
)
from taskorch.queue import fields as read
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: How long an attempt may take. A service that has not reported its result by then has
#: ended, and the message may have arrived: it is not sent again.
ATTEMPT_MS = 60_000

NOTHING = NotificationBatch(id="", attempt=0, notifications=(), more=False)


class Notifications:
    """The notifications of a namespace."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def of_target(self, target: str, service: str) -> "TargetNotifications":
        """Return those for a target, to be sent by a service.

        `service` is a name that no other process has.
        """
        return TargetNotifications(self._scripts, target, service)

    def records(self, targets: Sequence[str]) -> tuple[TargetRecord, ...]:
        """Return what became of the messages to some targets."""
        rows = self._scripts.run_script("notified", *targets)
        return tuple(map(_record, cast("list[Reply]", rows)))


class TargetNotifications:
    """The notifications for one target, sent by one service."""

    def __init__(self, scripts: Scripts, target: str, service: str) -> None:
        self._scripts = scripts
        self._target, self._service = target, service

    def take(
        self,
        kinds: Collection[NotificationKind],
        observations: Sequence[Observation] = (),
    ) -> NotificationBatch:
        """Take the next notifications of some kinds, for one attempt to send them.

        A new target gets what happens from now on. Report the result by `settle`.
        """
        found = [
            [
                each.kind,
                each.item,
                each.project,
                each.agent,
                each.detail,
                each.subject,
            ]
            for each in observations
        ]
        reply = self._scripts.run_script(
            "notify_take",
            self._target,
            self._service,
            json.dumps(sorted(kinds)),
            json.dumps(found),
            ATTEMPT_MS,
        )
        if reply is None:
            return NOTHING
        batch, attempt, rows, more = cast(
            "tuple[str, int, list[Reply], str]", reply
        )
        return NotificationBatch(
            id=batch,
            attempt=int(attempt),
            notifications=tuple(map(_notification, rows)),
            more=bool(more),
        )

    def settle(
        self,
        batch: str,
        result: AttemptResult,
        *,
        patience_s: float = 0,
        notify: Notify = lambda _: None,
    ) -> None:
        """Report how the attempt of a batch ended.

        Nothing is recorded if this service has not taken it. It waits for the end of an
        outage of Redis for `patience_s`; `notify` receives each failure, and None after a
        success.
        """
        self._scripts.run_through_outages(
            "notify_settle",
            self._target,
            self._service,
            batch,
            result.outcome,
            limits.sized(result.reason, "reason"),
            result.pause_ms,
            seconds=patience_s,
            notify=notify,
        )


def _notification(row: Reply) -> Notification:
    kind, item, project, agent, detail, at = read.texts(row)
    return Notification(
        kind=NotificationKind(kind),
        item=item,
        project=project,
        agent=agent,
        detail=detail,
        at=int(at),
    )


def _record(row: Reply) -> TargetRecord:
    sent, sent_at, lost, failed_at, failure, waiting = cast(
        "tuple[int, str, int, str, str, str]", row
    )
    return TargetRecord(
        sent=sent,
        sent_at=int(sent_at or 0),
        lost=lost,
        failed_at=int(failed_at or 0),
        failure=failure,
        waiting=bool(waiting),
    )
