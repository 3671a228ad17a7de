"""The logs that a run keeps of its commands, one for each attempt.

If a log cannot be written, the run says so once and continues.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from threading import Lock

from taskorch.config import attempt_logs, files
from taskorch.config.attempt_logs import Heading
from taskorch.domain.item import Caller, Claim

#: Logs that a run begins until it prunes the logs of the root again.
PRUNED_EVERY = 20
READ_BYTES = 1024 * 1024
#: The distance to a line start at which the end of a cut log may begin.
LINE_BYTES = 65536


class OutputLog:
    """The log of one attempt, which one thread writes."""

    def __init__(
        self, home: files.PathLike, claim: Claim, caller: Caller
    ) -> None:
        """Create it. Raises OSError."""
        item = claim.package.item
        heading = Heading(
            token=item.token,
            agent=caller.agent,
            host=caller.host,
            began_at=attempt_logs.now(),
        )
        self._home = home
        self._item = item.id
        with attempt_logs.made_folder(home, item.id) as folder:
            self.name, self._file = attempt_logs.new_log(folder, item.attempts)
        self.path = attempt_logs.path_of(home, item.id, self.name)
        #: The number of bytes so far, and the size of the file.
        self._written = self._size = 0
        self.write(attempt_logs.heading_line(item.id, item.attempts, heading))

    def write(self, piece: bytes) -> None:
        """Append a piece of output, shorter than the end that is kept. Raises OSError."""
        if self._size + len(piece) > attempt_logs.LOG_BYTES:
            self._cut()
        _write_all(self._file, piece)
        self._written += len(piece)
        self._size += len(piece)

    def close(self) -> None:
        """Unlock and close it."""
        os.close(self._file)

    def _cut(self) -> None:
        """Replace the file by one with the beginning and the end of the output."""
        temporary = f".{self.name.file}{attempt_logs.TEMPORARY}"
        with attempt_logs.made_folder(self._home, self._item) as folder:
            with suppress(FileNotFoundError):  # what a killed run has left
                os.unlink(temporary, dir_fd=folder)
            shorter = attempt_logs.new_file(folder, temporary)
            try:
                size = self._copy_ends(shorter)
                os.rename(
                    temporary,
                    self.name.file,
                    src_dir_fd=folder,
                    dst_dir_fd=folder,
                )
            except BaseException:
                os.close(shorter)
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
        os.close(self._file)
        self._file, self._size = shorter, size

    def _copy_ends(self, shorter: int) -> int:
        """Copy the beginning and the end of the log; return the new size."""
        start = self._line_start(self._size - attempt_logs.TAIL_BYTES)
        tail = self._size - start
        left_out = self._written - attempt_logs.HEAD_BYTES - tail
        line = attempt_logs.left_out_line(left_out)
        _write_all(shorter, os.pread(self._file, attempt_logs.HEAD_BYTES, 0))
        _write_all(shorter, line)
        while piece := os.pread(self._file, READ_BYTES, start):
            _write_all(shorter, piece)
            start += len(piece)
        return attempt_logs.HEAD_BYTES + len(line) + tail

    def _line_start(self, at: int) -> int:
        """Return the start of the next line, or `at` if the line there is long."""
        near = os.pread(self._file, LINE_BYTES, at)
        return at + near.find(b"\n") + 1


class OutputLogs:
    """The logs of a run. Any thread may use it."""

    def __init__(
        self,
        home: files.PathLike,
        caller: Caller,
        notify: Callable[[str], object],
    ) -> None:
        """`home` is the folder `.task-orchestrator`; `notify` prints a message."""
        self._home = home
        self._caller = caller
        self._notify = notify
        self._lock = Lock()
        self._begun = 0
        self._reported: set[str] = set()

    def begin(self, claim: Claim) -> OutputLog | None:
        """Create the log of an attempt; None if that is impossible."""
        try:
            with self._lock:
                if self._begun % PRUNED_EVERY == 0:
                    attempt_logs.prune(self._home)
                self._begun += 1
            return OutputLog(self._home, claim, self._caller)
        except OSError as error:
            self.report(error)
            return None

    def report(self, error: OSError) -> None:
        """Say why output is not kept: once for each reason."""
        reason = error.strerror or str(error)
        with self._lock:
            is_known = reason in self._reported
            self._reported.add(reason)
        if not is_known:
            self._notify(
                f"The output of commands is not kept below {self._home}: {reason}."
                " The run continues."
            )


def _write_all(file: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(file, left) :]
