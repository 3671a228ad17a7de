"""The output of a command: all of it in the log of the attempt, its end in memory."""

from taskorch_worker.run.output_log import OutputLog, OutputLogs
from taskorch_worker.run.stream import Stream
from taskorch_worker.run.tee import TeeLines

#: The output that is kept in memory: the end of stdout, which may be the report of an
#: agent program, and the end of both streams together.
STDOUT_BYTES, END_BYTES = 1024 * 1024, 16_384


class Tail:
    """The last bytes of a stream. It needs at most twice their memory."""

    def __init__(self, kept_bytes: int) -> None:
        self._kept_bytes = kept_bytes
        self._kept = bytearray()
        #: Whether nothing is missing.
        self.is_whole = True

    def add(self, piece: bytes) -> None:
        """Add what follows."""
        self._kept += piece
        if len(self._kept) > 2 * self._kept_bytes:
            self._shorten()

    def text(self) -> str:
        """Return the last bytes as text."""
        self._shorten()
        return self._kept.decode(errors="replace")

    def _shorten(self) -> None:
        excess = len(self._kept) - self._kept_bytes
        if excess > 0:
            del self._kept[:excess]
            self.is_whole = False


class AttemptOutput:
    """The output of one attempt, in the order in which it arrives."""

    def __init__(
        self,
        logs: OutputLogs,
        log: OutputLog | None,
        tee: TeeLines | None = None,
    ) -> None:
        """Write to the log and to the tee, if there are any."""
        self._logs = logs
        self._log = log
        self._tee = tee
        self.stdout = Tail(STDOUT_BYTES)
        self.end = Tail(END_BYTES)
        #: The path of the log, or "".
        self.log_path = log.path if log else ""

    def write(self, stream: Stream, piece: bytes) -> None:
        """Take a piece of a stream. A log that fails is closed."""
        if stream is Stream.STDOUT:
            self.stdout.add(piece)
        self.end.add(piece)
        if self._log:
            try:
                self._log.write(piece)
            except OSError as error:
                self._logs.report(error)
                self._close_log()
        if self._tee:
            self._tee.write(stream, piece)

    def close(self) -> None:
        """Close the log, and print what the tee has left."""
        self._close_log()
        if self._tee:
            self._tee.close()

    def _close_log(self) -> None:
        if self._log:
            self._log.close()
            self._log = None
