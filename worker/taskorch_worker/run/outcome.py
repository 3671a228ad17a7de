"""The outcome of a command for its item: completed, failed or released."""

import json
import os
import signal
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from taskorch.domain import errors, limits
from taskorch.domain.acceptance import CheckEvidence
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.usage import NONE, ModelUsage

from taskorch_worker.git import GitFailed, Work
from taskorch_worker.run import program_output
from taskorch_worker.run.launcher import RELEASES
from taskorch_worker.run.program_result import ProgramResult
from taskorch_worker.run.program_usage import bounded

#: Room for the largest deliverables and summary, with each byte escaped.
RESULT_BYTES = 6 * (limits.DELIVERABLES_BYTES + limits.TEXT_BYTES)
#: The longest end of an output in a summary, and in a report of a failure.
PARAGRAPH_BYTES, PARAGRAPH_LINES = 2000, 20
LAST_WORDS_BYTES, LAST_WORDS_LINES = 4000, 40
REFUSED = (
    "the program refused its calls of the queue ({calls}), and nothing was reported."
    " Permit them in its settings or options: orchestrate docs agents"
)


class CommandExit(Frozen):
    """How a command's process ended."""

    #: The exit status, or minus the number of the signal that killed it.
    status: int
    #: The end of what it printed to stdout, and whether that is all.
    stdout: str = ""
    stdout_is_whole: bool = True
    #: The end of what it printed, to either stream.
    printed: str = ""
    #: The path of the log with its output, or "".
    log: str = ""

    def result(self) -> ProgramResult | None:
        """Return the result that an agent program has printed, if it is one."""
        return program_output.read(self.stdout, is_whole=self.stdout_is_whole)


class Outcome(Frozen):
    """The report that settles an item."""

    #: COMPLETED, FAILED or RELEASED.
    end: AttemptEnd
    #: The summary or the reason.
    text: str
    deliverables: Mapping[str, str]
    #: The reason why the result file is not valid, or "".
    remark: str
    #: The reason for a failure instead of a completion if the command has not reported
    #: on the item, or "": the program has refused its calls of the queue.
    refusal: str = ""
    #: The results of the item's acceptance checks.
    evidence: tuple[CheckEvidence, ...] = ()
    #: What an agent program says that it has used.
    usage: ModelUsage = NONE

    @property
    def without_report(self) -> "Outcome":
        """Return the outcome of a command that has not reported on the item."""
        if not self.refusal:
            return self
        return replace(self, end=AttemptEnd.FAILED, text=self.refusal)


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
        return _of_success(command_exit, _read(result))
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


def of_refusal(
    refusal: errors.TaskOrchestratorError, log: str = ""
) -> Outcome:
    """Return the outcome of a command whose item could not be completed.

    `log` is the path of the log with the command's output, or "".
    """
    reason = "\n".join((str(refusal), *refusal.rows(), *_place_of(log)))
    return _outcome(AttemptEnd.FAILED, reason)


def of_start_failure(error: OSError) -> Outcome:
    """Return the outcome of a command that could not be started."""
    reason = f"the command could not be started: {error}"
    return _outcome(AttemptEnd.RELEASED, reason)


def of_worktree_failure(error: GitFailed) -> Outcome:
    """Return the outcome of an item for which there is no worktree."""
    reason = f"the git worktree could not be made: {error}"
    return _outcome(AttemptEnd.RELEASED, reason)


def with_usage(outcome: Outcome, command_exit: CommandExit) -> Outcome:
    """Return an outcome with what an agent program says that it has used."""
    reported = command_exit.result()
    if reported is None:
        return outcome
    return replace(outcome, usage=bounded(reported.usage))


def with_work(outcome: Outcome, work: Work) -> Outcome:
    """Return an outcome that says where the work is: in its deliverables or its text.

    Deliverables of the command with the same names stay.
    """
    if outcome.end is not AttemptEnd.COMPLETED:
        text = f"{outcome.text}\n{work.sentence()}".strip()
        return replace(outcome, text=_end_of(text, limits.TEXT_BYTES))
    deliverables = work.deliverables(outcome.deliverables)
    refusal = outcome.refusal
    if refusal:
        refusal = _end_of(f"{refusal}\n{work.sentence()}", limits.TEXT_BYTES)
    return replace(outcome, deliverables=deliverables, refusal=refusal)


def _of_success(command_exit: CommandExit, written: str) -> Outcome:
    """Return the outcome of a command with exit status 0 and its result file."""
    reported = command_exit.result()
    if reported is None:
        return _completed(_last_paragraph(command_exit.stdout), written)
    if reported.failed:
        return _failed("the program reports an error", command_exit)
    printed = reported.text.strip() or _last_paragraph(command_exit.stdout)
    completed = _completed(printed, written)
    if not reported.refused or written.strip():
        return completed
    reason = REFUSED.format(calls=", ".join(reported.refused))
    failure = _failed(reason, command_exit)
    return replace(completed, refusal=failure.text)


def _completed(printed: str, written: str) -> Outcome:
    """Return the outcome of a command that succeeded.

    `written` is the content of its result file. If that is not valid, it becomes the
    summary as it is. `printed` is the summary if the file has none.
    """
    if not written.strip():
        return _outcome(AttemptEnd.COMPLETED, printed)
    try:
        result = ResultFile.model_validate_json(written)
        summary = limits.text(result.summary, "summary").strip()
        limits.pairs(result.deliverables, "deliverables", "deliverables")
    except ValidationError as error:
        return _kept_as_text(written, error.errors()[0]["msg"])
    except errors.Invalid as error:
        return _kept_as_text(written, str(error))
    return _outcome(
        AttemptEnd.COMPLETED,
        summary or printed,
        deliverables=result.deliverables,
    )


def _kept_as_text(written: str, reason: str) -> Outcome:
    remark = f"The result file is not valid and is kept as text: {reason}"
    return _outcome(AttemptEnd.COMPLETED, written.strip(), remark=remark)


def _failed(reason: str, command_exit: CommandExit) -> Outcome:
    """Return the outcome of a failure: the reason, the end of the output, the log."""
    parts = [reason, _last_words(command_exit), *_place_of(command_exit.log)]
    return _outcome(AttemptEnd.FAILED, "\n".join(filter(None, parts)))


def _place_of(log: str) -> Sequence[str]:
    """Return a line that says where a log is; none for ""."""
    return [f"Log on {os.uname().nodename}: {log}"] if log else []


def _outcome(
    end: AttemptEnd,
    text: str,
    *,
    deliverables: Mapping[str, str] | None = None,
    remark: str = "",
) -> Outcome:
    """Return an outcome with as much of the end of the text as an item may have."""
    printable = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return Outcome(
        end=end,
        text=_end_of(printable, limits.TEXT_BYTES),
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
    """Return the message of an agent program, or else the end of the output."""
    reported = command_exit.result()
    if reported and reported.text.strip():
        return _end_of(reported.text.strip(), LAST_WORDS_BYTES)
    lines = command_exit.printed.strip().splitlines()
    return _joined(lines[-LAST_WORDS_LINES:], LAST_WORDS_BYTES)


def _last_paragraph(text: str) -> str:
    """Return the end of the lines after the last blank one."""
    paragraph: list[str] = []
    for line in reversed(text.rstrip().splitlines()):
        if not line.strip() or len(paragraph) == PARAGRAPH_LINES:
            break
        paragraph.insert(0, line)
    return _joined(paragraph, PARAGRAPH_BYTES)


def _joined(lines: Sequence[str], most_bytes: int) -> str:
    """Return the last lines that fit, or the end of one that is too long."""
    text = "\n".join(line.rstrip() for line in lines).strip()
    end = _end_of(text, most_bytes)
    if len(end) == len(text):
        return text
    _, _, whole_lines = end.partition("\n")
    return whole_lines.strip() or end


def _end_of(text: str, most_bytes: int) -> str:
    encoded = text.encode(errors="replace")[-most_bytes:]
    return encoded.decode(errors="ignore")
