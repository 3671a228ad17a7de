"""Settings -> a connection: over a socket to one server, or by redis-py to a Redis of many."""

from collections.abc import Callable, Sequence
from time import time

from taskorch.config.settings import Settings
from taskorch.config.unanswered import UnansweredRequests
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.queue.port import WAIT_TIMEOUT_MS, Argument, Connection, Reply, Script
from taskorch.transport import server_address
from taskorch.transport.socket import SocketConnection

RETRIES = 2


class OnDemandConnection:
    """A connection to the bundled server of a root, which is started when it does not answer and that is allowed.

    The call is made again then: its request id keeps it from acting twice, for the server had appended what it did.
    What somebody has stopped meanwhile stays so: only a newer connection starts that.
    """

    def __init__(
        self, settings: Settings, announce: Callable[[str], None], access: Access
    ) -> None:
        """`announce` is told, in a line for people, that the server was started, or its data repaired."""
        self._settings = settings
        self._access = access
        self._announce = announce
        self._opened_at = time()
        self._is_closed = False
        self._connection = SocketConnection(
            server_address.bundled(settings.folder_path), retries=0
        )

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script, on a server that is started if need be."""
        try:
            return self._connection.run_script(script, key, arguments)
        except (errors.Unreachable, errors.Stalled) as away:
            self._start(away)
            return self._connection.run_script(script, key, arguments)

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token; False too when the server had to be started, so that the caller looks again."""
        return self._blocking(lambda: self._connection.wait_for_wake(key, timeout_s))

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream, in the same way."""
        return self._blocking(
            lambda: self._connection.wait_for_entry(key, cursor, timeout_s)
        )

    def _blocking(self, ask: Callable[[], bool]) -> bool:
        try:
            return ask()
        except (errors.Unreachable, errors.Stalled) as away:
            self._start(away)
            return False

    def close(self) -> None:
        """Give the socket back; the server goes on."""
        self._is_closed = True
        self._connection.close()

    def _start(self, away: errors.Unavailable) -> None:
        from taskorch.bundled import server as bundled_server

        is_running = (
            isinstance(away, errors.Stalled) and away.details["why"] != "LOADING"
        )
        if (
            is_running
            or self._is_closed
            or bundled_server.was_stopped(self._settings, self._opened_at)
        ):
            raise away
        bundled_server.refuse_start(self._settings, self._access)
        if bundled_server.start(self._settings, self._announce):
            self._announce(
                f"Started the bundled server for {self._settings.root} (orchestrate server stop ends it)."
            )


def open_connection(
    settings: Settings, announce: Callable[[str], None], access: Access = Access.CREATE
) -> Connection:
    """Return the connection that the settings ask for: to an address, or to the bundled server of the root.

    Raises errors.Usage for an address that is none, and where replicas are waited for that cannot be there;
    errors.NoQueue where the root has no queue and `access` does not allow to create one.
    """
    if settings.wait_replicas and not settings.redis_url:
        raise errors.Usage(
            reason="wait_replicas is set, and the bundled server has no replicas: name a Redis that has."
        )
    if settings.redis_url or access is Access.NONE:
        return connect_to(settings)
    if access is not Access.CREATE and not settings.has_folder:
        raise errors.NoQueue(root=settings.root_path)
    return OnDemandConnection(settings, announce, access)


def unanswered_requests(settings: Settings, command: str) -> UnansweredRequests:
    """Return the requests of a command line that Redis did not answer."""

    def address_of_redis(settings: Settings) -> str:
        from taskorch.transport import address

        return address.shown(address.of(settings))

    return UnansweredRequests(settings, command, address_of_redis)


def connect_to(settings: Settings) -> Connection:
    """Return a connection to the address of the settings, or to the bundled server, which is not started."""
    if not settings.redis_url:
        return SocketConnection(
            server_address.bundled(settings.folder_path), retries=RETRIES
        )
    return connect(
        settings.redis_url,
        password=settings.redis_password,
        wait_replicas=settings.wait_replicas,
        wait_timeout_ms=settings.wait_timeout_ms,
    )


def connect(
    url: str,
    *,
    password: str = "",
    wait_replicas: int = 0,
    wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    retries: int = RETRIES,
) -> Connection:
    """Return a connection to one server, to the primary behind sentinels or to a cluster; it is opened by a call.

    `url` is `redis://`, `rediss://`, `unix://`, `redis+sentinel://host:port,host:port/service/db` or
    `redis+cluster://host:port,host:port` (`rediss+` with TLS); `password` serves one that has none of its own.
    With `wait_replicas`, an acknowledged step waits up to `wait_timeout_ms` until that many replicas have it, else it
    raises errors.NotReplicated. A call to one server that gets no reply is made again `retries` times; one to a
    deployment of many follows a failover. Raises errors.Usage for an address that is none.
    """
    from taskorch.transport import address

    if deployment := address.parsed(url):
        from taskorch.transport.failover import following
        from taskorch.transport.redis_connection import RedisConnection

        source = following(
            url,
            deployment,
            password,
            longer_s=wait_timeout_ms / 1000 if wait_replicas else 0,
        )
        return RedisConnection(
            source, wait_replicas=wait_replicas, wait_timeout_ms=wait_timeout_ms
        )
    server = server_address.of(url, password)
    return SocketConnection(
        server,
        retries=retries,
        wait_replicas=wait_replicas,
        wait_timeout_ms=wait_timeout_ms,
    )
