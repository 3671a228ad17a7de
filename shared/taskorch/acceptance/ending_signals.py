"""The signals that end a program while it runs a check: it ends the check first."""

import signal
from threading import current_thread, main_thread
from types import FrameType, TracebackType

#: The signals that end a program, and the usual handler of each.
ENDING = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class EndingSignals:
    """A block in which a signal that ends the program raises an exception.

    Signals are handled in the main thread only; those that the program handles itself
    stay as they are. If our starter ignores SIGCHLD, the block does not: exit statuses
    would be lost.
    """

    def __init__(self) -> None:
        self._before: dict[signal.Signals, object] = {}
        self._is_held = False
        self._held: int | None = None

    def __enter__(self) -> None:
        """Handle the signals."""
        if current_thread() is not main_thread():
            return
        for number, usual in ENDING.items():
            if signal.getsignal(number) is usual:
                self._before[number] = signal.signal(number, self._handle)
        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            self._before[signal.SIGCHLD] = signal.signal(
                signal.SIGCHLD, signal.SIG_DFL
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the handlers."""
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Keep a signal that arrives from now on for `release`."""
        self._is_held = True

    def release(self) -> None:
        """Raise the exception of a signal that has arrived since `hold`."""
        self._is_held = False
        if self._held is not None:
            number, self._held = self._held, None
            raise _exception_of(number)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if not self._is_held:
            raise _exception_of(number)
        self._held = number


def _exception_of(number: int) -> BaseException:
    if number == signal.SIGINT:
        return KeyboardInterrupt()
    return SystemExit(128 + number)
