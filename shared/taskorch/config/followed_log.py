"""A log that is read while it is written, across the cuts that keep it short."""

import os
from collections.abc import Iterator
from time import sleep

from taskorch.config import attempt_logs, files
from taskorch.config.attempt_logs import AttemptLog

POLL_S = 0.2
READ_BYTES = 65536


class FollowedLog:
    """A log, read from a place on until its writer ends."""

    def __init__(
        self, home: files.PathLike, log: AttemptLog, file: int, start: int
    ) -> None:
        """`file` is the open log, and `start` the number of bytes to skip."""
        self._home = home
        self._log = log
        self._file = os.dup(file)
        self._at = start

    def close(self) -> None:
        """Close the log."""
        os.close(self._file)

    def pieces(self) -> Iterator[bytes]:
        """Yield what the log has and gets, as it arrives. Raises OSError."""
        while True:
            # Both before the rest is read: nothing is written to this file afterwards.
            has_ended = not attempt_logs.is_being_written(self._file)
            newer = self._newer_file()
            while piece := os.pread(self._file, READ_BYTES, self._at):
                self._at += len(piece)
                yield piece
            if newer is not None:
                if gap := self._continue_in(newer):
                    yield attempt_logs.left_out_line(gap)
            elif has_ended:
                return
            else:
                sleep(POLL_S)

    def _newer_file(self) -> int | None:
        """Return the open file that has replaced this one, or None."""
        try:
            with attempt_logs.opened(self._home, self._log) as file:
                if os.path.sameopenfile(file, self._file):
                    return None
                return os.dup(file)
        except FileNotFoundError:  # the logs have been deleted
            return None

    def _continue_in(self, newer: int) -> int:
        """Continue in a shorter file; return the number of bytes that it lacks."""
        before = self._place()
        os.close(self._file)
        self._file = newer
        left_out, line = attempt_logs.left_out(newer)
        head = attempt_logs.HEAD_BYTES
        if before < head:
            self._at = before
            return 0
        gap = max(0, head + left_out - before)
        self._at = before + gap - left_out + line
        return gap

    def _place(self) -> int:
        """Return the place in the output, counting what was left out."""
        left_out, line = attempt_logs.left_out(self._file)
        head = attempt_logs.HEAD_BYTES
        if not left_out or self._at <= head:
            return self._at
        return max(head + left_out, self._at - line + left_out)
