"""Reads what the process of a command prints, even if others go on to hold its pipes."""

import os
from collections.abc import Callable, Mapping
from io import FileIO
from selectors import EVENT_READ, DefaultSelector
from threading import Thread
from typing import cast

#: As much as a pipe holds.
READ_BYTES = 65536


class OutputReader:
    """Reads pipes of a process in a thread.

    The thread reads until no process can write any more, or until it is stopped.
    """

    def __init__(
        self, pipes: Mapping[FileIO, Callable[[bytes], object]]
    ) -> None:
        """Give each piece of a pipe to its function, in the thread; b"" is the end."""
        self._pipes = pipes
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until no process can write any more."""
        self._thread.join(timeout_s)

    def stop(self) -> None:
        """Read what is in the pipes, end the thread, and close the pipes."""
        os.close(self._stop_writer)
        self._thread.join()
        for pipe in self._pipes:
            pipe.close()
        os.close(self._stop_reader)

    def _read(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._stop_reader, EVENT_READ)
            for pipe in self._pipes:
                selector.register(pipe, EVENT_READ)
            is_stopped = False
            while len(selector.get_map()) > 1 and not is_stopped:
                for ready, _ in selector.select():
                    if ready.fileobj == self._stop_reader:
                        # the rest of this round reads what the pipes hold now
                        is_stopped = True
                        continue
                    pipe = cast("FileIO", ready.fileobj)
                    piece = pipe.read(READ_BYTES)
                    self._pipes[pipe](piece)
                    if not piece:
                        selector.unregister(pipe)
