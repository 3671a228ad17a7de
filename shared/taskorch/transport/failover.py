"""An address -> clients of redis-py for the server that takes the writes: one server, or one that is looked up."""

import socket
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from math import inf
from time import monotonic
from typing import Any, Protocol, cast

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import SSLConnection, UnixDomainSocketConnection, parse_url
from redis.retry import Retry

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.port import UNREADABLE
from taskorch.transport import address, redis_errors, server_address, unix_socket
from taskorch.transport.redis_failures import passes
from taskorch.transport.socket import CONNECT_TIMEOUT_S

#: Half of that where another server may have taken over: a dead one may take requests and never answer.
FOLLOWING_TIMEOUT_S = 5
#: How long a call follows a failover or a reshard. Where Redis is watched closely both are over in a few seconds; who
#: waits at a terminal should hear of a longer one before the patience of a person, or of an agent's shell, ends.
PATIENCE_S = 10.0
#: A primary that sentinels have replaced may take writes, which are lost, until it hears of it: that takes seconds.
#: So an open connection asks them again after so long.
ASK_AGAIN_S = 1.0

Host = tuple[str, int]


class Timing(Frozen):
    """How long a call may take, and after how long the deployment is asked again for its server."""

    call_s: float
    ask_again_s: float


class Clients(Protocol):
    """Where a connection has its clients from."""

    #: The address, for messages.
    url: str
    #: For how long a call is made again, on clients that are looked up anew; 0 where redis-py repeats it by itself.
    patience_s: float

    def calling(self, key: str) -> redis.Redis:
        """Return the client for short calls that concern a key."""

    def waiting(self, key: str, timeout_s: float) -> redis.Redis:
        """Return a new client whose replies may take so many seconds; the caller closes it."""

    def forget(self) -> None:
        """Look the server up anew before the next call: another one may have taken over."""

    def close(self) -> None:
        """Give the sockets back."""


class Following:
    """Clients of the server that has a key at this time; it is looked up again when it may have changed.

    Threads may share it: a client that is forgotten closes when the last call on it has ended.
    """

    patience_s = PATIENCE_S

    def __init__(
        self,
        url: str,
        find: Callable[[str], Host],
        options: Mapping[str, Any],
        timing: Timing,
    ) -> None:
        """`find` asks the deployment for the server of a key; `options` are those of redis-py for that one."""
        self.url = url
        self._find = find
        self._options = options
        self._timing = timing
        self._client: redis.Redis | None = None
        self._host: Host = ("", 0)
        self._asked_at = 0.0

    def calling(self, key: str) -> redis.Redis:
        """Return the client for the server that has the key, looked up if need be."""
        client = self._client
        if client is None:
            return self._looked_up(key)
        if monotonic() - self._asked_at > self._timing.ask_again_s:
            with suppress(exceptions.RedisError):  # nobody knows of another one
                return self._looked_up(key)
            self._asked_at = (
                monotonic()
            )  # sentinels that hang cost seconds: not at each call
        return client

    def waiting(self, key: str, timeout_s: float) -> redis.Redis:
        """Return a new client of the server that has the key, which has answered."""
        client = self._opened(self._find(key), timeout_s)
        client.ping()
        return client

    def forget(self) -> None:
        """Look the server up anew before the next call."""
        self._client = None

    def close(self) -> None:
        """Give the socket back."""
        if self._client:
            self._client.close()

    def _looked_up(self, key: str) -> redis.Redis:
        host, client = self._find(key), self._client
        self._asked_at = monotonic()
        if client is None or host != self._host:
            client = self._client = self._opened(host, self._timing.call_s)
            self._host = host
        return client

    def _opened(self, host: Host, timeout_s: float) -> redis.Redis:
        options = {
            **self._options,
            "socket_timeout": timeout_s,
            "redis_connect_func": _greet_primary,
        }
        return redis.Redis(
            host=host[0],
            port=host[1],
            decode_responses=True,
            encoding_errors=UNREADABLE,
            **options,
        )


def following(
    url: str, deployment: address.Deployment, password: str, *, longer_s: float
) -> Following:
    """Return the clients for a deployment, whose address `url` is; no socket is opened yet.

    A call may take `longer_s` seconds more than usual. `password` serves an address that has none of its own. Raises
    errors.Usage for options that are none.
    """
    options, sentinel = _options(url, deployment, password)
    if deployment.kind == "sentinel":
        find, ask_again_s = _by_sentinels(deployment, sentinel), ASK_AGAIN_S
    else:
        find, ask_again_s = (
            _in_cluster(deployment, options),
            inf,
        )  # a node that lost its slots says so itself
    timing = Timing(call_s=FOLLOWING_TIMEOUT_S + longer_s, ask_again_s=ask_again_s)
    return Following(address.shown(url), find, options, timing)


def raw_client(url: str, password: str = "") -> redis.Redis:
    """Return a client that decodes nothing, for libraries that bring commands of their own; it follows sentinels.

    Raises errors.Usage for an address that is none, or the one of a cluster.
    """
    deployment = address.parsed(url)
    if deployment is None:
        server_address.of(url)  # its refusals show no password
        options: dict[str, Any] = {"password": password} if password else {}
        if url.startswith("unix:"):
            options["connection_class"] = _CheckedUnixConnection
        return redis.Redis.from_url(
            url, socket_connect_timeout=CONNECT_TIMEOUT_S, driver_info=None, **options
        )
    if deployment.kind == "cluster":
        raise errors.Usage(
            reason=f"{address.shown(url)!r}: RQ does not run on a cluster; name another Redis for it."
        )
    from redis.sentinel import Sentinel

    options, sentinel = _options(url, deployment, password)
    del options["retry"]  # these libraries repeat nothing by themselves
    finder = cast(Any, Sentinel)(deployment.hosts, sentinel_kwargs=sentinel)
    return cast("redis.Redis", finder.master_for(deployment.service, **options))


class _CheckedUnixConnection(UnixDomainSocketConnection):
    """A connection of redis-py to a Unix socket that looks whose server answers there before it sends anything."""

    def _connect(self) -> socket.socket:
        opened = unix_socket.connected(self.path, CONNECT_TIMEOUT_S, private=False)
        opened.settimeout(self.socket_timeout)
        return opened


def _options(
    url: str, deployment: address.Deployment, password: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of redis-py for the servers of a deployment, and for its sentinels. Raises errors.Usage."""
    try:
        return _read_options(deployment, password)
    except (ValueError, TypeError, exceptions.RedisError) as error:
        raise address.wrong(url, error) from None


def _read_options(
    deployment: address.Deployment, password: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    ours = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
    }
    options: dict[str, Any] = {"password": password} if password else {}
    options |= {**parse_url(deployment.server), **ours}  # type: ignore[no-untyped-call]
    options["ssl"] = options.pop("connection_class", None) is SSLConnection
    if not options["ssl"] and any(name.startswith("ssl_") for name in options):
        raise address.Unfit(f"TLS is what rediss+{deployment.kind}:// stands for")
    sentinel = {
        name: value
        for name, value in options.items()
        if name in ours or name.startswith("ssl")
    }
    address.need_files(options)
    for name in ("username", "password"):
        if deployment.kind == "sentinel" and f"sentinel_{name}" in options:
            sentinel[name] = options.pop(f"sentinel_{name}")
    del options["host"]
    for each in (options, sentinel):
        redis.Redis(
            **each
        ).connection_pool.make_connection()  # as above: the options are looked at
    return options, {**sentinel, "socket_timeout": CONNECT_TIMEOUT_S}


def _by_sentinels(
    deployment: address.Deployment, options: dict[str, Any]
) -> Callable[[str], Host]:
    """Ask the sentinels one after the other, as their protocol wants it; the one that answers is the first next time.

    redis-py's own search reads SENTINEL MASTERS, which names the old primary until a failover is over in every detail.
    """
    options = {**options, "decode_responses": True, "encoding_errors": UNREADABLE}
    sentinels = [
        redis.Redis(host=host, port=port, **options) for host, port in deployment.hosts
    ]

    def find(_key: str) -> Host:
        refusal: exceptions.RedisError | None = None
        for sentinel in tuple(sentinels):
            try:
                host = cast(Any, sentinel).sentinel_get_master_addr_by_name(
                    deployment.service
                )
            except exceptions.AuthenticationError:
                refusal = exceptions.AuthenticationError(
                    "its sentinels want a sentinel_password"
                )
            except exceptions.RedisError as error:
                refusal = refusal or (None if passes(error) else error)
            else:
                if host:
                    sentinels.sort(key=lambda each: each is not sentinel)
                    return cast("Host", host)
        nobody = (
            f"no sentinel answers, or none knows a primary of {deployment.service!r}"
        )
        raise refusal or exceptions.ConnectionError(nobody)

    return find


def _in_cluster(
    deployment: address.Deployment, options: dict[str, Any]
) -> Callable[[str], Host]:
    from redis.cluster import ClusterNode, RedisCluster

    hosts = list(deployment.hosts)
    options = {
        name: value for name, value in options.items() if name not in ("db", "retry")
    }

    def find(key: str) -> Host:
        hosts.append(hosts.pop(0))  # who did not help comes last
        nodes = [cast(Any, ClusterNode)(host, port) for host, port in hosts]
        try:
            with closing(
                cast(Any, RedisCluster)(
                    startup_nodes=nodes, require_full_coverage=False, **options
                )
            ) as cluster:
                hosts.extend(
                    {(node.host, node.port) for node in cluster.get_nodes()}
                    - set(hosts)
                )
                node = cluster.get_node_from_key(key)
        except exceptions.RedisClusterException as error:
            raise _innermost(error) from error
        if node is None:
            raise exceptions.ClusterDownError("no node has the slot of this namespace")
        return node.host, node.port

    return find


def _innermost(error: BaseException) -> Exception:
    """Return what lies behind an error of redis-py's cluster client, which says less than that."""
    known = (exceptions.RedisError, errors.TaskOrchestratorError)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, (*known, exceptions.RedisClusterException)):
        return _innermost(cause)
    return error if isinstance(error, known) else exceptions.ConnectionError(str(error))


def _greet_primary(connection: redis.Connection) -> None:
    """Greet, and refuse a server that is not the primary any more, whoever said so: HELLO tells it."""
    _greet(connection)
    greeting = cast("dict[str, str]", connection.handshake_metadata or {})
    if greeting.get("role", "master") != "master":
        raise exceptions.ReadOnlyError("it is not the primary any more")


def _greet(connection: redis.Connection) -> None:
    """Say HELLO, and refuse a server that is too old to run the scripts."""
    try:
        connection.on_connect()  # type: ignore[no-untyped-call]
    except exceptions.ResponseError as error:
        if "unknown command" in str(error).lower():
            raise errors.TooOld(url=_place(connection), version="5 or older") from None
        raise
    greeting = cast("dict[str, str]", connection.handshake_metadata or {})
    if "version" in greeting:
        redis_errors.need_version(greeting["version"], _place(connection))


def _place(connection: redis.Connection) -> str:
    return " ".join(f"{name}={value}" for name, value in connection.repr_pieces())  # type: ignore[no-untyped-call]
