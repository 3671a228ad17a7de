"""Settings -> a running service: its connection, its roots, its log, and RQ or not."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from taskorch.bundled import server as embedded
from taskorch.bundled import service_process
from taskorch.config.settings import Settings, resolve
from taskorch.connect import connect_to
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.queue import Queue
from taskorch.transport import address
from taskorch.transport.failover import raw_client

from taskorch_orchestrator.service.service import Service

if TYPE_CHECKING:
    from taskorch_orchestrator.service.rq_jobs import Jobs


RQ_URL = "TASKORCH_RQ_URL"


def serve(settings: Settings, roots: Sequence[Path], *, with_rq: bool) -> None:
    """Run the service until a signal ends it; its log goes to stderr.

    With the bundled server, it is the one service of that root, and ends the server too where their folder is lost.
    A Redis Cluster has no room for RQ: there the service's own loop does the work, unless TASKORCH_RQ_URL names another
    Redis. Raises errors.Usage for roots that are not there or do not share a namespace, errors.ServiceRuns.
    """
    _check(settings, roots)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    server = None
    if not settings.redis_url:
        server = embedded.Beside(settings, service_process.become(settings))
        embedded.start(settings, logging.getLogger(__name__).info)
    caller = Caller(
        agent=settings.orchestrator, host=os.uname().nodename, pid=os.getpid()
    )
    queue = Queue(connect_to(settings), settings.namespace, caller)
    with_rq = with_rq and (
        bool(os.environ.get(RQ_URL)) or not address.is_cluster(settings.redis_url)
    )
    runs_on = "RQ" if with_rq else "its own loop"
    service = Service(
        queue, list(roots) or [settings.root], runs_on=runs_on, server=server
    )
    service.run(_jobs(service, settings) if with_rq else None)
    if server and server.is_lost():
        server.kill()


def _jobs(service: Service, settings: Settings) -> "Jobs":
    os.environ["RQ_KEY_PREFIX"] = keys.of_rq(
        settings.namespace
    )  # RQ reads it when it is imported
    from taskorch_orchestrator.service.rq_jobs import Jobs

    elsewhere = os.environ.get(
        RQ_URL, ""
    )  # with a password of its own: ours is not for strangers
    url, password = (
        (elsewhere, "")
        if elsewhere
        else (address.of(settings), settings.redis_password)
    )
    return Jobs(service.name, lambda: raw_client(url, password), service.duties)


def _check(settings: Settings, roots: Sequence[Path]) -> None:
    """Refuse roots that are not there, or whose config files name another queue than the one that is to be served."""
    for root in roots:
        if not root.is_dir():
            raise errors.Usage(reason=f"There is no folder {root} to be a root.")
        own = resolve({}, {**os.environ, "TASKORCH_ROOT": str(root)}, root)
        for name in ("redis_url", "namespace"):
            if own.sources[name] == "config.toml" and getattr(own, name) != getattr(
                settings, name
            ):
                raise errors.Usage(
                    reason=f"{root} has another {name} in its config.toml: run a service of its own."
                )
