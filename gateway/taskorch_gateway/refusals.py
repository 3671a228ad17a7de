"""Lines of the audit log about calls that the gateway refused before any script ran.

They are collected for a second, and bounded: refused calls cost a client nothing, and
must not push what happened out of the log.
"""

import json
import logging
import os
from asyncio import Event, timeout
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.audit_line import Refusal
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Caller
from taskorch.queue.port import REPEAT, Connection
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests

from taskorch_gateway.following import OutageLog
from taskorch_gateway.pool import NAME, ConnectionPool

_log = logging.getLogger(__name__)
PERIOD_S = 1.0
#: Maximum number of lines of one process in a minute. The calls beyond it are counted in
#: one line for each error.
LINES_A_MINUTE = 60
MINUTE_S = 60.0


class Refusals:
    """The refused calls of one process that are not written yet."""

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        self._namespace = settings.namespace
        self._pool = pool
        self._noted: Counter[Refusal] = Counter()
        #: What is being written, until Redis has replied.
        self._unwritten: _Lines | None = None
        self._outages = OutageLog("write the audit log")
        self._lines_left = LINES_A_MINUTE
        self._minute_began = monotonic()
        self._ended = Event()

    def note(
        self,
        word: str,
        address: str,
        *,
        access: ClientAccess | None = None,
        token: str = "",
        verb: str = "",
    ) -> None:
        """Note a refused call, with the word of its error.

        `token` is the id of a token whose secret was wrong, or that has expired.
        """
        refusal = Refusal(
            token=access.token if access else token,
            name=access.name if access else "",
            role=access.role if access else "",
            verb=verb,
            outcome=word,
            address=address,
        )
        if refusal not in self._noted and not self._has_line():
            refusal = Refusal(
                token="", name="", role="", verb="", outcome=word, address=""
            )
        self._noted[refusal] += 1

    async def write_until_end(self) -> None:
        """Write what was noted, once a second, and what is left at the end.

        What Redis does not take then is lost.
        """
        while not self._ended.is_set():
            with suppress(TimeoutError):
                async with timeout(PERIOD_S):
                    await self._ended.wait()
            await self.write()
        # Redis answers, and more may have been noted meanwhile
        if self._unwritten is None:
            await self.write()

    def end(self) -> None:
        """Let the writing end."""
        self._ended.set()

    async def write(self) -> None:
        """Write what was noted; keep it while Redis is unreachable.

        Lines without a reply are written again under the same request id, so once.
        """
        lines = self._unwritten
        if lines is None:
            if not self._noted:
                return
            lines = _Lines(refused=self._noted, request=os.urandom(8).hex())
            self._noted = Counter()
        self._unwritten = lines.repeated()
        try:
            await self._pool.run(
                lambda connection: self._note(connection, lines)
            )
        except errors.TaskOrchestratorError as error:
            self._outages.note(error)
            return
        self._outages.note(None)
        self._unwritten = None
        for refusal, count in lines.refused.items():
            _log.info("refused %s", _line(refusal, count))

    def _note(self, connection: Connection, lines: "_Lines") -> None:
        queue = Queue(
            connection,
            self._namespace,
            Caller(agent=NAME),
            requests=Requests(same=lines.request),
        )
        queue.audit_log().note(lines.refused)

    def _has_line(self) -> bool:
        """Take a line of this minute, and return whether there was one left.

        While Redis is unreachable, no more than those of one minute wait for it.
        """
        if monotonic() - self._minute_began >= MINUTE_S:
            self._minute_began, self._lines_left = monotonic(), LINES_A_MINUTE
        self._lines_left -= 1
        return self._lines_left >= 0 and len(self._noted) < LINES_A_MINUTE


class _Lines(Frozen):
    """Lines that one call writes."""

    refused: Mapping[Refusal, int]
    request: str

    def repeated(self) -> "_Lines":
        """Return them for a repeat of their call."""
        return replace(
            self, request=self.request.removesuffix(REPEAT) + REPEAT
        )


def _line(refusal: Refusal, count: int) -> str:
    return json.dumps(
        {
            "token": refusal.token,
            "name": refusal.name,
            "verb": refusal.verb,
            "address": refusal.address,
            "outcome": refusal.outcome,
            "count": count,
        }
    )
