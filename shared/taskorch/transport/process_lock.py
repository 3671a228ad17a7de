"""A lock for the threads of one process."""

import os
from threading import Lock


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
