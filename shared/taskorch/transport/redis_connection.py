"""redis-py behind the protocol that the queue knows: for a Redis of many servers, where one takes over from another."""

from collections.abc import Callable, Sequence
from threading import Lock
from time import monotonic, sleep
from typing import Any, TypeVar, cast

import redis
from redis import exceptions
from redis.backoff import ExponentialWithJitterBackoff

from taskorch.queue.port import REPLICATED, WAIT_TIMEOUT_MS, Argument, Reply, Script
from taskorch.transport import redis_errors
from taskorch.transport.failover import Clients
from taskorch.transport.redis_failures import explained, passes
from taskorch.transport.socket import CALL_TIMEOUT_S

Result = TypeVar("Result")


class RedisConnection:
    """Runs scripts on one client, threads in turns, and waits on another that is opened only for that.

    Where servers take over from each other, a call is made again until the one that has the namespace now answers it.
    """

    def __init__(
        self,
        clients: Clients,
        *,
        wait_replicas: int = 0,
        wait_timeout_ms: int = WAIT_TIMEOUT_MS,
    ) -> None:
        """With `wait_replicas`, some verbs wait so long for so many replicas to have what they did."""
        self._clients = clients
        self._wait_replicas = wait_replicas
        self._wait_timeout_ms = wait_timeout_ms
        self._turn = Lock()
        #: The clients that threads wait on.
        self._waiting: set[redis.Redis] = set()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script by its SHA1, or by its text where Redis does not know it yet.

        Raises errors.NotReplicated, too, when it is done and replicas lack it.
        """
        with self._turn:
            return self._patiently(
                lambda: self._run(self._clients.calling(key), script, key, arguments)
            )

    def _run(
        self,
        client: redis.Redis,
        script: Script,
        key: str,
        arguments: Sequence[Argument],
    ) -> Reply:
        run = (
            self._replicated
            if self._wait_replicas and script.name in REPLICATED
            else _executed
        )
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
        if (
            isinstance(reached, exceptions.RedisError)
            and passes(reached)
            and self._clients.patience_s
        ):
            raise reached  # it stopped being the primary: the next one answers the repeat
        redis_errors.need_replicas(
            reached, ("WAIT", self._wait_replicas, self._wait_timeout_ms)
        )
        return reply

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token, blocking for it on a client of its own: no retries, a time limit above the wait."""
        return self._blocking(
            key,
            timeout_s,
            lambda client: client.blpop([key], timeout=max(timeout_s, 0.001)),
        )

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream after a cursor, in the same way."""
        block_ms = max(round(timeout_s * 1000), 1)
        return self._blocking(
            key,
            timeout_s,
            lambda client: client.xread({key: cursor}, count=1, block=block_ms),
        )

    def _blocking(
        self, key: str, timeout_s: float, ask: Callable[[redis.Redis], object]
    ) -> bool:
        """Ask on a client of its own; False, too, when a failover or a reshard broke it off: the caller looks again."""
        client = self._patiently(
            lambda: self._clients.waiting(key, timeout_s + CALL_TIMEOUT_S)
        )
        self._waiting.add(client)
        try:
            return bool(ask(client))
        except exceptions.RedisError as error:
            if not self._clients.patience_s or not passes(error):
                raise explained(error, self._clients.url) from error
            self._clients.forget()
            return False
        finally:
            self._waiting.discard(client)
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
        """Give the socket back, unless a call uses it; a wait of another thread breaks off, as in an outage."""
        for client in tuple(self._waiting):
            client.close()
        if self._turn.acquire(
            blocking=False
        ):  # else a call is under way, and gets its reply: what it took would be lost with the socket
            self._clients.close()
            self._turn.release()


def _executed(client: redis.Redis, *words: Argument) -> object:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]
