"""Runs the checks of an item one after the other, and returns their results."""

import os
import signal
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from threading import Event
from time import monotonic

from taskorch.acceptance.check_process import CheckProcess
from taskorch.acceptance.ending_signals import EndingSignals
from taskorch.domain.acceptance import (
    Check,
    CheckEvidence,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.frozen import replace

#: The variable with which the user of a machine lets no item run commands on it.
VARIABLE, ON = "TASKORCH_CHECKS", "on"


class CheckRunner:
    """Runs checks in a folder. Another thread may stop it."""

    def __init__(
        self,
        folder: str,
        *,
        source: str = "worker",
        watching: Callable[
            [int], AbstractContextManager[object]
        ] = nullcontext,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Run checks in `folder`, and mark the results as those of `source`.

        `watching` returns a block around each process, from its group. The runner is
        stopped when `is_stopped` returns true, too.
        """
        self._asks_to_stop = is_stopped
        self._folder = folder
        self._source = source
        self._watching = watching
        self._stopped = Event()
        self._signals = EndingSignals()

    def stop(self) -> None:
        """Terminate the running check, and begin no other."""
        self._stopped.set()

    def results(self, checks: Sequence[Check]) -> tuple[CheckEvidence, ...]:
        """Run all checks but those of deliverables, which Redis makes itself.

        Whatever fails, the others are run, too. Ctrl-C and SIGTERM terminate the
        running check.
        """
        with self._signals:
            return tuple(
                self._result(check)
                for check in checks
                if not isinstance(check, DeliverableCheck)
            )

    def _result(self, check: RunCheck | FileCheck) -> CheckEvidence:
        began_at = monotonic()
        result = (
            self._of_file(check)
            if isinstance(check, FileCheck)
            else self._of_command(check)
        )
        took_ms = int((monotonic() - began_at) * 1000)
        return replace(result, duration_ms=took_ms, source=self._source)

    def _of_file(self, check: FileCheck) -> CheckEvidence:
        problem = file_problem(self._folder, check.file)
        return CheckEvidence(check=check, passed=not problem, problem=problem)

    def _is_stopped(self) -> bool:
        return self._stopped.is_set() or self._asks_to_stop()

    def _of_command(self, check: RunCheck) -> CheckEvidence:
        if self._is_stopped():
            return _failed(check, "it was not run")
        setting = os.environ.get(VARIABLE) or ON
        if setting != ON:  # a misspelt "off" must not run anything
            return _failed(
                check, f"this machine runs none ({VARIABLE}={setting})"
            )
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            return _failed(
                check,
                "this program ignores SIGCHLD, so the exit status would be lost",
            )
        # a signal that ended us now would leave the process behind
        self._signals.hold()
        try:
            process = CheckProcess(check.run, self._folder)
        except OSError as error:
            self._signals.release()
            return _failed(
                check, f"it could not be started: {error.strerror or error}"
            )
        with self._watching(process.group):
            has_ended = False
            try:
                self._signals.release()
                has_ended = process.wait(
                    check.timeout_ms / 1000, self._is_stopped
                )
            finally:
                try:
                    if not has_ended:
                        process.terminate()
                finally:  # a second Ctrl-C ends the grace period
                    status, output = process.collect()
        if has_ended:
            return CheckEvidence(
                check=check,
                passed=status == 0,
                problem=_problem_of(status),
                exit_code=status,
                output=output,
            )
        problem = "it was stopped"
        if not self._is_stopped():
            limit = check.timeout_ms / 1000
            problem = f"it was still running after {limit:g} s"
        return _failed(check, problem, output)


def file_problem(folder: str, file: str) -> str:
    """Return why a file in a folder does not pass, or ""."""
    root = os.path.realpath(folder)
    path = os.path.realpath(os.path.join(root, file))
    if os.path.commonpath([root, path]) != root:
        return "it is outside the folder of the worker"
    try:
        found = os.stat(path)
    except OSError as error:
        return (
            "it does not exist"
            if isinstance(error, FileNotFoundError)
            else str(error.strerror)
        )
    if not stat.S_ISREG(found.st_mode):
        return "it is not a file"
    return "" if found.st_size else "it is empty"


def _failed(check: Check, problem: str, output: str = "") -> CheckEvidence:
    return CheckEvidence(
        check=check, passed=False, problem=problem, output=output
    )


def _problem_of(status: int) -> str:
    if status < 0:
        return f"killed by signal {-status} ({signal.strsignal(-status)})"
    return f"exit status {status}" if status else ""
