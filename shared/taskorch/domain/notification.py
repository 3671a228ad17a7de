"""Notifications: what a person is to hear of, and what became of the messages."""

from enum import StrEnum

from taskorch.domain.frozen import Frozen


class NotificationKind(StrEnum):
    """What a notification is about."""

    BLOCKED = "blocked"
    REVIEW = "review"
    FAILED = "failed"
    STUCK = "stuck"
    BUDGET = "budget"
    PROJECT_COMPLETED = "project_completed"


class Observation(Frozen):
    """What a service has found by looking: no event tells it."""

    kind: NotificationKind
    item: str = ""
    project: str = ""
    agent: str = ""
    detail: str
    #: A target gets one notification about a subject.
    subject: str


class Notification(Frozen):
    """One thing that a person is to hear of: ids and names only."""

    kind: NotificationKind
    #: "" if it is about a project.
    item: str
    project: str
    agent: str
    #: Of a question its number; of a stalled item, or of a failure, the reason in a word.
    detail: str
    #: When it happened, in ms since the epoch.
    at: int


class NotificationBatch(Frozen):
    """The notifications of one message, handed out for one attempt to send it."""

    #: The same in every attempt; "" if there is nothing to send now.
    id: str
    #: The number of this attempt; the first is 1.
    attempt: int
    notifications: tuple[Notification, ...]
    #: Whether there is more to look at.
    more: bool


class AttemptOutcome(StrEnum):
    """How an attempt to send a message ended."""

    SENT = "sent"
    #: The target certainly does not have the message, and may take it later.
    RETRY = "retry"
    #: It was given up: the target refused it, or may have it without having said so.
    FAILED = "failed"


class AttemptResult(Frozen):
    """How an attempt ended, and when the next one may begin."""

    outcome: AttemptOutcome
    reason: str
    #: Until the next attempt of this message, or the next message.
    pause_ms: int


class TargetRecord(Frozen):
    """What became of the messages to a target."""

    sent: int
    #: ms since the epoch; 0 for never.
    sent_at: int
    #: Messages that were given up.
    lost: int
    #: ms since the epoch; 0 for never.
    failed_at: int
    #: Why the last attempt failed, or "".
    failure: str
    #: Whether a message waits for its next attempt, or is being sent.
    waiting: bool
