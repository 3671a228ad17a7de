"""The targets of notifications: what became of their messages, and a test of each."""

import os
from collections.abc import Sequence

from taskorch.config.notify_target import NotifyTarget, hosts
from taskorch.domain.frozen import Frozen
from taskorch.domain.notification import AttemptOutcome, NotificationKind
from taskorch.queue.queue import Queue

from taskorch_orchestrator.notify.message import MessageContent
from taskorch_orchestrator.notify.notifier import send


class TargetStatus(Frozen):
    """A target, and what became of the messages to it."""

    #: Its host: the rest of its address may be a secret.
    target: str
    format: str
    events: tuple[NotificationKind, ...]
    signed: bool
    include_text: bool
    board_url: str
    sent: int
    #: ms since the epoch; 0 for never.
    sent_at: int
    #: Messages that were given up.
    lost: int
    #: ms since the epoch; 0 for never.
    failed_at: int
    failure: str
    #: Whether a message waits for its next attempt, or is being sent.
    waiting: bool


class TestedTarget(Frozen):
    """What became of a test message to a target."""

    target: str
    sent: bool
    #: Why it was not sent, or "".
    reason: str


def statuses(
    queue: Queue, targets: Sequence[NotifyTarget]
) -> tuple[TargetStatus, ...]:
    """Return the targets with their records in Redis."""
    if not targets:
        return ()
    records = queue.notifications().records([each.id for each in targets])
    return tuple(
        TargetStatus(
            target=name,
            format=target.format,
            events=target.events,
            signed=bool(target.secret_env or target.secret_file),
            include_text=target.include_text,
            board_url=target.board_url,
            sent=record.sent,
            sent_at=record.sent_at,
            lost=record.lost,
            failed_at=record.failed_at,
            failure=record.failure,
            waiting=record.waiting,
        )
        for name, target, record in zip(
            hosts(targets), targets, records, strict=True
        )
    )


def test(
    targets: Sequence[NotifyTarget], namespace: str
) -> tuple[TestedTarget, ...]:
    """Send a test message to each target, one attempt each."""
    return tuple(
        _tested(name, target, namespace)
        for name, target in zip(hosts(targets), targets, strict=True)
    )


def _tested(name: str, target: NotifyTarget, namespace: str) -> TestedTarget:
    content = MessageContent(
        id=os.urandom(8).hex(), namespace=namespace, notifications=()
    )
    attempt = send(target, content)
    return TestedTarget(
        target=name,
        sent=attempt.outcome is AttemptOutcome.SENT,
        reason=attempt.reason,
    )
