"""The start of the service: settings -> connection, roots, log, and RQ or not."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskorch.bundled import server as bundled_server
from taskorch.bundled import service_process
from taskorch.config.settings import (
    Settings,
    is_gateway,
    notify_targets,
    resolve,
)
from taskorch.connections import connect_to
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.queue import Queue
from taskorch.transport import address

from taskorch_orchestrator.mirror.handoff_writer import source_of
from taskorch_orchestrator.notify.notifier import Notifier
from taskorch_orchestrator.service.retention import Retention
from taskorch_orchestrator.service.service import Service

if TYPE_CHECKING:
    from taskorch_orchestrator.service.rq_jobs import JobQueue

#: The variable with the address of another Redis for RQ.
RQ_URL = "TASKORCH_RQ_URL"


def serve(
    settings: Settings,
    roots: Sequence[Path],
    *,
    with_rq: bool,
    metrics: tuple[str, int] | None = None,
) -> None:
    """Run the service of `roots`, or of the current root, until a signal ends it.

    It logs to stderr. With `metrics`, a host and a port, it serves the metrics there.
    With the bundled server it is the only service of the root, and
    it kills the server if their folder is deleted or replaced.
    RQ runs neither on a Redis Cluster nor over a gateway. There the duties run in the
    service's own loop, unless TASKORCH_RQ_URL names another Redis.
    Raises errors.Usage for missing roots, roots of different namespaces, and an address
    that cannot be listened on, and errors.ServiceRuns.
    """
    _check_roots(settings, roots)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    server = None
    if not settings.redis_url:
        server = bundled_server.ServerHandle(
            settings, service_process.become(settings)
        )
        bundled_server.start(settings, logging.getLogger(__name__).info)
    caller = Caller(
        agent=settings.orchestrator,
        host=os.uname().nodename,
        pid=os.getpid(),
    )
    queue = Queue(connect_to(settings), settings.namespace, caller)
    queue.report_upgrade(logging.getLogger(__name__).info)
    if metrics:
        _serve_metrics(settings, caller, metrics)
    roots = list(roots) or [settings.root]
    source = source_of(settings)
    keeper = Retention(queue, roots[0], settings.retention_ms)
    if _lacks_rq(settings.redis_url) and not os.environ.get(RQ_URL):
        with_rq = False
    runs_on = "RQ" if with_rq else "its own loop"
    service = Service(
        queue,
        roots,
        source=source,
        runs_on=runs_on,
        server=server,
    )
    if is_gateway(settings.redis_url):
        service.leave_libraries()
    service.serve(
        _job_queue(service, settings) if with_rq else None,
        keeper,
        _notifiers(settings, queue),
    )
    if server and server.is_lost():
        server.kill()


def _notifiers(settings: Settings, queue: Queue) -> list[Notifier]:
    """Return a sender of notifications for each target of the config file.

    Targets that the user does not trust are reported, and get nothing.
    """
    try:
        targets = notify_targets(settings, os.environ)
    except errors.UntrustedConfig as error:
        logging.getLogger(__name__).warning("No notifications. %s", error)
        return []
    # No two processes have the same name, not even in two containers of one image.
    name = f"{os.uname().nodename}:{os.getpid()}:{os.urandom(4).hex()}"
    return [Notifier(queue, target, name) for target in targets]


def _serve_metrics(
    settings: Settings, caller: Caller, address: tuple[str, int]
) -> None:
    """Serve the metrics of the namespace until the process ends."""
    try:
        from taskorch_orchestrator.metrics.collector import registry_of
        from taskorch_orchestrator.metrics.listener import listen
    except ModuleNotFoundError:
        raise errors.Usage(
            reason="The metrics are not installed. In a checkout, run: "
            "pipx install --force '.[metrics]'"
        ) from None
    from taskorch_orchestrator.metrics.figures import reader_of

    reader = reader_of(settings, caller)
    listen(*address, registry_of(settings.namespace, reader))


def _lacks_rq(url: str) -> bool:
    """Return whether RQ does not run there."""
    return address.is_cluster(url) or is_gateway(url)


def _check_roots(settings: Settings, roots: Sequence[Path]) -> None:
    """Raise errors.Usage for a missing root, and for one with another queue."""
    for root in roots:
        if not root.is_dir():
            reason = f"The root {root} is not a folder. Create it, or name another one."
            raise errors.Usage(reason=reason)
        own = resolve({}, {**os.environ, "TASKORCH_ROOT": str(root)}, root)
        for name in ("redis_url", "namespace", "retention_ms"):
            setting = name.removesuffix("_ms")
            is_configured = own.sources[setting] == "config.toml"
            if is_configured and getattr(own, name) != getattr(settings, name):
                raise errors.Usage(
                    reason=f"The config.toml of {root} has a different {setting}. "
                    "Start a separate service for it."
                )


def _job_queue(service: Service, settings: Settings) -> "JobQueue":
    # RQ reads this variable when it is imported.
    os.environ["RQ_KEY_PREFIX"] = keys.of_rq(settings.namespace)
    from taskorch_orchestrator.service.rq_jobs import JobQueue

    # The password of our Redis must not be sent to another one.
    url = os.environ.get(RQ_URL, "")
    password = ""
    if not url:
        url = address.url_of(settings)
        password = settings.redis_password
    return JobQueue(
        service.name,
        service.duties,
        url=url,
        password=password,
    )
