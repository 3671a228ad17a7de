"""The outcome of a command for its item: completed, failed or released."""

import json
import os
import signal
import stat
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

from taskorch_worker.run.launcher import RELEASES

#: Room for the largest deliverables and summary, with each byte escaped.
RESULT_BYTES = 6 * (limits.DELIVERABLES_BYTES + limits.TEXT_BYTES)


class CommandExit(Frozen):
    """How a command's process ended."""

    #: The exit status, or minus the number of the signal that killed it.
    status: int
    #: The end of its output.
    stdout: str
    stderr: str


class AttemptEnd(StrEnum):
    """How an attempt ended for its item; the value is the `event` in the log."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    #: The command has asked a question, and the item waits for the answer.
    BLOCKED = "blocked"
    #: The lease is lost: another agent may hold the item.
    LOST = "lost"
    CANCELLED = "cancelled"
    #: Redis was unreachable at the end of the run; the lease expires by itself.
    UNSAID = "unsaid"


class Outcome(Frozen):
    """The report that settles an item."""

    #: COMPLETED, FAILED or RELEASED.
    end: AttemptEnd
    #: The summary or the reason.
    text: str
    deliverables: Mapping[str, str]
    #: The reason why the result file is not valid, or "".
    remark: str


def _with_text_values(value: object) -> object:
    """Return deliverables with every value that is not text as JSON."""
    if not isinstance(value, dict):
        return value
    return {
        name: each
        if isinstance(each, str)
        else json.dumps(each, ensure_ascii=False)
        for name, each in value.items()
    }


class ResultFile(BaseModel):
    """The content of a result file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str = ""
    deliverables: Annotated[
        dict[str, str], BeforeValidator(_with_text_values)
    ] = {}


def of_exit(command_exit: CommandExit, result: Path) -> Outcome:
    """Return the outcome of a command that ended by itself.

    `result` is the path of the result file, which may not exist.
    """
    status = command_exit.status
    if status == 0:
        return _completed(_last_line(command_exit.stdout), _read(result))
    if status == RELEASES:
        return _outcome(AttemptEnd.RELEASED, _last_words(command_exit))
    if status < 0:
        name = signal.strsignal(-status)
        return _failed(f"killed by signal {-status} ({name})", command_exit)
    return _failed(f"exit status {status}", command_exit)


def of_timeout(command_exit: CommandExit, timeout_ms: int) -> Outcome:
    """Return the outcome of a command that was terminated at its time limit."""
    return _failed(f"timed out after {timeout_ms / 1000:g} s", command_exit)


def of_stop() -> Outcome:
    """Return the outcome of a command that was terminated with its worker."""
    return _outcome(AttemptEnd.RELEASED, "the worker was stopped")


def of_command_end(item: str) -> Outcome:
    """Return the outcome of an item that the command for another one has claimed."""
    reason = f"the command of {item}, which claimed this item, has ended"
    return _outcome(AttemptEnd.RELEASED, reason)


def of_start_failure(error: OSError) -> Outcome:
    """Return the outcome of a command that could not be started."""
    reason = f"the command could not be started: {error}"
    return _outcome(AttemptEnd.RELEASED, reason)


def _completed(last_line: str, written: str) -> Outcome:
    """Return the outcome of a command that succeeded.

    `written` is the content of its result file. If that is not valid, it becomes the
    summary as it is.
    """
    if not written.strip():
        return _outcome(AttemptEnd.COMPLETED, last_line)
    try:
        result = ResultFile.model_validate_json(written)
        summary = limits.text(result.summary, "summary").strip()
        limits.pairs(result.deliverables, "deliverables")
    except ValidationError as error:
        return _kept_as_text(written, error.errors()[0]["msg"])
    except errors.Invalid as error:
        return _kept_as_text(written, str(error))
    return _outcome(
        AttemptEnd.COMPLETED,
        summary or last_line,
        deliverables=result.deliverables,
    )


def _kept_as_text(written: str, reason: str) -> Outcome:
    remark = f"The result file is not valid and is kept as text: {reason}"
    return _outcome(AttemptEnd.COMPLETED, written.strip(), remark=remark)


def _failed(reason: str, command_exit: CommandExit) -> Outcome:
    last_words = _last_words(command_exit)
    text = f"{reason}\n{last_words}".strip()
    return _outcome(AttemptEnd.FAILED, text)


def _outcome(
    end: AttemptEnd,
    text: str,
    *,
    deliverables: Mapping[str, str] | None = None,
    remark: str = "",
) -> Outcome:
    """Return an outcome with as much of the end of the text as an item may have."""
    encoded = text.encode(errors="replace")[-limits.TEXT_BYTES :]
    return Outcome(
        end=end,
        text=encoded.decode(errors="ignore"),
        deliverables=deliverables or {},
        remark=remark,
    )


def _read(result: Path) -> str:
    """Return the content of the result file, or "" if there is no regular file."""
    try:
        descriptor = os.open(result, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, RESULT_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)


def _last_words(command_exit: CommandExit) -> str:
    """Return the end of stderr, or the last line of stdout if stderr is empty."""
    return command_exit.stderr.strip() or _last_line(command_exit.stdout)


def _last_line(text: str) -> str:
    for line in reversed(text.splitlines()):
        if line.strip():
            return line.strip()
    return ""
