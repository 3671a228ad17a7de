"""What the end of a command means for its item: it is completed, failed or released, and with which words."""

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

#: Room for deliverables and a summary, each byte of them escaped.
RESULT_BYTES = 6 * (limits.DELIVERABLES_BYTES + limits.TEXT_BYTES)


class CommandExit(Frozen):
    """How a process ended: its exit status, or minus the signal that killed it, and what it said last."""

    status: int
    stdout: str
    stderr: str


class AttemptEnd(StrEnum):
    """What becomes of an item, as far as a run is concerned; the first three by what is said of it."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    #: The command has asked something; the item waits for the answer.
    BLOCKED = "blocked"
    #: It is another's now, or nobody's.
    LOST = "lost"
    CANCELLED = "cancelled"
    #: The run was ended while Redis was away; the lease runs out.
    UNSAID = "unsaid"


class Outcome(Frozen):
    """What is said of an item when its command has ended."""

    end: AttemptEnd
    #: The summary, or the reason.
    text: str
    deliverables: Mapping[str, str]
    #: What is wrong with the result file, or "".
    remark: str


def _in_text(value: object) -> object:
    """Return deliverables with what is no text as JSON."""
    if not isinstance(value, dict):
        return value
    return {
        name: each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
        for name, each in value.items()
    }


class ResultFile(BaseModel):
    """What a command may write into its result file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    summary: str = ""
    deliverables: Annotated[dict[str, str], BeforeValidator(_in_text)] = {}


def of_end(ended: CommandExit, result: Path) -> Outcome:
    """Return what the end of a command means, by its exit status; `result` is a file that it may have written."""
    if ended.status == 0:
        return _completed(_last_line(ended.stdout), _read(result))
    if ended.status == RELEASES:
        return _meaning(AttemptEnd.RELEASED, _said(ended))
    return _meaning(AttemptEnd.FAILED, _with(_exit(ended.status), ended))


def of_timeout(ended: CommandExit, timeout_ms: int) -> Outcome:
    """Return what it means that a command was stopped because it took too long."""
    return _meaning(
        AttemptEnd.FAILED, _with(f"timed out after {timeout_ms / 1000:g} s", ended)
    )


def of_stop() -> Outcome:
    """Return what it means that a command was stopped because its worker was."""
    return _meaning(AttemptEnd.RELEASED, "the worker was stopped")


def of_no_start(error: OSError) -> Outcome:
    """Return what it means that a command could not be started."""
    return _meaning(AttemptEnd.RELEASED, f"the command could not be started: {error}")


def _meaning(
    end: AttemptEnd,
    text: str,
    *,
    deliverables: Mapping[str, str] | None = None,
    remark: str = "",
) -> Outcome:
    return Outcome(
        end=end, text=_fitting(text), deliverables=deliverables or {}, remark=remark
    )


def _completed(last_line: str, written: str) -> Outcome:
    if not written.strip():
        return _meaning(AttemptEnd.COMPLETED, last_line)
    try:
        result = ResultFile.model_validate_json(written)
        summary = limits.text(result.summary, "summary").strip() or last_line
        limits.pairs(result.deliverables, "deliverables")
    except (errors.Invalid, ValidationError) as error:
        reason = (
            error.errors()[0]["msg"]
            if isinstance(error, ValidationError)
            else str(error)
        )
        return _meaning(
            AttemptEnd.COMPLETED,
            written.strip(),
            remark=f"Its result file is kept as text: {reason}",
        )
    return _meaning(AttemptEnd.COMPLETED, summary, deliverables=result.deliverables)


def _read(result: Path) -> str:
    """Return what stands in the result file; "" where there is none, or something else than a file."""
    try:
        descriptor = os.open(result, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return (
            os.read(descriptor, RESULT_BYTES).decode(errors="replace")
            if is_file
            else ""
        )
    finally:
        os.close(descriptor)


def _exit(status: int) -> str:
    return (
        f"exit status {status}"
        if status > 0
        else f"killed by signal {-status} ({signal.strsignal(-status)})"
    )


def _with(reason: str, ended: CommandExit) -> str:
    return f"{reason}\n{_said(ended)}".strip()


def _said(ended: CommandExit) -> str:
    """Return what it said last: on stderr, else on stdout."""
    return ended.stderr.strip() or _last_line(ended.stdout)


def _last_line(text: str) -> str:
    return next(
        (line.strip() for line in reversed(text.splitlines()) if line.strip()), ""
    )


def _fitting(text: str) -> str:
    """Return as much of the end of a text as an item takes."""
    return text.encode(errors="replace")[-limits.TEXT_BYTES :].decode(errors="ignore")
