"""A claimed item of a Python program: its verbs, and the renewal of its lease."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial, wraps
from threading import RLock
from typing import Concatenate, ParamSpec, TypeVar

from taskorch.config import work_folder
from taskorch.domain import errors
from taskorch.domain.acceptance import CheckEvidence
from taskorch.domain.acceptance_rules import refuse_failed
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    Claim,
    Delivery,
    Item,
    Lease,
    Note,
    Package,
    Receipt,
    SettledReceipt,
)
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.queue import spans
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.claim_reports import REPORTS, last_question
from taskorch.queue.port import WaitBrokenOff
from taskorch.queue.renewal import LOST, Renewal

P = ParamSpec("P")
R = TypeVar("R")
IsStopped = Callable[[], bool]

#: Maximum number of characters of an error that becomes the reason of a failure.
REASON_CHARACTERS = 10_000
NOT_SETTLED = (
    "The program ended its work on the item without complete, fail or release."
)
CANCELLED = "The program was cancelled: {kind}."

_log = logging.getLogger(__name__)


def _verb(
    step: Callable[Concatenate[AgentQueue, Lease, P], R],
) -> Callable[Concatenate["Task", P], R]:
    """Return a verb of a holder under the lease of the task."""

    @wraps(step)
    def verb(task: "Task", /, *arguments: P.args, **options: P.kwargs) -> R:
        with task.held():
            result = step(task.queue, task.lease, *arguments, **options)
        if step.__name__ in REPORTS:
            task.has_asked = step is AgentQueue.blocker
        return result

    return verb


def never() -> bool:
    """Stop nothing."""
    return False


class Task:
    """A claimed item; its lease is renewed in the background until the work ends.

    The verbs are those of `AgentQueue`, without the lease, and with the same errors.
    After the lease is lost, each of them raises the error that says why:
    errors.LeaseLost (another session has the item), errors.Cancelled, errors.NotYours
    (assigned to another agent) or errors.NoItem (purged).
    """

    progress = _verb(AgentQueue.progress)
    discover = _verb(AgentQueue.discover)
    blocker = _verb(AgentQueue.blocker)
    withdraw = _verb(AgentQueue.withdraw)
    comment = _verb(AgentQueue.comment)
    wait_for_answer = _verb(AgentQueue.wait_for_answer)
    renew = _verb(AgentQueue.renew)

    def __init__(
        self, queue: AgentQueue, package: Package, lease: Lease
    ) -> None:
        """Begin to renew the lease, every third of its duration."""
        #: The queue of the agent, whose verbs take a lease.
        self.queue = queue
        #: The item with its project, dependencies, history and the findings of others,
        #: as they were when it was claimed.
        self.package = package
        self.lease = lease
        self._lost: errors.TaskOrchestratorError | None = None
        #: Whether the last report of the task is a question.
        self.has_asked = False
        #: How the task has settled its item, else None.
        self.end_of_attempt: AttemptEnd | None = None
        #: Held by each renewal and by each step that settles the item: a renewal right
        #: after the settlement would be refused, as if the lease were lost.
        self._turn = RLock()
        self._renewal = Renewal(
            self._renew,
            interval_s=_duration_ms(package.item, lease) / 3000,
            on_lost=self._lose,
            on_failure=partial(
                _log.warning, "%s: the lease could not be renewed: %s", self.id
            ),
        )

    @property
    def id(self) -> str:
        """The id of the item."""
        return self.lease.item

    @property
    def item(self) -> Item:
        """The item as it was when it was claimed."""
        return self.package.item

    @property
    def lost(self) -> errors.TaskOrchestratorError | None:
        """The error that says why the lease is lost, else None.

        The renewal notices it within a third of the lease: a long computation looks
        here from time to time.
        """
        return self._lost

    def complete(
        self,
        summary: str = "",
        *,
        deliverables: Mapping[str, object] | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Complete the item. A deliverable that is not a text becomes JSON text.

        The acceptance checks of the item run first, in the folder of the work. Raises
        errors.ChecksFailed if one does not pass: the task goes on. `used` is what was
        used since the report before.
        """
        delivery = Delivery(
            summary=summary, deliverables=deliverables or {}, used=used
        )
        return self.deliver(delivery)

    def deliver(
        self, delivery: Delivery, *, is_stopped: IsStopped = never
    ) -> SettledReceipt:
        """Complete the item as `complete` does.

        When `is_stopped` returns true, the running check is terminated. Raises
        WaitBrokenOff then: the task goes on.
        """
        step = partial(self.queue.deliver, self.lease)
        return self._completed(step, delivery, is_stopped)

    def complete_and_claim(
        self,
        delivery: Delivery,
        *,
        count: int,
        lease_ms: int | None = None,
        is_stopped: IsStopped = never,
    ) -> tuple[Claim, ...]:
        """Complete the item, and claim up to `count` of the next ones in the same step.

        Raises errors.WrongState for a blocked item, errors.ChecksFailed, and
        WaitBrokenOff as `deliver` does.
        """
        step = partial(
            self.queue.complete_and_claim,
            self.lease,
            count=count,
            lease_ms=lease_ms,
            asks=True,
        )
        _, claims = self._completed(step, delivery, is_stopped)
        return claims

    def fail(
        self, reason: str, *, retry: bool = True, used: ModelUsage = NONE
    ) -> SettledReceipt:
        """Give up the attempt; without `retry`, the item becomes a dead letter."""
        with self._settling(AttemptEnd.FAILED):
            return self.queue.fail(self.lease, reason, retry=retry, used=used)

    def release(self, *, reason: str = "") -> Receipt:
        """Return the item to its place in the queue, without using up an attempt.

        An item with an open question stays blocked: its answer queues it again.
        """
        with self._settling(AttemptEnd.RELEASED):
            return self.queue.release(self.lease, reason=reason, asks=True)

    def question(self) -> str:
        """Return the question that the item is left to when its holder ends, or ""."""
        with self.held():
            package = self.queue.get(self.lease, peek=True).package
        return last_question(package, self.lease)

    def note(self, text: str) -> None:
        """Add a private note of the agent to the item."""
        self.queue.note(self.id, text)

    def notes(self) -> tuple[Note, ...]:
        """Return the agent's notes on the item, oldest first."""
        return self.queue.notes(self.id)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raise the error of a lost lease, before the block and from now on."""
        if self._lost:
            raise self._lost
        try:
            yield
        except LOST as refusal:
            if not self.end_of_attempt:
                self._lose(refusal)
            raise

    def take_away(self, reason: str) -> None:
        """Release the item although its handler still runs, and tell the handler.

        Its next verb raises errors.LeaseLost.
        """
        with self._turn:
            if self.end_of_attempt or self._lost:
                return
            try:
                state = self.release(reason=reason).state
            except (errors.TaskOrchestratorError, WaitBrokenOff) as failure:
                _log.warning("%s could not be released: %s", self.id, failure)
                return
            token = self.lease.token
            self._lose(
                errors.LeaseLost(
                    item=self.id, token=token, newest=token, state=state
                )
            )

    def end(self, error: BaseException | None) -> None:
        """End the work: settle the item as `error` says, if that is still to be done.

        Without an error, an item with an open question is left to its answer; otherwise
        the attempt fails, because the program has not delivered. An `Exception` fails
        the attempt, and any other error, such as KeyboardInterrupt, releases the item.
        Raises the error of a lost lease, unless there is another one.
        """
        self._renewal.stop()
        if self.end_of_attempt:
            return
        if self._lost:
            if error is None:
                raise self._lost
            return
        if error is None:
            self._leave()
            return
        try:
            if isinstance(error, Exception):
                self.fail(reason_of(error))
            else:
                kind = type(error).__name__
                self.release(reason=CANCELLED.format(kind=kind))
        except (errors.TaskOrchestratorError, WaitBrokenOff) as failure:
            # the error of the program matters more
            _log.warning("%s could not be settled: %s", self.id, failure)

    def _leave(self) -> None:
        if question := self.question():
            self.release(reason=question)
        else:
            _log.warning("%s fails: %s", self.id, NOT_SETTLED)
            self.fail(NOT_SETTLED)

    def _completed(
        self,
        step: Callable[[Delivery], R],
        delivery: Delivery,
        is_stopped: IsStopped,
    ) -> R:
        """Complete the item by a step, with evidence if the queue asks for it.

        It refuses what needs no check, such as a missing deliverable, before that.
        """
        try:
            with self._settling(AttemptEnd.COMPLETED):
                return step(delivery)
        except errors.Unchecked:
            evidence = self._evidence(is_stopped)
        with self._settling(AttemptEnd.COMPLETED):
            return step(replace(delivery, evidence=evidence))

    def _evidence(self, is_stopped: IsStopped) -> tuple[CheckEvidence, ...]:
        """Run the item's acceptance checks, and return their results."""
        # few programs have checks, and the others begin sooner without it
        from taskorch.acceptance.runner import CheckRunner

        runner = CheckRunner(
            work_folder.find(os.environ),
            is_stopped=lambda: self._lost is not None or is_stopped(),
        )
        with self.held():
            results = runner.results(self.item.checks)
        if self._lost:
            raise self._lost
        if is_stopped():
            raise WaitBrokenOff
        refuse_failed(self.id, results)
        return results

    @contextmanager
    def _settling(self, end: AttemptEnd) -> Iterator[None]:
        """Make the block the last step of the task."""
        with self._turn, self.held():
            yield
            self.end_of_attempt = end
            self._renewal.stop()

    def _renew(self) -> None:
        with self._turn:
            if not self.end_of_attempt:
                # New comments are left to the next step, whose receipt has them.
                self.queue.renew(self.lease, leaves_news=True)

    def _lose(self, refusal: errors.TaskOrchestratorError) -> None:
        self._lost = refusal
        self._renewal.stop()


@contextmanager
def working(task: Task) -> Iterator[Task]:
    """Yield a task, and end it with the block, by `Task.end`."""
    with spans.working(task.queue.namespace, task.item):
        try:
            yield task
        except BaseException as error:
            task.end(error)
            raise
        task.end(None)


def reason_of(error: BaseException) -> str:
    """Return an error as the reason of a failure, such as "ValueError: no schema"."""
    kind, text = type(error).__name__, ""
    with suppress(Exception):  # an error whose text fails
        text = str(error).strip()
        if isinstance(error, errors.TaskOrchestratorError):
            text = "\n".join((text, *error.rows()))
    reason = f"{kind}: {text}" if text else kind
    printable = reason.encode(errors="backslashreplace").decode()
    return printable.replace("\0", "\\x00")[:REASON_CHARACTERS]


def _duration_ms(item: Item, lease: Lease) -> int:
    """Return the duration of the lease of a new claim."""
    assert item.holder  # noqa: S101  a claim has one
    return max(lease.expires_at - item.holder.since, 1)
