"""Connections by redis-py to a deployment in which one server takes over from another.

Sentinels or the nodes of a cluster say which server takes the writes.
"""

import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from math import inf
from threading import get_ident
from time import monotonic
from typing import Any, Protocol, cast

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import (
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.retry import Retry

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.port import (
    REPLICATED,
    UNREADABLE,
    WAIT_TIMEOUT_MS,
    Argument,
    Reply,
    Script,
    WaitBrokenOff,
)
from taskorch.transport import address, redis_errors
from taskorch.transport.address import DeploymentAddress
from taskorch.transport.channels import ProcessLock
from taskorch.transport.script_calls import ScriptCalls
from taskorch.transport.socket import (
    CALL_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    connect_unix,
)

#: Half of the usual time, because a dead primary may take requests and never answer.
FAILOVER_CALL_TIMEOUT_S = 5
#: Sentinels are asked again after this time, even if all calls succeed. A primary that
#: was replaced may take writes, which are lost, until it learns of it seconds later.
ASK_AGAIN_S = 1.0

#: What redis-py raises, beside its own errors, if another thread closes a client that is
#: just about to send or to read.
_OF_CLOSED = (AttributeError, TypeError, ValueError, OSError)

Host = tuple[str, int]

#: redis-py raises some errors by itself, without the first word of a reply.
_WORDS = {
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.AskError: "ASK",
    exceptions.MovedError: "MOVED",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.NoScriptError: "NOSCRIPT",
}


class Clients(Protocol):
    """The source of a connection's clients."""

    #: The address without its secrets, for messages.
    url: str

    def for_scripts(self, key: str) -> redis.Redis:
        """Return the client for the server that has the key."""

    def for_waiting(self, key: str, timeout_s: float) -> redis.Redis:
        """Return a new client whose replies may take `timeout_s` seconds."""

    def forget(self) -> None:
        """Look up the server before the next call: another one may have taken over."""

    def close(self) -> None:
        """Close the sockets."""


class _Waiting:
    """A client on which a thread waits, which other threads may close."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client
        #: Whether the single wait was broken off, rather than the connection closed.
        self.is_broken_off = False
        self.is_closed = False

    def close(self) -> None:
        """Close it while the thread uses it."""
        self.is_closed = True
        self.client.close()


class FailoverConnection:
    """Runs scripts on the server that takes the writes; threads take turns.

    Each call is one attempt. After one that a failover may explain, the server is
    looked up again.
    """

    def __init__(
        self,
        clients: Clients,
        *,
        wait_replicas: int = 0,
        wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    ) -> None:
        """With `wait_replicas`, the verbs of REPLICATED wait for as many replicas."""
        self._clients = clients
        self._wait = (
            ("WAIT", wait_replicas, wait_timeout_ms) if wait_replicas else ()
        )
        self._script_calls = ScriptCalls()
        self._turn = ProcessLock()
        #: Identifier of a thread -> the client on which it waits.
        self._waiting: dict[int, _Waiting] = {}

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script as a function, or else by its SHA1 or its text."""
        waits = self._wait and script.name in REPLICATED

        def send(
            *command: Argument,
        ) -> tuple[list[Reply] | exceptions.ResponseError, str]:
            try:
                if waits:
                    return self._run_and_wait(client, *command), ""
                return [_run(client, *command)], ""
            except exceptions.ResponseError as error:
                return error, _line(error)

        with self._turn.own, self._translated_errors():
            client = self._clients.for_scripts(key)
            replies = self._script_calls.run(
                script, (1, key, *arguments), send
            )
            if isinstance(replies, exceptions.ResponseError):
                raise replies
            reply, *reached = replies
            if reached:
                self._need_replicas(reply, reached[0])
            return reply

    def run_command(self, key: str, *command: Argument) -> Reply:
        """Send a command about the server that has the key."""
        with self._turn.own, self._translated_errors():
            return _run(self._clients.for_scripts(key), *command)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it."""
        with self._waiting_client(lists[0], timeout_s) as client:
            limit_s = max(timeout_s, 0.001)
            return bool(client.blpop(list(lists), timeout=limit_s))

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        block_ms = max(round(timeout_s * 1000), 1)
        with self._waiting_client(key, timeout_s) as client:
            entries = client.xread({key: cursor}, count=1, block=block_ms)
            return bool(entries)

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        waiting = self._waiting.get(thread)
        if waiting:
            waiting.is_broken_off = True
            waiting.close()

    def close(self) -> None:
        """Close the sockets, without waiting for other threads."""
        for waiting in tuple(self._waiting.values()):
            waiting.close()
        # If a script is under way, it gets its reply: what it took would be lost.
        turn = self._turn.own
        if turn.acquire(blocking=False):
            self._clients.close()
            turn.release()

    def _run_and_wait(
        self, client: redis.Redis, *command: Argument
    ) -> list[Reply]:
        """Send a command and WAIT on one connection: WAIT is about its own writes.

        Return both replies; that of WAIT may be an error.
        """
        with cast(Any, client).pipeline(transaction=False) as pipeline:
            pipeline.execute_command(*command)
            pipeline.execute_command(*self._wait)
            reply, reached = pipeline.execute(raise_on_error=False)
        if isinstance(reply, Exception):
            raise reply
        return [reply, reached]

    def _need_replicas(self, reply: Reply, reached: object) -> None:
        """Raise errors.NotReplicated if the reply to WAIT falls short."""
        if isinstance(reached, exceptions.RedisError):
            ours = our_error(reached, self._clients.url)
            if redis_errors.is_passing(ours):
                # It is not the primary any more: the next one answers the repeat.
                raise reached
        redis_errors.need_replicas(reply, reached, self._wait)

    @contextmanager
    def _waiting_client(
        self, key: str, timeout_s: float
    ) -> Iterator[redis.Redis]:
        """Open a client that a thread waits on, and close it after that."""
        with self._translated_errors():
            client = self._clients.for_waiting(key, timeout_s + CALL_TIMEOUT_S)
            waiting = self._waiting[get_ident()] = _Waiting(client)
            try:
                yield client
            except (exceptions.RedisError, *_OF_CLOSED) as error:
                if waiting.is_broken_off:
                    raise WaitBrokenOff from None
                if waiting.is_closed and isinstance(error, _OF_CLOSED):
                    reason = "another thread has closed the connection"
                    raise exceptions.ConnectionError(reason) from error
                raise
            finally:
                del self._waiting[get_ident()]
                client.close()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except exceptions.RedisError as error:
            raise self._translate(error) from error

    def _translate(self, error: exceptions.RedisError) -> Exception:
        ours = our_error(error, self._clients.url)
        if redis_errors.is_passing(ours):
            self._clients.forget()
        return ours


class Timing(Frozen):
    """Time limits of the clients of a deployment, in seconds."""

    call_s: float
    #: The age at which the result of a look-up is looked up again.
    ask_again_s: float


class PrimaryClients:
    """Clients of the server that has a key now, looked up when it may have changed.

    Threads may share it: a client that is forgotten closes when the last call on it has
    ended.
    """

    def __init__(
        self,
        url: str,
        find: Callable[[str], Host],
        options: Mapping[str, Any],
        timing: Timing,
    ) -> None:
        """`find` asks the deployment for the server of a key; the options are redis-py's."""
        self.url = url
        self._find = find
        self._options = options
        self._timing = timing
        self._client: redis.Redis | None = None
        self._host: Host = ("", 0)
        self._found_at = 0.0

    def for_scripts(self, key: str) -> redis.Redis:
        """Return the client for the server that has the key."""
        client = self._client
        if client is None:
            return self._look_up(key)
        if monotonic() - self._found_at > self._timing.ask_again_s:
            with suppress(
                exceptions.RedisError
            ):  # the known server still counts
                return self._look_up(key)
            # Sentinels that hang cost seconds, so they are not asked at each call.
            self._found_at = monotonic()
        return client

    def for_waiting(self, key: str, timeout_s: float) -> redis.Redis:
        """Return a new client of the server that has the key, which has answered."""
        client = self._open(self._find(key), timeout_s)
        client.ping()
        return client

    def forget(self) -> None:
        """Look up the server before the next call."""
        self._client = None

    def close(self) -> None:
        """Close the socket."""
        if self._client:
            self._client.close()

    def _look_up(self, key: str) -> redis.Redis:
        host = self._find(key)
        client = self._client
        self._found_at = monotonic()
        if client is None or host != self._host:
            client = self._open(host, self._timing.call_s)
            self._client = client
            self._host = host
        return client

    def _open(self, host: Host, timeout_s: float) -> redis.Redis:
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


def primary_clients(
    url: str,
    deployment: DeploymentAddress,
    password: str,
    *,
    longer_s: float = 0,
) -> PrimaryClients:
    """Return the clients of a deployment, whose address is `url`; nothing is opened yet.

    A call may take `longer_s` seconds more than usual. `password` is used if the
    address has none. Raises errors.Usage for invalid options.
    """
    options, sentinel_options = _options(url, deployment, password)
    if deployment.kind == "sentinel":
        find = _find_by_sentinels(deployment, sentinel_options)
        ask_again_s = ASK_AGAIN_S
    else:
        find = _find_in_cluster(deployment, options)
        ask_again_s = inf  # a node that lost its slots says so itself
    timing = Timing(
        call_s=FAILOVER_CALL_TIMEOUT_S + longer_s, ask_again_s=ask_again_s
    )
    return PrimaryClients(deployment.redacted, find, options, timing)


def raw_client(url: str, password: str = "") -> redis.Redis:
    """Return a client that decodes nothing, for a library with commands of its own.

    It follows sentinels. Raises errors.Usage for an invalid address, and for a cluster.
    """
    place = address.parse(url, password)
    if not isinstance(place, DeploymentAddress):
        address.need_files(url, place.tls or {})
        options: dict[str, Any] = {"password": password} if password else {}
        if place.path:
            options["connection_class"] = _CheckedUnixConnection
        return redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            driver_info=None,
            **options,
        )
    if place.kind == "cluster":
        raise errors.Usage(
            reason=f"{place.redacted!r}: RQ does not run on a cluster. Use another Redis."
        )
    from redis.sentinel import Sentinel

    options, sentinel_options = _options(url, place, password)
    del options["retry"]  # these libraries repeat nothing by themselves
    finder = cast(Any, Sentinel)(place.hosts, sentinel_kwargs=sentinel_options)
    return cast("redis.Redis", finder.master_for(place.service, **options))


def our_error(error: exceptions.RedisError, url: str) -> Exception:
    """Return our error for one of redis-py's; an error of a script is a ScriptError."""
    line = _line(error)
    if isinstance(error, exceptions.InvalidResponse):
        reason = f"the server there is not Redis ({error})"
        return errors.Unreachable(url=url, reason=reason)
    if isinstance(error, exceptions.AuthenticationError):
        return errors.Refused(url=url, reason=line)
    is_silence = isinstance(
        error, (exceptions.ConnectionError, exceptions.TimeoutError)
    )
    is_stalled = redis_errors.stall_word(line) != ""
    if is_silence and not is_stalled:
        return redis_errors.of_silence(error, url)
    return redis_errors.of_reply(line, url)


def _line(error: exceptions.RedisError) -> str:
    """Return an error reply with its first word, which redis-py keeps apart."""
    word = error.status_code or _WORDS.get(type(error), "")
    return f"{word} {error}" if word else str(error)


class _CheckedUnixConnection(UnixDomainSocketConnection):
    """A connection of redis-py that checks the owner of a Unix socket's server first."""

    def _connect(self) -> socket.socket:
        opened = connect_unix(self.path, CONNECT_TIMEOUT_S, private=False)
        opened.settimeout(self.socket_timeout)
        return opened


def _options(
    url: str, deployment: DeploymentAddress, password: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return redis-py's options for the servers of a deployment, and for its sentinels.

    Raises errors.Usage for invalid options.
    """
    ours = {
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "driver_info": None,
        "retry": Retry(NoBackoff(), 0),
    }
    options: dict[str, Any] = {"password": password} if password else {}
    try:
        options |= parse_url(deployment.server)  # type: ignore[no-untyped-call]
        options |= ours
        del options["host"]
        has_tls = options.pop("connection_class", None) is SSLConnection
        options["ssl"] = has_tls
        if not has_tls and any(name.startswith("ssl_") for name in options):
            raise address.AddressProblem(
                f"TLS needs rediss+{deployment.kind}://"
            )
        sentinel_options = {
            name: value
            for name, value in options.items()
            if name in ours or name.startswith("ssl")
        }
        for name in ("username", "password"):
            if deployment.kind == "sentinel" and f"sentinel_{name}" in options:
                sentinel_options[name] = options.pop(f"sentinel_{name}")
        for each in (options, sentinel_options):
            # redis-py checks the options here, and opens nothing yet.
            client = redis.Redis(**each)
            client.connection_pool.make_connection()
    except (ValueError, TypeError, exceptions.RedisError) as error:
        raise address.invalid(url, error) from None
    sentinel_options["socket_timeout"] = CONNECT_TIMEOUT_S
    address.need_files(url, options)
    return options, sentinel_options


def _find_by_sentinels(
    deployment: DeploymentAddress, options: dict[str, Any]
) -> Callable[[str], Host]:
    """Return a function that asks one sentinel after the other for the primary.

    The one that answers is the first to be asked the next time. redis-py's own search
    reads SENTINEL MASTERS, which names the old primary until the failover is complete.
    """
    options = {
        **options,
        "decode_responses": True,
        "encoding_errors": UNREADABLE,
    }
    sentinels = list(deployment.hosts)

    def find(_key: str) -> Host:
        refusal: exceptions.RedisError | None = None
        for sentinel in tuple(sentinels):
            host, port = sentinel
            try:
                with closing(
                    redis.Redis(host=host, port=port, **options)
                ) as client:
                    primary = cast(
                        Any, client
                    ).sentinel_get_master_addr_by_name(deployment.service)
            except exceptions.AuthenticationError:
                refusal = exceptions.AuthenticationError(
                    "its sentinels need a sentinel_password"
                )
            except exceptions.RedisError as error:
                if not redis_errors.is_passing(
                    our_error(error, deployment.redacted)
                ):
                    refusal = refusal or error
            else:
                if primary:
                    sentinels.sort(key=lambda each: each != sentinel)
                    return cast("Host", primary)
        raise refusal or exceptions.ConnectionError(
            f"no sentinel answers, or none knows a primary of {deployment.service!r}"
        )

    return find


def _find_in_cluster(
    deployment: DeploymentAddress, options: dict[str, Any]
) -> Callable[[str], Host]:
    """Return a function that asks the nodes of a cluster for the one that has a key."""
    from redis.cluster import ClusterNode, RedisCluster

    hosts = list(deployment.hosts)
    options = {
        name: value
        for name, value in options.items()
        if name not in ("db", "retry")
    }

    def find(key: str) -> Host:
        # if it does not help, it is the last one next time
        hosts.append(hosts.pop(0))
        nodes = [cast(Any, ClusterNode)(host, port) for host, port in hosts]
        try:
            cluster = cast(Any, RedisCluster)(
                startup_nodes=nodes, require_full_coverage=False, **options
            )
            with closing(cluster):
                found = {
                    (node.host, node.port) for node in cluster.get_nodes()
                }
                hosts.extend(found - set(hosts))
                node = cluster.get_node_from_key(key)
        except exceptions.RedisClusterException as error:
            raise _innermost(error) from error
        if node is None:
            raise exceptions.ClusterDownError(
                "no node has the slot of this namespace"
            )
        return node.host, node.port

    return find


def _innermost(error: BaseException) -> Exception:
    """Return the cause of an error of redis-py's cluster client, which says more."""
    known = (exceptions.RedisError, errors.TaskOrchestratorError)
    cause = error.__cause__ or error.__context__
    if isinstance(cause, (*known, exceptions.RedisClusterException)):
        return _innermost(cause)
    if isinstance(error, known):
        return error
    return exceptions.ConnectionError(str(error))


def _greet_primary(connection: redis.Connection) -> None:
    """Send the greeting, and refuse a server that is too old or not the primary."""
    pieces = connection.repr_pieces()  # type: ignore[no-untyped-call]
    place = " ".join(f"{name}={value}" for name, value in pieces)
    try:
        connection.on_connect()  # type: ignore[no-untyped-call]
    except exceptions.ResponseError as error:
        if "unknown command" in str(error).lower():
            raise errors.TooOld(url=place, version="5 or older") from None
        raise
    greeting = cast("dict[str, str]", connection.handshake_metadata or {})
    if "version" in greeting:
        redis_errors.need_version(greeting["version"], place)
    if greeting.get("role", "master") != "master":
        raise exceptions.ReadOnlyError("it is not the primary any more")


def _run(client: redis.Redis, *command: Argument) -> Reply:
    return cast("Reply", client.execute_command(*command))  # type: ignore[no-untyped-call]
