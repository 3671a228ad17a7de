"""The log of the newest attempt of an item, if `worker run` keeps it on this machine."""

import os

from taskorch.config import attempt_logs, wanted_log
from taskorch.config.attempt_logs import AttemptLog
from taskorch.config.settings import Settings
from taskorch.config.wanted_log import LogRequest
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item

#: What the board shows of a log: its end.
TAIL_BYTES = 24 * 1024
TAIL_LINES = 200


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


def read(settings: Settings, item: Item) -> ShownLog | None:
    """Return the log of the newest attempt in the root of this process.

    None for an item that no agent has claimed.
    """
    if not item.token:
        return None
    request = LogRequest(item=item.id)
    try:
        log, _ = wanted_log.find(settings, request, lambda: item)
        return _shown(settings, log)
    except errors.NoLog:
        return ShownLog(missing=_missing(item))
    except errors.Invalid as error:
        return ShownLog(missing=str(error))


def _shown(settings: Settings, log: AttemptLog) -> ShownLog:
    with wanted_log.opened(settings, log) as file:
        running = attempt_logs.is_being_written(file)
        size = os.fstat(file).st_size
        start = max(log.heading.size, size - TAIL_BYTES)
        printed = os.pread(file, TAIL_BYTES, start)
    tail_start = wanted_log.start_of_tail(printed, TAIL_LINES)
    heading = log.heading
    return ShownLog(
        attempt=str(log.name),
        writer=f"{heading.agent} on {heading.host}" if heading.token else "",
        began_at=heading.began_at,
        tail=printed[tail_start:].decode(errors="replace").rstrip("\n"),
        is_cut=start > log.heading.size or tail_start > 0,
        is_running=running,
    )


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
