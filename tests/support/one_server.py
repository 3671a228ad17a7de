"""A source of clients of redis-py that know one server, whatever becomes of it: fakeredis, for one."""

from collections.abc import Callable

import redis
from taskorch.queue.port import UNREADABLE, Connection
from taskorch.transport.redis_connection import RedisConnection


class OneServer:
    """Clients of one server, whatever becomes of it."""

    patience_s = 0.0

    def __init__(
        self, url: str, client: redis.Redis, waiting: Callable[[float], redis.Redis]
    ) -> None:
        """`url` is shown in errors; `waiting` makes a client whose replies may take so many seconds."""
        self.url = url
        self._client = client
        self._waiting = waiting

    def calling(self, key: str) -> redis.Redis:  # noqa: ARG002  all keys are there
        """Return the one client."""
        return self._client

    def waiting(self, key: str, timeout_s: float) -> redis.Redis:  # noqa: ARG002
        """Return a new client."""
        return self._waiting(timeout_s)

    def forget(self) -> None:
        """Do nothing: there is no other server."""

    def close(self) -> None:
        """Give the socket back."""
        self._client.close()


def by_redis_py(url: str) -> Connection:
    """Return the connection that a Redis of many servers has: all tests run on both kinds."""

    def client(timeout_s: float = 10) -> redis.Redis:
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors=UNREADABLE,
            socket_timeout=timeout_s,
        )

    return RedisConnection(OneServer(url, client(), client))
