"""Lines of the audit log about calls that the gateway refused before any script ran.

They are collected for a second, and bounded: refused calls cost a client nothing, and
must not push what happened out of the log.
"""

import json
import logging
from asyncio import sleep
from collections import Counter
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.audit_line import Refusal
from taskorch.domain.item import Caller
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue

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
        self._lines_left = LINES_A_MINUTE
        self._minute_began = monotonic()

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

    async def write_forever(self) -> None:
        """Write what was noted, once a second."""
        while True:
            await sleep(PERIOD_S)
            await self.write()

    async def write(self) -> None:
        """Write what was noted; keep it while Redis is unreachable."""
        noted, self._noted = self._noted, Counter()
        if not noted:
            return
        try:
            await self._pool.run(
                lambda connection: self._note(connection, noted)
            )
        except errors.TaskOrchestratorError as error:
            _log.warning("Cannot write the audit log: %s", error)
            self._noted += noted
            return
        for refusal, count in noted.items():
            _log.info("refused %s", _line(refusal, count))

    def _note(self, connection: Connection, noted: Counter[Refusal]) -> None:
        queue = Queue(connection, self._namespace, Caller(agent=NAME))
        queue.audit_log().note(noted)

    def _has_line(self) -> bool:
        """Take a line of this minute, and return whether there was one left.

        While Redis is unreachable, no more than those of one minute wait for it.
        """
        if monotonic() - self._minute_began >= MINUTE_S:
            self._minute_began, self._lines_left = monotonic(), LINES_A_MINUTE
        self._lines_left -= 1
        return self._lines_left >= 0 and len(self._noted) < LINES_A_MINUTE


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
