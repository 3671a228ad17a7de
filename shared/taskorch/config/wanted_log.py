"""Which log of an item is wanted, and its content.

The logs are files of this root. The item, as Redis has it, tells which attempt is the
newest, and on which machine it was made.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from taskorch.config import attempt_logs
from taskorch.config.attempt_logs import AttemptLog
from taskorch.config.settings import Settings
from taskorch.domain import errors, hints
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State

WHO_KEEPS = (
    "Only worker run keeps logs: in its own root, and for at most 30 days."
)


class WantedAttempt(Frozen):
    """The attempt whose log is wanted, and its run: None for the newest."""

    attempt: int
    run: int | None = None

    def __str__(self) -> str:
        return f"{self.attempt}-{self.run}" if self.run else str(self.attempt)

    def matches(self, log: AttemptLog) -> bool:
        """Tell whether a log is of this attempt."""
        if self.run and self.run != log.name.run:
            return False
        return self.attempt == log.name.attempt


class LogRequest(Frozen):
    """The log to print, and the part of it."""

    item: str
    #: None for the newest.
    attempt: WantedAttempt | None = None
    #: The number of lines at the end, or None for all.
    tail: int | None = None
    follow: bool = False


class LogContent(Frozen):
    """The content of a log, as `--json` prints it."""

    item: str
    attempt: int
    run: int
    token: int
    agent: str
    host: str
    began_at: str
    path: str
    #: Whether the command may still print.
    running: bool
    #: The number of bytes between the beginning and the end that are not kept.
    left_out: int
    text: str


def find(
    settings: Settings, request: LogRequest, read_item: Callable[[], Item]
) -> tuple[AttemptLog, str]:
    """Return the wanted log, and a message if it may not be the newest.

    If Redis is unreachable, it is the newest of this root. Raises errors.NoLog,
    errors.Invalid for logs that cannot be read, and the errors of `read_item`.
    """
    try:
        item = read_item()
    except errors.Unavailable as error:
        logs = logs_of(settings, request.item)
        if not logs:
            raise
        log = chosen(logs, request, None, settings.root_path)
        return log, f"{error} The newest log in this root follows."
    logs = logs_of(settings, request.item)
    return chosen(logs, request, item, settings.root_path), ""


def logs_of(settings: Settings, item: str) -> Sequence[AttemptLog]:
    """Return the logs of an item in this root, the newest claim first.

    Raises errors.Invalid for logs that cannot be read.
    """
    try:
        return attempt_logs.find(settings.folder_path, item)
    except OSError as error:
        folder = error.filename or settings.folder_path
        raise _unreadable(folder, error) from None


def chosen(
    logs: Sequence[AttemptLog],
    request: LogRequest,
    item: Item | None,
    root: str,
) -> AttemptLog:
    """Return the wanted log of those in a root, the newest claim first.

    The newest attempt is that of `item`, or that of the newest log without one. Raises
    errors.NoLog.
    """
    for log in logs:
        if request.attempt and request.attempt.matches(log):
            return log
        is_newest = not item or log.heading.token >= item.token
        if not request.attempt and is_newest:
            return log
    names = ", ".join(str(log.name) for log in logs)
    raise errors.NoLog(
        item=request.item,
        reason=_reason(request, item, root),
        advice=_advice(item, names),
        logs=names,
    )


@contextmanager
def opened(settings: Settings, log: AttemptLog) -> Iterator[int]:
    """Yield a log, open for reading. Raises errors.Invalid if it cannot be read."""
    try:
        with attempt_logs.opened(settings.folder_path, log) as file:
            yield file
    except OSError as error:
        raise _unreadable(log.path, error) from None


def content(
    settings: Settings, log: AttemptLog, tail: int | None
) -> LogContent:
    """Return a log, or its last lines. Raises errors.Invalid."""
    with opened(settings, log) as file:
        running = attempt_logs.is_being_written(file)
        left_out, _ = attempt_logs.left_out(file)
        output = output_of(log, file)
    return LogContent(
        item=log.item,
        attempt=log.name.attempt,
        run=log.name.run,
        token=log.heading.token,
        agent=log.heading.agent,
        host=log.heading.host,
        began_at=log.heading.began_at,
        path=log.path,
        running=running,
        left_out=left_out,
        text=output[start_of_tail(output, tail) :].decode(errors="replace"),
    )


def output_of(log: AttemptLog, file: int) -> bytes:
    """Return the output in an open log, which is not longer than a log may be."""
    return os.pread(file, attempt_logs.LOG_BYTES, log.heading.size)


def start_of_tail(output: bytes, tail: int | None) -> int:
    """Return the start of the last lines of an output; 0 for all of it."""
    if tail is None:
        return 0
    at = len(output) - output.endswith(b"\n")
    for _ in range(tail):
        at = output.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1


def _unreadable(path: str, error: OSError) -> errors.Invalid:
    return errors.Invalid(
        reason=f"Cannot read {path}: {error.strerror or error}. Only the user of its"
        " worker run can read a log."
    )


def _reason(request: LogRequest, item: Item | None, root: str) -> str:
    if item and not item.token:
        return f"{request.item} has no log: no agent has claimed it yet."
    if request.attempt:
        return f"There is no log of attempt {request.attempt} of {request.item} in {root}."
    if where := _other_host(item):
        return (
            f"The newest attempt of {request.item} was made on {where}, and its log is"
            f" not in {root}."
        )
    return f"The newest attempt of {request.item} has no log in {root}."


def _advice(item: Item | None, names: str) -> str:
    if item and not item.token:
        if item.state is State.QUEUED:
            return f"It is queued for {item.agent}."
        return hints.STATES[item.state].format(item=item.id)
    advice = WHO_KEEPS
    if where := _other_host(item):
        advice += f" Run this command on {where}, in the root of that attempt."
    if names:
        advice += f" Logs of this item here, for --attempt: {names}"
    return advice


def _other_host(item: Item | None) -> str:
    """Return the machine of the newest attempt, if it is another one."""
    if item and item.last_host != os.uname().nodename:
        return item.last_host
    return ""
