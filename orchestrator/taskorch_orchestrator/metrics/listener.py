"""The HTTP listener of `orchestrate service --metrics`."""

import logging
from ipaddress import ip_address

from prometheus_client import CollectorRegistry, start_http_server
from taskorch.domain import errors

UNPROTECTED = (
    "Everyone who reaches %s:%d can read the metrics, which name the agents."
)


def listen(host: str, port: int, registry: CollectorRegistry) -> None:
    """Serve the metrics until the process ends. Raises errors.Usage."""
    try:
        start_http_server(port, host, registry)
    except OSError as error:
        raise errors.Usage(
            reason=f"Cannot listen on {host}:{port}: {error.strerror}"
        ) from None
    if not _is_loopback(host):
        logging.getLogger(__name__).warning(UNPROTECTED, host, port)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
