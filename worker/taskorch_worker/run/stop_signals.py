"""The signals that stop `worker run`."""

import os
import signal
from collections.abc import Callable, Mapping
from threading import Thread

#: Signal -> the number of signals that it counts for. After a closed terminal (SIGHUP),
#: no second signal will follow.
COUNTS: Mapping[int, int] = {
    signal.SIGTERM: 1,
    signal.SIGINT: 1,
    signal.SIGHUP: 2,
}


def listen(on_signal: Callable[[], object]) -> None:
    """Call `on_signal` in a thread of its own for each signal that stops the run.

    Python runs signal handlers in the main thread, and a signal that arrives just
    before that thread blocks does not wake it. So the numbers are read from a pipe.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in COUNTS:
        if number != signal.SIGHUP or not _is_ignored(number):
            signal.signal(number, lambda _number, _frame: None)
    thread = Thread(target=_read, args=[reader, on_signal], daemon=True)
    thread.start()


def _is_ignored(number: int) -> bool:
    """Return whether a signal is ignored, as SIGHUP is below nohup."""
    return signal.getsignal(number) is signal.SIG_IGN


def _read(reader: int, on_signal: Callable[[], object]) -> None:
    while number := os.read(reader, 1):
        for _ in range(COUNTS.get(number[0], 0)):
            on_signal()
