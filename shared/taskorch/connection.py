"""Settings -> a connection: redis-py behind the protocol that the queue knows."""

import re
from collections.abc import Callable, Sequence
from typing import cast

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from taskorch import address, errors
from taskorch.script import Argument, Connection, Reply, Script, ScriptError
from taskorch.settings import Settings

CONNECT_TIMEOUT_S = 3
CALL_TIMEOUT_S = 10
RETRIES = 2
OLDEST = (7, 0)

#: Redis is there, but loading, failing over, out of memory or of disk, or a replica.
_STALLED = (
    exceptions.BusyLoadingError,
    exceptions.OutOfMemoryError,
    exceptions.ReadOnlyError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
)
_REFUSING = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
_STALLED_WORDS = ("MISCONF", "NOREPLICAS", "BUSY", "OOM", "READONLY", "LOADING", "TRYAGAIN", "MASTERDOWN")
#: A host, port and database number, or the path of a socket; redis-py takes other things for database 0.
_ADDRESS = re.compile(r"rediss?://[^/?#]+(/[0-9]*)?(\?.*)?$|unix://([^/@]*@)?/.+$")
_SCRIPT_ERROR = re.compile(r"[A-Z_]+ \{")


class RedisConnection:
    """Runs scripts on one client, and waits on another that is opened only for that."""

    def __init__(self, url: str, client: redis.Redis, waiting: Callable[[float], redis.Redis]) -> None:
        """`url` is shown in errors; `waiting` makes a client whose replies may take so many seconds."""
        self._url = url
        self._client = client
        self._waiting = waiting

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run a script by its SHA1, or by its text where Redis does not know it yet."""
        try:
            try:
                return cast("Reply", self._run("EVALSHA", script.sha, 1, key, *arguments))
            except exceptions.NoScriptError:
                return cast("Reply", self._run("EVAL", script.text, 1, key, *arguments))
        except exceptions.RedisError as error:
            raise _explained(error, self._url) from error

    def _run(self, *words: Argument) -> object:
        return self._client.execute_command(*words)  # type: ignore[no-untyped-call]

    def wait(self, key: str, timeout_s: float) -> bool:
        """Take a wake token, blocking for it on a client of its own: no retries, a time limit above the wait."""
        return self._blocking(timeout_s, lambda client: client.blpop([key], timeout=max(timeout_s, 0.001)))

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream after a cursor, in the same way."""
        block_ms = max(round(timeout_s * 1000), 1)
        return self._blocking(timeout_s, lambda client: client.xread({key: cursor}, count=1, block=block_ms))

    def _blocking(self, timeout_s: float, ask: Callable[[redis.Redis], object]) -> bool:
        client = self._waiting(timeout_s + CALL_TIMEOUT_S)
        try:
            return bool(ask(client))
        except exceptions.RedisError as error:
            raise _explained(error, self._url) from error
        finally:
            client.close()

    def close(self) -> None:
        """Give the socket back."""
        self._client.close()


class OnDemandConnection:
    """A connection to the bundled server of a root, which is started when it does not answer.

    The call is made again then: its request id keeps it from acting twice, for the server had appended what it did.
    """

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        """`announce` is told, in a line for people, that the server was started."""
        self._settings = settings
        self._announce = announce
        self._connection = connect(address.of(settings), retries=0)

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run a script, on a server that is started if need be."""
        try:
            return self._connection.call(script, key, arguments)
        except errors.Unavailable:
            self._start()
            return self._connection.call(script, key, arguments)

    def wait(self, key: str, timeout_s: float) -> bool:
        """Take a wake token; False too when the server had to be started, so that the caller looks again."""
        return self._blocking(lambda: self._connection.wait(key, timeout_s))

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream, in the same way."""
        return self._blocking(lambda: self._connection.follow(key, cursor, timeout_s))

    def _blocking(self, ask: Callable[[], bool]) -> bool:
        try:
            return ask()
        except errors.Unavailable:
            self._start()
            return False

    def close(self) -> None:
        """Give the socket back; the server goes on."""
        self._connection.close()

    def _start(self) -> None:
        from taskorch import embedded

        if embedded.start(self._settings):
            self._announce(f"Started the bundled server for {self._settings.root} (orchestrate server stop ends it).")


def open_connection(settings: Settings, announce: Callable[[str], None]) -> Connection:
    """Return the connection that the settings ask for: to an address, or to the bundled server of the root."""
    return connect(settings.redis_url) if settings.redis_url else OnDemandConnection(settings, announce)


def connect(url: str, *, retries: int = RETRIES) -> RedisConnection:
    """Return a connection to `redis://`, `rediss://` or `unix://`; no socket is opened before the first call.

    A call that gets no reply is made again `retries` times. Raises errors.Usage for an address that is none.
    """

    def client(timeout_s: float, retries: int) -> redis.Redis:
        backoff = ExponentialWithJitterBackoff(base=0.05, cap=0.5)
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=timeout_s,
            retry=Retry(backoff, retries),
            redis_connect_func=_greet,
            driver_info=None,
        )

    if not _ADDRESS.match(url):
        raise _no_address(url, "")
    try:
        calling = client(CALL_TIMEOUT_S, retries)
        calling.connection_pool.make_connection()  # no socket is opened, but the options are looked at
    except (ValueError, TypeError) as error:
        raise _no_address(url, f" ({error})") from None
    return RedisConnection(address.shown(url), calling, lambda timeout_s: client(timeout_s, retries=0))


def raw_client(url: str) -> redis.Redis:
    """Return a client that decodes nothing, for libraries that bring commands of their own."""
    return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, driver_info=None)


def _no_address(url: str, why: str) -> errors.Usage:
    return errors.Usage(
        reason=f"{address.shown(url)!r} is not the address of a Redis{why}. "
        "It looks like redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket."
    )


def _greet(connection: redis.Connection) -> None:
    """Say HELLO, and refuse a server that is too old to run the scripts."""
    try:
        connection.on_connect()  # type: ignore[no-untyped-call]
    except exceptions.ResponseError as error:
        if "unknown command" in str(error).lower():
            raise errors.TooOld(url=_address(connection), version="5 or older") from None
        raise
    greeting = cast("dict[str, str]", connection.handshake_metadata or {})
    version = greeting.get("version", "")
    if version and tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise errors.TooOld(url=_address(connection), version=version)


def _address(connection: redis.Connection) -> str:
    return " ".join(f"{name}={value}" for name, value in connection.repr_pieces())  # type: ignore[no-untyped-call]


def _explained(error: exceptions.RedisError, url: str) -> Exception:
    """Return our error for one of redis-py's; a script's own comes back as it stands."""
    reason = str(error) or type(error).__name__
    if isinstance(error, _STALLED) or reason.startswith(_STALLED_WORDS):
        return errors.Stalled(url=url, reason=reason)
    if isinstance(error, _REFUSING) or "DB index" in reason:
        return errors.Refused(url=url, reason=reason)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return errors.Unreachable(url=url, reason=reason)
    if _SCRIPT_ERROR.match(reason):
        return ScriptError(reason)
    if isinstance(error, exceptions.InvalidResponse):
        return errors.Unreachable(url=url, reason=f"what answers there is not Redis ({reason})")
    return errors.TaskOrchestratorError(reason=f"Redis at {url} says: {reason}")
