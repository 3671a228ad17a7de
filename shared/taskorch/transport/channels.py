"""The sockets of a connection: one for the calls of all threads, and one for each wait."""

import os
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from threading import Lock, get_ident
from typing import Generic, TypeVar

from taskorch.queue.port import WaitBrokenOff

C = TypeVar("C", bound="Channel")
R = TypeVar("R")


class Channel:
    """An open socket, on which requests and replies follow each other."""

    def __init__(self, opened: socket.socket, timeout_s: float) -> None:
        """Use an open socket; each reply may take `timeout_s` seconds."""
        opened.settimeout(timeout_s)
        self._socket = opened
        self._process = os.getpid()
        #: Whether the replies to all requests were read.
        self._is_in_step = True
        #: Whether a single wait on it was broken off, rather than the connection closed.
        self.is_broken_off = False

    @property
    def is_usable(self) -> bool:
        """Whether the next reply will belong to the next request.

        It will not after a request whose replies were not all read, nor in a process
        that was forked.
        """
        return self._is_in_step and self._process == os.getpid()

    def break_off(self) -> None:
        """Make a thread that waits for a reply get OSError; that thread closes it.

        The parent of a forked process keeps its connection.
        """
        if self._process != os.getpid():
            return
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def given_away(self) -> socket.socket:
        """Return the socket, which is another owner's from now on."""
        given = self._socket
        del self._socket
        return given

    def close(self) -> None:
        """Close it."""
        with suppress(OSError):
            self._socket.close()

    def __del__(self) -> None:
        with suppress(AttributeError):  # it was never opened
            self.close()


class Channels(Generic[C]):
    """The channel of the calls, on which threads take turns, and those of the waits."""

    def __init__(
        self, open_channel: Callable[[float], C], call_timeout_s: float
    ) -> None:
        """`open_channel` opens one whose replies may take a number of seconds.

        A reply to a call may take `call_timeout_s` seconds.
        """
        self._open_channel = open_channel
        self._call_timeout_s = call_timeout_s
        self._turn = ProcessLock()
        self._channel: C | None = None
        #: Identifier of a thread -> the channel on which it waits.
        self._waiting: dict[int, C] = {}

    @property
    def turn(self) -> Lock:
        """The lock that a call holds."""
        return self._turn.own

    def for_calls(self) -> C:
        """Return the channel of the calls, opened again if it is not usable any more."""
        if self._channel is None or not self._channel.is_usable:
            self.drop()
            self._channel = self._open_channel(self._call_timeout_s)
        return self._channel

    def drop(self) -> None:
        """Close the channel of the calls; the next call opens another one."""
        if self._channel:
            self._channel.close()
            self._channel = None

    def wait(self, timeout_s: float, ask: Callable[[C], R]) -> R:
        """Ask on a new channel, whose reply may take `timeout_s` seconds.

        Raises WaitBrokenOff, and OSError if no reply arrives.
        """
        waiting: C | None = None
        thread = get_ident()
        try:
            with closing(self._open_channel(timeout_s)) as waiting:
                self._waiting[thread] = waiting
                try:
                    return ask(waiting)
                finally:
                    del self._waiting[thread]
        except OSError:
            if waiting and waiting.is_broken_off:
                raise WaitBrokenOff from None
            raise

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        waiting = self._waiting.get(thread)
        if waiting:
            waiting.is_broken_off = True
            waiting.break_off()

    def close(self) -> None:
        """Close all channels, without waiting for other threads."""
        for waiting in tuple(self._waiting.values()):
            waiting.break_off()
        # If a call is under way, it gets its reply: what it took would be lost.
        turn = self.turn
        if turn.acquire(blocking=False):
            self.drop()
            turn.release()


class ProcessLock:
    """A lock of which a forked process begins with another one.

    A thread of the parent may hold that of the parent, and would never release it in
    the child.
    """

    def __init__(self) -> None:
        #: Process id -> its lock.
        self._locks: dict[int, Lock] = {}

    @property
    def own(self) -> Lock:
        """The lock of this process."""
        return self._locks.setdefault(os.getpid(), Lock())
