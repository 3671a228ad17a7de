"""The bound on the open requests of one access token, or of strangers, in one process.

A wait or a stream has a connection for as long as its client likes. Without the bound,
one token could have all connections of a process, and lock the others out; and so could
a stranger who sends the body of a form byte by byte.
"""

from asyncio import Task, current_task
from collections import Counter
from typing import Any, cast

from taskorch.domain import errors

#: One token has at most this part of what a process can have open.
PARTS = 4
REQUESTS = "open requests of one access token in a process"
#: When a refused client is to try again: places become free all the time, because waits
#: end.
RETRY_AFTER_S = 2


class OpenRequests:
    """Counts the requests of each token that are not over yet."""

    def __init__(self, all_tokens: int, what: str = REQUESTS) -> None:
        """Allow each token its part of what all tokens together may have open.

        `what` names them in the error.
        """
        self._most = max(1, all_tokens // PARTS)
        self._what = what
        self._open: Counter[str] = Counter()

    def add(self, token: str) -> None:
        """Count the request that runs, until its task ends, however it does.

        Raises errors.RateLimited.
        """
        if self._open[token] >= self._most:
            raise errors.RateLimited(
                url="",
                calls=self._most,
                what=self._what,
                seconds=RETRY_AFTER_S,
            )
        self._open[token] += 1

        def forget(_: Task[Any]) -> None:
            self._open[token] -= 1
            if not self._open[token]:
                del self._open[token]

        cast("Task[Any]", current_task()).add_done_callback(forget)
