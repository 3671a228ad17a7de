"""The audit log of the gateways: read by administrators, and written by gateways.

The scripts write the line of each step themselves, together with the step.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import cast

from taskorch.domain import access_token, errors, limits
from taskorch.domain.audit_line import (
    AuditFilter,
    AuditLine,
    LinePage,
    Refusal,
)
from taskorch.domain.events import FROM_THE_START
from taskorch.queue import fields as read
from taskorch.queue import keys
from taskorch.queue.fields import DamagedField, Fields, Reading, readable
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import Scripts

#: Lines that one call returns at most.
PAGE = 200
#: Maximum duration of one block. A broken connection without an error is noticed then.
PERIOD_S = 60.0
_TOKEN = r"(tok_[0-9a-f]{8})?"  # noqa: S105  the pattern of an id
_WORD = r"[a-z_]{0,32}"
_IDS = r"((item|proj|tok)_[0-9a-z]{1,32} ?)*"
_OUTCOME = r"done|[A-Z_]{1,32}"


class AuditLines:
    """The lines of a namespace."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def newest(self, wanted: AuditFilter, limit: int) -> tuple[AuditLine, ...]:
        """Return the newest lines, the newest first."""
        return self.before("", wanted, limit=limit).lines

    def before(
        self,
        cursor: str,
        wanted: AuditFilter,
        *,
        limit: int,
        most_calls: int | None = None,
    ) -> LinePage:
        """Return the next lines before a cursor, "" for the end; the newest first.

        Each call looks at a bounded number of lines, and there are at most `most_calls`.
        """
        limits.number(limit, "limit", 1, limits.LARGEST)
        found: list[AuditLine] = []
        has_more, calls = True, 0
        while has_more and len(found) < limit and calls != most_calls:
            page = self._page("before", cursor, wanted, limit - len(found))
            found += page.lines
            cursor, has_more = page.cursor, page.has_more
            calls += 1
        return LinePage(lines=tuple(found), cursor=cursor, has_more=has_more)

    def after(self, cursor: str, wanted: AuditFilter) -> LinePage:
        """Return the next lines after a cursor, the oldest first."""
        return self._page("after", cursor, wanted, PAGE)

    def follow(
        self,
        wanted: AuditFilter,
        through_outages: Callable[[Callable[[], LinePage]], LinePage],
    ) -> Iterator[AuditLine]:
        """Yield the wanted lines, the oldest first, and then new ones as they come.

        It never ends. `through_outages` repeats a read while Redis is unreachable.
        """
        page = through_outages(partial(self.after, "", wanted))
        while True:
            yield from page.lines
            read = self.after if page.has_more else self._wait_for_more
            page = through_outages(partial(read, page.cursor, wanted))

    def _wait_for_more(self, cursor: str, wanted: AuditFilter) -> LinePage:
        log = keys.audit_log(self._scripts.namespace)
        start = cursor or FROM_THE_START
        self._scripts.wait_for_entry(log, start, PERIOD_S)
        return self.after(cursor, wanted)

    def note(self, refusals: Mapping[Refusal, int]) -> None:
        """Write the lines of calls that a gateway refused, with their numbers."""
        words: list[Argument] = []
        for refusal, count in refusals.items():
            words += [
                refusal.token, refusal.name, refusal.role, refusal.verb, refusal.outcome, refusal.address, count,
            ]  # fmt: skip
        self._scripts.run_script("note_refusals", *words)

    def _page(
        self, direction: str, cursor: str, wanted: AuditFilter, limit: int
    ) -> LinePage:
        reply = self._scripts.run_script(
            "audit_log",
            direction,
            limits.cursor(cursor) if cursor else "",
            _token(wanted.token),
            limits.name(wanted.name, "a token") if wanted.name else "",
            wanted.verb,
            limits.number(wanted.since_ms, "age in ms", 0, limits.LONGEST_MS)
            or "",
            min(limit, PAGE),
        )
        last, more, entries = cast("tuple[str, str, list[Reply]]", reply)
        return LinePage(
            lines=readable(_line, entries, self._scripts.damage),
            cursor=last,
            has_more=bool(more),
        )


def _token(id_: str) -> str:
    """Return the id of a token, which may have been revoked. Raises NoAccessToken."""
    if id_ and not access_token.is_id(id_):
        raise errors.NoAccessToken(access_token=limits.shortened(id_))
    return id_


def _line(view: Reply) -> AuditLine:
    cursor, fields = read.entry(view)
    with Reading("line of the audit log", cursor):
        return AuditLine(
            cursor=cursor,
            at=int(cursor.partition("-")[0]),
            token=_matching(_TOKEN, fields, "token"),
            name=read.agent_name(fields, "name"),
            role=_matching(_WORD, fields, "role"),
            caller=read.agent_name(fields, "as"),
            verb=_matching(_WORD, fields, "verb"),
            ids=tuple(_matching(_IDS, fields, "ids").split()),
            outcome=_matching(_OUTCOME, fields, "outcome"),
            address=fields.get("address", ""),
            count=read.number(fields, "count", 1),
        )


def _matching(pattern: str, fields: Fields, name: str) -> str:
    """Return a field that matches a pattern."""
    if not re.fullmatch(pattern, fields[name]):
        raise DamagedField(name)
    return fields[name]
