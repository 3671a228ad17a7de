"""The logs of the attempts of an item that `worker run` keeps on this machine.

The page of an item shows the end of the newest one. A page of its own shows all of them, a
part at a time.
"""

import os
from collections.abc import Sequence
from typing import cast

from starlette.responses import Response
from taskorch.config import attempt_logs, wanted_log
from taskorch.config.attempt_logs import AttemptLog
from taskorch.config.settings import Settings
from taskorch.config.wanted_log import LogRequest
from taskorch.domain import errors, limits
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.board.visit import (
    MAY_ACT,
    BoardPage,
    Visit,
    need_acting,
)
from taskorch_gateway.client_queue import queue_of

#: What the page of an item shows of a log: its end. And the size of a part of a log.
TAIL_BYTES = 24 * 1024
TAIL_LINES = 200
PART_BYTES = 64 * 1024
#: The longest offset that is believed.
DIGITS = 10


class ShownLog(Frozen):
    """The end of a log, or why there is none here."""

    #: The attempt, such as "2" or "2-1"; "" without a log.
    attempt: str = ""
    #: Who wrote it, and where; "" if it does not say.
    writer: str = ""
    began_at: str = ""
    tail: str = ""
    #: Whether the log has more before the tail.
    is_cut: bool = False
    is_running: bool = False
    #: Why there is no log.
    missing: str = ""
    #: The number of logs of the item here.
    count: int = 0

    @property
    def has_more(self) -> bool:
        """Whether there is more to read than the tail."""
        return self.is_cut or self.count > (0 if self.missing else 1)


class LogPart(Frozen):
    """A part of a log."""

    item: Item
    #: The attempts that have a log here, the newest claim first.
    attempts: tuple[str, ...]
    #: The attempt of this log, such as "2" or "2-1".
    attempt: str
    writer: str
    began_at: str
    is_running: bool
    text: str
    #: Where the part begins and ends in the output, and where the output ends, in bytes.
    start: int
    end: int
    size: int

    @property
    def newer(self) -> int:
        """Where the part behind this one ends."""
        return min(self.size, self.end + PART_BYTES)


class ReadLog(ToolArguments):
    """Read a part of a log. The result is a LogPart."""

    name = "board_log"
    read_only = True
    item: str
    #: Such as "2" or "2-1"; "" for the newest in this root.
    attempt: str
    #: Where the part ends, in bytes; None for the end of the log.
    before: int | None

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the part. Raises errors.NoItem and errors.NoLog."""
        item = cast("Item", queue_of(call).waits().standing(self.item).item)
        logs = wanted_log.logs_of(call.settings, item.id)
        for log in logs:
            if self.attempt in ("", str(log.name)):
                return ToolResult(self._part(call.settings, item, logs, log))
        which = limits.shortened(self.attempt)
        of = f"attempt {which} of {item.id}" if which else item.id
        raise errors.NoLog(
            item=item.id,
            reason=f"There is no log of {of} in the root of this gateway.",
            advice=wanted_log.WHO_KEEPS,
            logs="",
        )

    def _part(
        self,
        settings: Settings,
        item: Item,
        logs: Sequence[AttemptLog],
        log: AttemptLog,
    ) -> LogPart:
        heading = log.heading
        with wanted_log.opened(settings, log) as file:
            running = attempt_logs.is_being_written(file)
            size = max(0, os.fstat(file).st_size - heading.size)
            end = size if self.before is None else min(self.before, size)
            start = _start_of_part(file, heading.size, end)
            text = os.pread(file, end - start, heading.size + start)
        return LogPart(
            item=item,
            attempts=tuple(str(each.name) for each in logs),
            attempt=str(log.name),
            writer=_writer(log),
            began_at=heading.began_at,
            is_running=running,
            text=text.decode(errors="replace"),
            start=start,
            end=end,
            size=size,
        )


def read(settings: Settings, item: Item) -> ShownLog | None:
    """Return the log of the newest attempt in the root of this process.

    None for an item that no agent has claimed.
    """
    if not item.token:
        return None
    request = LogRequest(item=item.id)
    try:
        logs = wanted_log.logs_of(settings, item.id)
    except errors.Invalid as error:
        return ShownLog(missing=str(error))
    try:
        log = wanted_log.chosen(logs, request, item, settings.root_path)
        return _shown(settings, log, len(logs))
    except errors.NoLog:
        return ShownLog(missing=_missing(item), count=len(logs))
    except errors.Invalid as error:
        return ShownLog(missing=str(error))


def may_read(access: ClientAccess) -> bool:
    """Return whether a client may read the files of this machine."""
    return access.role in MAY_ACT and not access.project


async def show(visit: Visit) -> Response:
    """Show a part of a log. Raises errors.NotAllowed."""
    need_acting(visit.access)
    if not may_read(visit.access):
        raise errors.NotAllowed(reason="it is confined to a project.")
    read_log = ReadLog(
        item=visit.word("id"),
        attempt=visit.query("attempt"),
        before=_offset(visit.query("before")),
    )
    part = cast("LogPart", await visit.ask(read_log))
    return visit.page("item/log.html", part=part, item=part.item)


def _shown(settings: Settings, log: AttemptLog, count: int) -> ShownLog:
    with wanted_log.opened(settings, log) as file:
        running = attempt_logs.is_being_written(file)
        size = os.fstat(file).st_size
        start = max(log.heading.size, size - TAIL_BYTES)
        printed = os.pread(file, TAIL_BYTES, start)
    tail_start = wanted_log.start_of_tail(printed, TAIL_LINES)
    return ShownLog(
        attempt=str(log.name),
        writer=_writer(log),
        began_at=log.heading.began_at,
        tail=printed[tail_start:].decode(errors="replace").rstrip("\n"),
        is_cut=start > log.heading.size or tail_start > 0,
        is_running=running,
        count=count,
    )


def _writer(log: AttemptLog) -> str:
    heading = log.heading
    return f"{heading.agent} on {heading.host}" if heading.token else ""


def _start_of_part(file: int, heading: int, end: int) -> int:
    """Return where a part begins that ends somewhere: with a line, if it has several."""
    start = max(0, end - PART_BYTES)
    if not start:
        return 0
    # the byte in front tells whether a line begins here
    found = os.pread(file, end - start, heading + start - 1).find(b"\n")
    return start + found if found >= 0 else start


def _offset(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) <= DIGITS
    return int(text) if is_number else None


def _missing(item: Item) -> str:
    """Return where the log may be: only the root of its worker has it."""
    if item.last_host and item.last_host != os.uname().nodename:
        return (
            f"The newest attempt was made on {item.last_host}, and worker run keeps its "
            "log there."
        )
    return (
        "The newest attempt has no log in the root of this gateway: worker run keeps "
        "logs in its own root, for at most 30 days."
    )


PAGES = (BoardPage(path="/items/{id}/log", show=show, entry="items"),)
