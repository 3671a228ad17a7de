"""Settings -> a connection; only this module knows both."""

from collections.abc import Callable

from taskorch.bundled.on_demand import OnDemandConnection
from taskorch.config.settings import Settings, is_gateway
from taskorch.config.unanswered import UnansweredRequests
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.backoff import Notify, Patience
from taskorch.queue.port import WAIT_TIMEOUT_MS, Connection
from taskorch.transport import address
from taskorch.transport.address import DeploymentAddress
from taskorch.transport.redis_errors import is_passing
from taskorch.transport.retry import RetryingConnection, is_not_final
from taskorch.transport.socket import SocketConnection

#: How often a call to one server is repeated.
RETRIES = 2
#: How long a call follows a failover or a reshard, in seconds. A closely watched Redis
#: needs a few. A longer one should be reported before a person, or the shell of an
#: agent, gives up.
FAILOVER_PATIENCE_S = 10.0
#: The longest pause between attempts while a deployment looks for its new primary.
FAILOVER_PAUSE_S = 0.5
#: The longest pause between attempts of a connection that outlasts an outage.
OUTAGE_PAUSE_S = 2.0


def open_connection(
    settings: Settings,
    announce: Callable[[str], None],
    access: Access = Access.CREATE,
) -> Connection:
    """Return the connection for a command, to an address or to the bundled server.

    `announce` receives a sentence when the bundled server was started. Raises
    errors.Usage for an invalid address and for replicas that cannot exist, and
    errors.NoQueue if the root has no queue and `access` does not allow creating one.
    """
    if _starts_server(settings, access):
        return OnDemandConnection(settings, announce, access)
    return connect_to(settings)


def open_lasting_connection(
    settings: Settings,
    announce: Callable[[str], None],
    *,
    patience_s: float,
    notify: Notify,
) -> RetryingConnection:
    """Return a connection that repeats each call for `patience_s` seconds.

    Even with 0, a call survives what a call of open_connection does: a lost reply, a
    failover. `notify` receives each longer failure, and None after each success. After
    close(), all calls raise retry.ConnectionClosed. Raises errors like open_connection.
    """
    return RetryingConnection(
        open_connection(settings, announce, Access.USE),
        Patience(
            may_pass=is_not_final,
            seconds=patience_s,
            longest_pause_s=OUTAGE_PAUSE_S,
        ),
        close_is_final=True,
        notify=notify,
    )


def unanswered_requests(
    settings: Settings, command: str
) -> UnansweredRequests:
    """Return the requests of a command line that Redis did not answer."""
    return UnansweredRequests(settings, command, _redacted_url)


def connect_to(settings: Settings) -> Connection:
    """Return a connection to the configured address, else to the bundled server.

    The bundled server is not started. Raises errors.Usage for an invalid address.
    """
    if is_gateway(settings.redis_url):
        return _connect_to_gateway(settings)
    return _with_retries(_connect_once(settings), RETRIES)


def connect(
    url: str,
    *,
    password: str = "",
    wait_replicas: int = 0,
    wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    retries: int = RETRIES,
) -> Connection:
    """Return a connection to one server or to a deployment; a call opens it.

    `url` is `redis://`, `rediss://`, `unix://`,
    `redis+sentinel://host:port,host:port/service/db` or
    `redis+cluster://host:port,host:port` (`rediss+` with TLS). `password` is used if
    the address has none. With `wait_replicas`, an acknowledged step waits up to
    `wait_timeout_ms` milliseconds until that many replicas have it, else it raises
    errors.NotReplicated. A call to one server that gets no reply is repeated `retries`
    times; a call to a deployment follows a failover. Raises errors.Usage for an invalid
    address.
    """
    return _with_retries(
        _connect_once_to(url, password, wait_replicas, wait_timeout_ms),
        retries,
    )


def _starts_server(settings: Settings, access: Access) -> bool:
    """Return whether a command with this access may start the bundled server."""
    if settings.wait_replicas and not settings.redis_url:
        raise errors.Usage(
            reason="wait_replicas is set, but the bundled server has no replicas. "
            "Configure a Redis that has."
        )
    if settings.redis_url or access is Access.NONE:
        return False
    if access is not Access.CREATE and not settings.has_folder:
        raise errors.NoQueue(root=settings.root_path)
    return True


def _redacted_url(settings: Settings) -> str:
    return address.redacted(address.url_of(settings))


def _connect_once(settings: Settings) -> Connection:
    """Return a connection that makes one attempt per call."""
    if not settings.redis_url:
        return SocketConnection(address.bundled(settings.folder_path))
    return _connect_once_to(
        settings.redis_url,
        settings.redis_password,
        settings.wait_replicas,
        settings.wait_timeout_ms,
    )


def _connect_to_gateway(settings: Settings) -> Connection:
    if settings.wait_replicas:
        raise errors.Usage(
            reason="wait_replicas is set, but the gateway decides whether steps wait "
            "for replicas. Set it for the gateway."
        )
    url = settings.redis_url
    if not settings.access_token:
        raise errors.Usage(
            reason=f"The gateway at {address.redacted(url)} needs an access token. Set "
            "TASKORCH_TOKEN, or name a file that holds it in TASKORCH_TOKEN_FILE."
        )
    from taskorch.transport import gateway

    place = gateway.parse(url, settings.access_token)
    patience = Patience(may_pass=is_passing, attempts=RETRIES + 1)
    return RetryingConnection(
        gateway.GatewayConnection(place), patience, resumes_waits=False
    )


def _connect_once_to(
    url: str, password: str, wait_replicas: int, wait_timeout_ms: int
) -> Connection:
    place = address.parse(url, password)
    if isinstance(place, DeploymentAddress):
        from taskorch.transport.failover import (
            FailoverConnection,
            primary_clients,
        )

        longer_s = wait_timeout_ms / 1000 if wait_replicas else 0
        return FailoverConnection(
            primary_clients(url, place, password, longer_s=longer_s),
            wait_replicas=wait_replicas,
            wait_timeout_ms=wait_timeout_ms,
        )
    address.need_files(url, place.tls or {})
    return SocketConnection(
        place, wait_replicas=wait_replicas, wait_timeout_ms=wait_timeout_ms
    )


def _with_retries(connection: Connection, retries: int) -> RetryingConnection:
    if isinstance(connection, SocketConnection):
        patience = Patience(may_pass=is_passing, attempts=retries + 1)
        return RetryingConnection(connection, patience, resumes_waits=False)
    patience = Patience(
        may_pass=is_passing,
        seconds=FAILOVER_PATIENCE_S,
        longest_pause_s=FAILOVER_PAUSE_S,
    )
    return RetryingConnection(connection, patience)
