"""The ids of requests. Redis keeps the first reply of an id, so a repeat acts once."""

import os
from contextlib import suppress

from taskorch.domain.errors import RootNotWritable
from taskorch.queue.port import CLIENT, REPEAT, RequestStore


class KeptRequest:
    """Keeps the id of an unanswered call in memory, for its repeat: a `RequestStore`."""

    def __init__(self) -> None:
        self._request = ""

    def take(self, step: tuple[str, ...]) -> str:  # noqa: ARG002
        """Return and forget the id, or ""."""
        request, self._request = self._request, ""
        return request

    def keep(self, step: tuple[str, ...], request: str) -> None:  # noqa: ARG002
        """Keep an id."""
        self._request = request


class Requests:
    """The request ids of a queue: by default, a new one for each call.

    With a `store`, they are those of a command that makes one step. The step is the
    first script that acts; `pop --wait` calls it several times. If Redis does not
    answer it, or the user interrupts it, its id is kept in the store. The next run of
    the command takes that id for its first call. A command of several steps must be
    safe to rerun without a store.

    With an `access_token`, its id, the calls are steps of the client of that token.
    """

    def __init__(
        self,
        *,
        same: str = "",
        store: RequestStore | None = None,
        access_token: str = "",
    ) -> None:
        """With `same`, all calls have that id, and act once."""
        #: Whether all calls have the same id.
        self.is_one = bool(same)
        #: Whether a repeat of all steps has the same ids, and must do nothing more.
        self.is_repeatable = self.is_one
        self._same = same
        self._store = store
        self._client = CLIENT + access_token if access_token else ""
        #: The step, once it was called.
        self._step: tuple[str, ...] = ()

    def next(self, step: tuple[str, ...], *, acts: bool) -> str:
        """Return the id for a call of a script, 16 hex digits unless it is `same`.

        The access token follows it, and the id of a repeat has a mark behind it.

        `step` is the script's name, its key, the agent and the session.
        """
        if self._same:
            return self._same
        unanswered = ""
        if self._store and acts and not self._step:
            self._step = step
            unanswered = self._store.take(step)
        if unanswered:
            return unanswered + REPEAT
        return os.urandom(8).hex() + self._client

    def keep(self, step: tuple[str, ...], request: str) -> None:
        """Keep the id of an unanswered call in the store, if the call was the step."""
        if self._store and step == self._step:
            # without write access to the root, a rerun makes a new request
            with suppress(OSError, RootNotWritable):
                self._store.keep(step, request)
