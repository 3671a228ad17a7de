"""`worker run --tee`: prints the output of the commands, in whole lines.

thread of a command's output   pieces -> whole lines -> queue
thread of the tee              queue -> stdout

The queue is bounded, and what does not fit is left out: a slow reader of this output
holds up no command.
"""

from collections import deque
from threading import Condition, Thread

from taskorch_worker.run.log import RunLog
from taskorch_worker.run.stream import Stream

#: The most output that waits to be printed, and the longest line.
WAITING_BYTES, LINE_BYTES = 1024 * 1024, 16_384
#: What an entry of the queue needs beside its text.
ENTRY_BYTES = 200
#: Time to print what waits when a command has ended.
DRAIN_S = 1.0


class Tee:
    """The printer of a run's output. Any thread may use it."""

    def __init__(self, log: RunLog, *, several_slots: bool) -> None:
        """Start it. With several slots, each line names its item."""
        self._log = log
        self._names_items = several_slots
        self._changed = Condition()
        self._waiting: deque[tuple[str, Stream, bytes]] = deque()
        self._waiting_bytes = self._left_out = 0
        #: The number of entries that were added, and that were printed.
        self._added = self._printed = 0
        self._is_closed = False
        self._thread = Thread(target=self._print_all, daemon=True)
        self._thread.start()

    def add(self, item: str, stream: Stream, lines: bytes) -> None:
        """Add lines to print, or count them if too many wait."""
        size = ENTRY_BYTES + len(lines)
        with self._changed:
            if self._waiting_bytes + size > WAITING_BYTES:
                self._left_out += len(lines) + len("\n")
                return
            self._waiting.append((item, stream, lines))
            self._waiting_bytes += size
            self._added += 1
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until what was added before is printed, for a second at most."""
        with self._changed:
            added = self._added
            self._changed.wait_for(
                lambda: self._printed >= added, timeout=DRAIN_S
            )
            left_out, self._left_out = self._left_out, 0
        if left_out:
            self._log.notify(
                f"--tee has left out {left_out} bytes, because the reader of this"
                " output is slow. The log of the attempt has them."
            )

    def close(self) -> None:
        """Print what waits, and end the thread, unless its reader blocks it."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(DRAIN_S)

    def _print_all(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._waiting or self._is_closed
                )
                if not self._waiting:
                    return
                item, stream, lines = self._waiting.popleft()
            text = lines.decode(errors="replace").replace("\r\n", "\n")
            texts = text.removesuffix("\r").split("\n")
            self._log.printed(
                item, stream, texts, names_item=self._names_items
            )
            with self._changed:
                self._waiting_bytes -= ENTRY_BYTES + len(lines)
                self._printed += 1
                self._changed.notify_all()


class TeeLines:
    """The output of one command on its way to the tee, which gets whole lines."""

    def __init__(self, tee: Tee, item: str) -> None:
        self._tee = tee
        self._item = item
        self._begun = dict.fromkeys(Stream, b"")

    def write(self, stream: Stream, piece: bytes) -> None:
        """Take a piece of a stream."""
        whole, newline, begun = piece.rpartition(b"\n")
        if newline:
            self._tee.add(self._item, stream, self._begun[stream] + whole)
            self._begun[stream] = begun
        else:
            self._begun[stream] += piece
        if len(self._begun[stream]) > LINE_BYTES:
            self._end_line(stream)

    def close(self) -> None:
        """Print the lines without an end, and wait for the tee."""
        for stream in Stream:
            if self._begun[stream]:
                self._end_line(stream)
        self._tee.drain()

    def _end_line(self, stream: Stream) -> None:
        self._tee.add(self._item, stream, self._begun[stream])
        self._begun[stream] = b""
