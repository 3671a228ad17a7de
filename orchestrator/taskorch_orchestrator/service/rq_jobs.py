"""The duties of the service as RQ jobs: one per interval, however many services run.

RQ imports and calls any function, callback or webhook that a job in Redis names. Any
client that can write RQ's keys can therefore run code in an ordinary RQ worker. The
worker of this module runs one function, with the name of a duty as its only argument.
It compares each job with the jobs that `JobQueue.enqueue` creates, and deletes every
other job before RQ reads it.

RQ reads `RQ_KEY_PREFIX` when it is imported: set it (to `keys.of_rq`) before importing
this module.
"""

import json
import logging
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from time import sleep
from types import FrameType
from typing import Any, cast

from redis import exceptions
from redis.client import Pipeline
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, DuplicateJobError, StopRequested
from rq.job import Job
from rq.timeouts import JobTimeoutException
from rq.utils import now
from taskorch.cli.text import line
from taskorch.transport import address
from taskorch.transport.failover import our_error, raw_client

from taskorch_orchestrator.service.scheduler import Scheduler

#: While the key of a job exists, its duty is not enqueued again in its interval. A longer
#: interval is that of a duty which several services may do.
KEPT_S = 60
TIMEOUT_S = 60
#: RQ waits 15 s less than this for a job, and for a reply from Redis 5 s less.
WORKER_TTL_S = 40
#: A heartbeat is two writes to Redis. The worker's key expires after 100 s.
HEARTBEAT_S = 30
RECONNECT_S = 1.0

FUNCTION = f"{__name__}.do"
#: The fields of a job from `enqueue`. Any other field (a callback, a webhook, a
#: dependency) must be empty.
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
#: The maximum size of a job's serialized call in bytes: it may expand to gigabytes.
LARGEST_CALL = 4096
#: The maximum length of a deleted job's id in the log.
SHOWN_CHARACTERS = 80

log = logging.getLogger(__name__)

#: Runs a duty in this process.
_do: ContextVar[Callable[[str], None]] = ContextVar("do")


def do(duty: str) -> None:
    """Run a duty. Jobs may name this function and no other."""
    _do.get()(duty)


class JobQueue:
    """The RQ queue that all services of the same roots share."""

    def __init__(
        self,
        name: str,
        duties: Collection[str],
        *,
        url: str,
        password: str = "",
    ) -> None:
        """Open the queue `name` in the Redis at `url`.

        `duties` are the only ones that its jobs may run. Raises errors.Usage for a
        malformed address, or that of a cluster.
        """
        self._name = name
        self._duties = frozenset(duties)
        self._url = url
        self._password = password
        client = raw_client(url, password)
        self._queue = Queue(name, connection=client, serializer="json")

    def enqueue(self, duty: str, interval_s: float) -> None:
        """Enqueue a duty, unless a service did so in this interval of Redis's clock.

        Raises errors.TaskOrchestratorError if Redis fails.
        """
        with self._own_errors():
            seconds, microseconds = self._queue.connection.time()
            interval = int((seconds + microseconds / 1e6) / interval_s)
            with suppress(DuplicateJobError):
                self._queue.enqueue(
                    FUNCTION,
                    duty,
                    job_id=f"{duty}-{interval_s:g}-{interval}".replace(
                        ".", "_"
                    ),
                    unique=True,
                    job_timeout=TIMEOUT_S,
                    ttl=KEPT_S,
                )

    def work(
        self, do_duty: Callable[[str], None], scheduler: Scheduler
    ) -> None:
        """Run jobs until a signal stops the service, or Redis becomes unreachable.

        A signal stops `scheduler`. Raises errors.TaskOrchestratorError if Redis fails.
        """
        _do.set(do_duty)
        with self._own_errors():
            worker = _Worker(
                [self._name],
                # RQ needs a connection of its own to wait for jobs.
                connection=raw_client(self._url, self._password),
                serializer="json",
                worker_ttl=WORKER_TTL_S,
            )
            worker.service_scheduler = scheduler
            worker.duties = self._duties
            # The service logs each failure itself, once.
            worker.work(logging_level="CRITICAL")

    @contextmanager
    def _own_errors(self) -> Iterator[None]:
        """Raise our errors for those of redis-py."""
        try:
            yield
        except exceptions.RedisError as error:
            url = address.redacted(self._url)
            raise our_error(error, url) from None


class _Worker(SimpleWorker):
    """A worker in this process. A signal ends its wait for a job, but no running job.

    It replaces every part of RQ's worker that acts on data from Redis: fetching and
    running jobs, the cleanup of abandoned jobs (RQ calls their failure callbacks),
    remote commands, and suspension.
    """

    service_scheduler: Scheduler
    duties: Collection[str]
    _waits = False

    def request_stop(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.service_scheduler.stop()
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
            # A signal may have stopped the scheduler before the wait began.
            while not self.service_scheduler.stopped:
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
        """Run the duty of a job. The job's key stays until it expires."""
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
        last = self.last_heartbeat
        interval = timedelta(seconds=HEARTBEAT_S)
        if last is None or now() - last > interval:
            super().heartbeat(timeout, pipeline)

    def run_maintenance_tasks(self) -> None:
        """Clean up nothing: RQ would call the callbacks of jobs that it cleans up.

        Our jobs expire by themselves.
        """

    def check_for_suspension(self, burst: bool) -> None:  # noqa: FBT001
        """Ignore the key that suspends all workers."""

    def subscribe(self) -> None:
        """Accept no remote commands: their thread would outlive a lost connection."""

    def _next(self, timeout: int | None) -> Job | None:
        """Take the next job, or None if it was deleted here or has expired."""
        keys = self.queue_keys()
        popped = self.queue_class.lpop(
            keys, timeout, connection=self.connection
        )
        if popped is None:
            return None
        job_id = cast(bytes, popped[1])
        key = self.job_class.redis_job_namespace_prefix.encode() + job_id
        try:
            fields = cast(
                "Mapping[bytes, bytes]", self.connection.hgetall(key)
            )
        except exceptions.ResponseError:  # not a hash
            fields = {b"data": b""}
        if not fields:
            return None
        duty = _duty(fields)
        if duty not in self.duties:
            self.connection.delete(key)
            shown = line(job_id[:SHOWN_CHARACTERS].decode(errors="replace"))
            log.warning(
                "Deleted an RQ job that this service did not create: %s", shown
            )
            return None
        return self.job_class.create(
            FUNCTION, [duty], connection=self.connection, serializer="json"
        )


def _duty(fields: Mapping[bytes, bytes]) -> str:
    """Return the duty of a job, or "" if `JobQueue.enqueue` did not create the job."""
    if any(value for name, value in fields.items() if name not in FIELDS):
        return ""
    try:
        compressed = fields.get(b"data", b"")
        data = zlib.decompressobj().decompress(compressed, LARGEST_CALL)
        call: Any = json.loads(data)
        function, instance, [duty], options = call
    except (zlib.error, ValueError, TypeError, RecursionError):
        return ""
    if (function, instance, options) != (FUNCTION, None, {}):
        return ""
    if not isinstance(duty, str):
        return ""
    return duty
