"""A deployment of one server, such as fakeredis, that never fails over."""

from collections.abc import Callable

import redis
from taskorch.queue.port import UNREADABLE, Connection
from taskorch.transport.failover import FailoverConnection


class OneServer:
    """The clients of one server."""

    def __init__(
        self,
        url: str,
        client: redis.Redis,
        waiting: Callable[[float], redis.Redis],
    ) -> None:
        """`url` appears in errors; `waiting` makes a client with a timeout in seconds."""
        self.url = url
        self._client = client
        self._waiting = waiting

    def for_scripts(self, key: str) -> redis.Redis:  # noqa: ARG002  it has all keys
        """Return the one client."""
        return self._client

    def for_waiting(self, key: str, timeout_s: float) -> redis.Redis:  # noqa: ARG002
        """Return a new client."""
        return self._waiting(timeout_s)

    def forget(self) -> None:
        """Do nothing: there is no other server."""

    def close(self) -> None:
        """Close the socket."""
        self._client.close()


def by_redis_py(url: str) -> Connection:
    """Return the kind of connection that a deployment has, for one server."""

    def client(timeout_s: float = 10) -> redis.Redis:
        return redis.Redis.from_url(
            url,
            decode_responses=True,
            encoding_errors=UNREADABLE,
            socket_timeout=timeout_s,
        )

    return FailoverConnection(OneServer(url, client(), client))
