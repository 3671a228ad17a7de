"""Whether a service runs that would start the runs of schedules."""

from time import time

from taskorch.bundled import service_process
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.queue.views import Views

#: A service reports every few seconds, with each pass over the files of its roots.
SEEN_WITHIN_MS = 60_000
#: The roots that are looked at: those that were written last.
ROOTS = 20


def advice(settings: Settings, views: Views) -> str:
    """Return how to start a service; "" if one was seen, or if it cannot be known."""
    if service_process.pid(settings):
        return ""
    try:
        mirrors = views.mirrors(limit=ROOTS)
    except (errors.Unavailable, errors.NotAllowed):
        return ""
    newest = max((mirror.service_at for mirror in mirrors), default=0)
    if newest > time() * 1000 - SEEN_WITHIN_MS:
        return ""
    is_beside_server = service_process.wanted(settings)
    command = "server start" if is_beside_server else "service"
    return (
        "No service was seen in the last minute, and only a service starts a schedule. "
        f"Start one: orchestrate {command}"
    )
