"""Sends the notifications of a namespace to one target.

Redis hands each batch to one service for one attempt, before that attempt begins:

    take --> post --> settle: sent | retry | failed
      '---- the service is killed here: the message may have arrived, nobody repeats it
"""

import logging
import os
from collections.abc import Iterator
from threading import Event
from time import monotonic, time

from taskorch.config.notify_target import NotifyTarget
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State
from taskorch.domain.notification import (
    AttemptOutcome,
    AttemptResult,
    Notification,
    NotificationBatch,
    NotificationKind,
    Observation,
)
from taskorch.queue.queue import Queue
from taskorch.transport.retry import OutageNotice

from taskorch_orchestrator.notify import message
from taskorch_orchestrator.notify.message import ItemText, MessageContent
from taskorch_orchestrator.notify.post import TIMEOUT_S, PostResult, post

#: Notifications that stand for the reasons of `stuck`, which therefore leaves them out.
OF_THEIR_OWN = ("blocked", "open_question", "failed", "review", "over_budget")
#: Stalled items that are looked for at a time, and the calls that it may take.
STALLED, STALLED_CALLS = 100, 40
#: Items of a batch whose texts are read.
TEXTS_READ = 20

log = logging.getLogger(__name__)


class Pace(Frozen):
    """How often a notifier looks and sends, in seconds."""

    #: Without a wake-up, the time between two looks.
    tick_s: float = 5.0
    #: The time between two messages: what happens in between is one message.
    between_s: float = 10.0
    #: The pauses after the first attempt, the second and so on; then it is given up.
    retries_s: tuple[float, ...] = (5.0, 30.0)
    #: The time between two looks for what no event tells.
    look_s: float = 60.0
    timeout_s: float = TIMEOUT_S
    #: How long a result may wait for an unreachable Redis: less than
    #: `notifications.ATTEMPT_MS` with the attempt before it.
    settle_s: float = 45.0


class Notifier:
    """The notifications of a namespace for one target, sent by one service."""

    def __init__(
        self,
        queue: Queue,
        target: NotifyTarget,
        service: str,
        pace: Pace | None = None,
    ) -> None:
        """Send as `service`, a name that no other process has."""
        self.target = target
        self._queue = Queue(queue.connection, queue.namespace, queue.caller)
        self._notifications = self._queue.notifications().of_target(
            target.id, service
        )
        self._pace = pace or Pace()
        self._woken = Event()
        #: When to look for what no event tells, on the monotonic clock.
        self._look_at = 0.0

    def wake(self) -> None:
        """Let `wait` end: there are new events."""
        self._woken.set()

    def wait(self) -> None:
        """Block until there are new events, or for a short time."""
        self._woken.wait(self._pace.tick_s)
        self._woken.clear()

    def make_pass(self) -> None:
        """Send what is to be sent now. Raises errors.Unavailable and others of Redis."""
        while True:
            batch = self._notifications.take(
                self.target.events, self._observations()
            )
            if batch.id:
                self._send(batch)
            if not batch.more:
                return

    def _send(self, batch: NotificationBatch) -> None:
        """Make the attempt of a batch, and tell how it ended."""
        attempt = self._attempt(batch)
        outcome, pause_s = attempt.outcome, self._pace.between_s
        if outcome is AttemptOutcome.RETRY:
            retries = self._pace.retries_s
            if batch.attempt <= len(retries):
                pause_s = retries[batch.attempt - 1]
            else:
                outcome = AttemptOutcome.FAILED
        self._log(batch, outcome, attempt.reason)
        result = AttemptResult(
            outcome=outcome,
            reason=attempt.reason,
            pause_ms=round(pause_s * 1000),
        )
        self._notifications.settle(
            batch.id,
            result,
            patience_s=self._pace.settle_s,
            notify=OutageNotice(log.warning),
        )

    def _attempt(self, batch: NotificationBatch) -> PostResult:
        content = MessageContent(
            id=batch.id,
            namespace=self._queue.namespace,
            notifications=batch.notifications,
            texts=self._texts(batch.notifications),
        )
        return send(self.target, content, timeout_s=self._pace.timeout_s)

    def _log(
        self, batch: NotificationBatch, outcome: AttemptOutcome, reason: str
    ) -> None:
        """Log a line: the host alone, because the rest of an address may be a secret."""
        count = len(batch.notifications)
        if outcome is AttemptOutcome.SENT:
            log.info("notify %s: sent %d", self.target.host, count)
        elif outcome is AttemptOutcome.RETRY:
            log.warning(
                "notify %s: attempt %d failed: %s",
                self.target.host,
                batch.attempt,
                reason,
            )
        else:
            log.warning(
                "notify %s: gave up a message about %d: %s",
                self.target.host,
                count,
                reason,
            )

    def _observations(self) -> list[Observation]:
        """Return what no event tells, if it is time to look."""
        if monotonic() < self._look_at:
            return []
        self._look_at = monotonic() + self._pace.look_s
        found: list[Observation] = []
        if NotificationKind.STUCK in self.target.events:
            found += self._stalled()
        if NotificationKind.BUDGET in self.target.events:
            found += self._budgets()
        return found

    def _stalled(self) -> Iterator[Observation]:
        """Yield the stalled items that no other kind covers."""
        stuck = self._queue.views.stuck(
            limit=STALLED, most_calls=STALLED_CALLS
        )
        for each in stuck.items:
            if each.why not in OF_THEIR_OWN:
                yield Observation(
                    kind=NotificationKind.STUCK,
                    item=each.item.id,
                    detail=each.why,
                    subject=f"{each.item.id}:{each.why}",
                )

    def _budgets(self) -> Iterator[Observation]:
        """Yield the budgets that are used up; one that was changed counts as another."""
        for each in self._queue.views.budgets():
            if each.used_up:
                kind, _, name = each.owner.partition(":")
                yield Observation(
                    kind=NotificationKind.BUDGET,
                    project=name if kind == "project" else "",
                    agent=name if kind == "agent" else "",
                    detail=f"{name or kind}, {each.period}",
                    subject=f"{each.owner}:{each.period}:{each.resets_at}:"
                    f"{each.limit_micros}:{each.limit_tokens}",
                )

    def _texts(
        self, notifications: tuple[Notification, ...]
    ) -> dict[str, ItemText]:
        """Return the texts of the first items, if the target wants them."""
        texts: dict[str, ItemText] = {}
        if not self.target.include_text:
            return texts
        for each in notifications[:TEXTS_READ]:
            if not each.item:
                continue
            try:
                package = self._queue.views.show(each.item)
            except (errors.NotFound, errors.Damaged):
                continue
            reason = ""
            for report in package.history:
                if report.kind in ("fail", "complete"):
                    reason = report.text
            item = package.item
            text = _open_question(item) or reason
            texts[item.id] = ItemText(title=item.title, text=text)
        return texts


def send(
    target: NotifyTarget,
    content: MessageContent,
    *,
    timeout_s: float = TIMEOUT_S,
) -> PostResult:
    """Send a content to a target, signed if it has a secret. It raises nothing."""
    try:
        secret = target.secret(os.environ)
    except errors.Usage as error:
        return PostResult(outcome=AttemptOutcome.RETRY, reason=str(error))
    at_s = int(time())
    made = message.message(target, content, secret=secret, at_s=at_s)
    return post(target, made, timeout_s=timeout_s)


def _open_question(item: Item) -> str:
    """Return the newest question of a blocked item, or ""."""
    if item.state is State.BLOCKED and item.questions:
        return item.questions[-1].text
    return ""
