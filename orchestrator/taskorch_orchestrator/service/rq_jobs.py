"""The service's duties as RQ jobs: each is enqueued once per interval, regardless of the number of services.

RQ imports and calls any function, callback or webhook that a job in Redis names, so that whoever can write RQ's keys
can run code in its worker. The worker of this module runs one function, with the name of a duty as its only argument.
It compares each job with the jobs that `enqueue` makes, and deletes every other job before RQ reads it.

RQ reads `RQ_KEY_PREFIX` when it is imported: set it (to `keys.of_rq`) before importing this module.
"""

import json
import logging
import zlib
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import timedelta
from time import sleep
from types import FrameType
from typing import Any, cast

import redis
from redis import exceptions
from redis.client import Pipeline
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, DuplicateJobError, StopRequested
from rq.job import Job
from rq.timeouts import JobTimeoutException
from rq.utils import now
from taskorch.cli.text import line

from taskorch_orchestrator.service.scheduler import Bell

#: A job must outlive its interval, because it is what keeps the duty from being enqueued again in it.
KEPT_S = 60
TIMEOUT_S = 60
#: RQ derives two timeouts from it: 15 s less for the wait for a job, 5 s less to notice a dead connection.
WORKER_TTL_S = 40
#: Each heartbeat of a worker is two writes to Redis, and the worker's key lives for 100 s.
HEARTBEAT_S = 30
RECONNECT_S = 1.0

FUNCTION = f"{__name__}.do"
#: The fields of a job that `enqueue` makes. Any other field (a callback, a webhook, a dependency …) must be empty.
FIELDS = frozenset(
    (
        b"created_at",
        b"data",
        b"description",
        b"enqueued_at",
        b"origin",
        b"status",
        b"timeout",
        b"ttl",
    )
)
#: The limit for the serialized call of a job, in bytes; a compressed one may expand to gigabytes.
LARGEST_CALL = 4096
#: The limit for a deleted job's id in the log.
SHOWN_CHARACTERS = 80

log = logging.getLogger(__name__)

#: Runs a duty in this process.
_do: ContextVar[Callable[[str], None]] = ContextVar("do")


def do(duty: str) -> None:
    """Run a duty: the one function that jobs may name."""
    _do.get()(duty)


class Jobs:
    """The RQ queue that all services of the same roots share."""

    def __init__(
        self, queue: str, client: Callable[[], redis.Redis], duties: Collection[str]
    ) -> None:
        """`client` opens a connection, because RQ needs one of its own; `duties` are the jobs that may run."""
        self._name = queue
        self._client = client
        self._duties = frozenset(duties)
        self._queue = Queue(queue, connection=client(), serializer="json")

    def enqueue(self, duty: str, interval_s: float) -> None:
        """Enqueue a duty, unless a service did so in this interval by the clock of Redis."""
        seconds, microseconds = self._queue.connection.time()
        bucket = int((seconds + microseconds / 1e6) / interval_s)
        with suppress(DuplicateJobError):
            self._queue.enqueue(
                FUNCTION,
                duty,
                job_id=f"{duty}-{interval_s:g}-{bucket}".replace(".", "_"),
                unique=True,
                job_timeout=TIMEOUT_S,
                ttl=KEPT_S,
            )

    def work(self, do_duty: Callable[[str], None], bell: Bell) -> None:
        """Run jobs until a signal stops the bell; return early if Redis becomes unreachable."""
        _do.set(do_duty)
        worker = _Worker(
            [self._name],
            connection=self._client(),
            serializer="json",
            worker_ttl=WORKER_TTL_S,
        )
        worker.bell = bell
        worker.duties = self._duties
        worker.work(
            logging_level="CRITICAL"
        )  # the service itself logs each failure, once


class _Worker(SimpleWorker):
    """A worker inside this process: a signal ends its wait for a job, but does not interrupt a running one.

    It replaces every part of RQ's worker that acts on what Redis says: fetching and running a job, cleaning up jobs
    that were abandoned (RQ calls their failure callbacks), remote commands, and suspension.
    """

    bell: Bell
    duties: Collection[str]
    _waits = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.bell.stop()
        self._stop_requested = True
        if self._waits:
            raise StopRequested

    def dequeue_job_and_maintain_ttl(
        self,
        timeout: int | None,
        max_idle_time: int | None = None,  # noqa: ARG002
    ) -> tuple[Job, Queue] | None:
        """Wait for a job that names one of our duties."""
        self._waits = True
        try:
            while (
                not self.bell.stopped
            ):  # a signal may have arrived before the wait began
                try:
                    self.heartbeat()
                    if job := self._next(timeout):
                        return job, self.queues[0]
                except DequeueTimeout:
                    continue
                except (exceptions.ConnectionError, exceptions.TimeoutError):
                    sleep(RECONNECT_S)
            raise StopRequested
        finally:
            self._waits = False

    def execute_job(self, job: Job, queue: Queue) -> None:  # noqa: ARG002
        """Run the duty of a job. The job itself stays until it expires: it stands for its interval."""
        try:
            with self.death_penalty_class(TIMEOUT_S, JobTimeoutException):
                do(*job.args)
        except Exception:
            log.exception("%s", job.description)
        else:
            self.increment_successful_job_count()

    def heartbeat(
        self, timeout: int | None = None, pipeline: Pipeline | None = None
    ) -> None:
        if self.last_heartbeat is None or now() - self.last_heartbeat > timedelta(
            seconds=HEARTBEAT_S
        ):
            super().heartbeat(timeout, pipeline)

    def run_maintenance_tasks(self) -> None:
        """Clean up nothing: our jobs expire by themselves, and RQ calls the callbacks of those that it cleans up."""

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001
        """Ignore the key that suspends all workers."""

    def subscribe(self) -> None:
        """Accept no remote commands: they need a thread, which outlives a lost connection."""

    def _next(self, timeout: int | None) -> Job | None:
        """Take the next job from the queue; None if it had to be deleted, or has expired."""
        popped = self.queue_class.lpop(
            self.queue_keys(), timeout, connection=self.connection
        )
        if popped is None:
            return None
        name = cast(bytes, popped[1])
        key = self.job_class.redis_job_namespace_prefix.encode() + name
        try:
            fields = cast("Mapping[bytes, bytes]", self.connection.hgetall(key))
        except exceptions.ResponseError:  # not a hash
            fields = {b"data": b""}
        if not fields:
            return None
        duty = _duty(fields)
        if duty not in self.duties:
            self.connection.delete(key)
            shown = line(name[:SHOWN_CHARACTERS].decode(errors="replace"))
            log.warning(
                "Deleted a job of RQ that this service did not create: %s", shown
            )
            return None
        return self.job_class.create(
            FUNCTION, [duty], connection=self.connection, serializer="json"
        )


def _duty(fields: Mapping[bytes, bytes]) -> str:
    """Return the duty that a job names; "" for a job that is not exactly as `Jobs.enqueue` makes it."""
    if any(value for name, value in fields.items() if name not in FIELDS):
        return ""
    try:
        call: Any = json.loads(
            zlib.decompressobj().decompress(fields.get(b"data", b""), LARGEST_CALL)
        )
        function, instance, [duty], options = call
    except (zlib.error, ValueError, TypeError, RecursionError):
        return ""
    is_ours = (function, instance, options) == (FUNCTION, None, {}) and isinstance(
        duty, str
    )
    return duty if is_ours else ""
