"""The service's duties as RQ jobs: each is enqueued once per interval, however many services want it done.

RQ reads `RQ_KEY_PREFIX` when it is imported, so whoever imports this module has set it (to `keys.of_rq`).
"""

from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType

import redis
from rq import Queue, SimpleWorker
from rq.exceptions import DuplicateJobError, StopRequested
from rq.job import Job

from taskorch_orchestrator.bell import Bell

#: Jobs are small, and made again by the next interval.
KEPT_S = 60
TIMEOUT_S = 60
#: A worker waits for a job for 15 s less, and notices after 5 s less that Redis has vanished without a word.
WORKER_TTL_S = 40

#: How the worker of this process does a duty; RQ calls a function by its name, with what stands in Redis.
_do: ContextVar[Callable[[str], None]] = ContextVar("do")


def do(duty: str) -> None:
    """Do a duty: the function that jobs name."""
    _do.get()(duty)


class Jobs:
    """The queue of jobs of the services that keep the same roots."""

    def __init__(self, queue: str, client: Callable[[], redis.Redis]) -> None:
        """`client` opens a connection: RQ wants one of its own."""
        self._name = queue
        self._client = client
        self._queue = Queue(queue, connection=client(), serializer="json")

    def enqueue(self, duty: str, interval_s: float) -> None:
        """Enqueue a duty, unless somebody did in this interval by the clock of Redis."""
        seconds, microseconds = self._queue.connection.time()
        bucket = int((seconds + microseconds / 1e6) / interval_s)
        with suppress(DuplicateJobError):
            self._queue.enqueue(
                f"{__name__}.do",
                duty,
                job_id=f"{duty}-{interval_s:g}-{bucket}".replace(".", "_"),
                unique=True,
                job_timeout=TIMEOUT_S,
                ttl=KEPT_S,
                result_ttl=KEPT_S,
                failure_ttl=KEPT_S,
            )

    def work(self, do_duty: Callable[[str], None], bell: Bell) -> None:
        """Do jobs until the bell stops, which a signal makes it do; returns early, too, when Redis goes away."""
        _do.set(do_duty)
        worker = _Worker([self._name], connection=self._client(), serializer="json", worker_ttl=WORKER_TTL_S)
        worker.bell = bell
        worker.work(logging_level="CRITICAL")  # the service says itself, and once, what goes wrong


class _Worker(SimpleWorker):
    """A worker that lives in this process: a signal ends its wait for a job, but no job that it is at."""

    #: It finds Redis again soon after that has come back.
    max_connection_wait_time = 1.0
    bell: Bell
    _waits = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.bell.stop()
        self._stop_requested = True
        if self._waits:
            raise StopRequested

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        self._waits = True
        try:
            if self.bell.stopped:  # by a signal that came before it waited
                raise StopRequested
            return super().dequeue_job_and_maintain_ttl(timeout, max_idle_time)
        finally:
            self._waits = False

    def subscribe(self) -> None:
        """Listen to no commands of others: that takes a thread, which outlives a lost connection."""
