"""Settings -> a connection: redis-py behind the protocol that the queue knows."""

from collections.abc import Callable, Sequence
from time import monotonic, sleep
from typing import Any, TypeVar, cast

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff

from taskorch import address, errors
from taskorch.clients import CALL_TIMEOUT_S, Clients, clients
from taskorch.failures import explained, passes
from taskorch.script import Argument, Connection, Reply, Script
from taskorch.settings import Settings

RETRIES = 2
WAIT_TIMEOUT_MS = 2000
#: The verbs that wait for replicas, where that is asked for: what a user must not have to say twice.
REPLICATED = frozenset({"project", "create", "assign", "complete", "complete_project"})

Result = TypeVar("Result")


class RedisConnection:
    """Runs scripts on one client, and waits on another that is opened only for that.

    Where servers take over from each other, a call is made again until the one that has the namespace now answers it.
    """

    def __init__(self, clients: Clients, *, wait_replicas: int = 0, wait_timeout_ms: int = WAIT_TIMEOUT_MS) -> None:
        """With `wait_replicas`, some verbs wait so long for so many replicas to have what they did."""
        self._clients = clients
        self._wait_replicas = wait_replicas
        self._wait_timeout_ms = wait_timeout_ms

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run a script by its SHA1, or by its text where Redis does not know it yet.

        Raises errors.NotReplicated, too, when it is done and replicas lack it.
        """
        return self._patiently(lambda: self._run(self._clients.calling(key), script, key, arguments))

    def _run(self, client: redis.Redis, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        run = self._replicated if self._wait_replicas and script.name in REPLICATED else _executed
        try:
            return cast("Reply", run(client, "EVALSHA", script.sha, 1, key, *arguments))
        except exceptions.NoScriptError:
            return cast("Reply", run(client, "EVAL", script.text, 1, key, *arguments))

    def _replicated(self, client: redis.Redis, *words: Argument) -> object:
        """Send a command and WAIT in one go: on one connection, because WAIT is only about the writes of its own."""
        with cast(Any, client).pipeline(transaction=False) as pipeline:
            pipeline.execute_command(*words)
            pipeline.execute_command("WAIT", self._wait_replicas, self._wait_timeout_ms)
            reply, reached = pipeline.execute(raise_on_error=False)
        if isinstance(reply, Exception):
            raise reply
        if isinstance(reached, exceptions.RedisError) and passes(reached) and self._clients.patience_s:
            raise reached  # it stopped being the primary: the next one answers the repeat
        if not isinstance(reached, int) or reached < self._wait_replicas:
            counted = isinstance(reached, int)
            raise errors.NotReplicated(
                reached=reached if counted else 0,
                wanted=self._wait_replicas,
                reason=f"that is after {self._wait_timeout_ms} ms" if counted else str(reached),
            )
        return reply

    def wait(self, key: str, timeout_s: float) -> bool:
        """Take a wake token, blocking for it on a client of its own: no retries, a time limit above the wait."""
        return self._blocking(key, timeout_s, lambda client: client.blpop([key], timeout=max(timeout_s, 0.001)))

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream after a cursor, in the same way."""
        block_ms = max(round(timeout_s * 1000), 1)
        return self._blocking(key, timeout_s, lambda client: client.xread({key: cursor}, count=1, block=block_ms))

    def _blocking(self, key: str, timeout_s: float, ask: Callable[[redis.Redis], object]) -> bool:
        """Ask on a client of its own; False, too, when a failover or a reshard broke it off: the caller looks again."""
        client = self._patiently(lambda: self._clients.waiting(key, timeout_s + CALL_TIMEOUT_S))
        try:
            return bool(ask(client))
        except exceptions.RedisError as error:
            if not self._clients.patience_s or not passes(error):
                raise explained(error, self._clients.url) from error
            self._clients.forget()
            return False
        finally:
            client.close()

    def _patiently(self, act: Callable[[], Result]) -> Result:
        """Do what may be done twice, and again while a failover or a reshard may explain that it fails."""
        failures, deadline = 0, monotonic() + self._clients.patience_s
        pause = ExponentialWithJitterBackoff(base=0.05, cap=0.5)
        while True:
            try:
                return act()
            except exceptions.RedisError as error:
                passing = passes(error)
                if passing:
                    self._clients.forget()
                if not passing or monotonic() >= deadline:
                    raise explained(error, self._clients.url) from error
            failures += 1
            sleep(pause.compute(failures))

    def close(self) -> None:
        """Give the socket back."""
        self._clients.close()


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
    """Return the connection that the settings ask for: to an address, or to the bundled server of the root.

    Raises errors.Usage for an address that is none, and where replicas are waited for that cannot be there.
    """
    if settings.wait_replicas and not settings.redis_url:
        raise errors.Usage(
            reason="wait_replicas is set, and the bundled server has no replicas: name a Redis that has."
        )
    return connect_to(settings) if settings.redis_url else OnDemandConnection(settings, announce)


def connect_to(settings: Settings) -> RedisConnection:
    """Return a connection to the address of the settings, or to the bundled server, which is not started."""
    return connect(
        address.of(settings),
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
) -> RedisConnection:
    """Return a connection to one server, to the primary behind sentinels or to a cluster; it is opened by a call.

    `url` is `redis://`, `rediss://`, `unix://`, `redis+sentinel://host:port,host:port/service/db` or
    `redis+cluster://host:port,host:port` (`rediss+` with TLS); `password` serves one that has none of its own.
    With `wait_replicas`, what a user must not have to say twice waits so long for so many replicas to have it, else it
    raises errors.NotReplicated. A call to one server that gets no reply is made again `retries` times; one to a
    deployment of many follows a failover. Raises errors.Usage for an address that is none.
    """
    longer_s = wait_timeout_ms / 1000 if wait_replicas else 0
    source = clients(url, password, retries=retries, longer_s=longer_s)
    return RedisConnection(source, wait_replicas=wait_replicas, wait_timeout_ms=wait_timeout_ms)


def _executed(client: redis.Redis, *words: Argument) -> object:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
