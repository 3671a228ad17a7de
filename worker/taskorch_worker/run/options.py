"""On which terms `worker run` has a command work on items."""

import resource
from math import inf
from shutil import which

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

LEAST_LEASE_MS = 1000
#: Files that a run has open besides those of its slots, and those of a slot with a command: pipes, sockets, selectors.
RUN_FILES, SLOT_FILES = 40, 6


class RunOptions(Frozen):
    """What the options of `worker run` say."""

    command: tuple[str, ...]
    #: How many items at a time.
    pool: int
    #: Whether each of them takes one item at most.
    once: bool
    #: How long to be idle before the end, where it was said.
    wait_s: float | None
    timeout_ms: int | None
    lease_ms: int
    #: From SIGTERM to SIGKILL.
    grace_ms: int
    #: How many items in a row may fail before the run ends; None for any number.
    max_failures: int | None = None

    @property
    def idle_s(self) -> float:
        """Return how long to be idle before the end."""
        unsaid = 0.0 if self.once else inf
        return unsaid if self.wait_s is None else self.wait_s

    @property
    def timeout_s(self) -> float | None:
        """Return how long a command may take; None for ever."""
        return None if self.timeout_ms is None else self.timeout_ms / 1000

    @property
    def grace_s(self) -> float:
        """Return how long a command may take to end when it is told to."""
        return self.grace_ms / 1000

    @property
    def renewal_s(self) -> float:
        """Return how long to wait from one renewal of a lease to the next."""
        return self.lease_ms / 3000

    def check(self) -> None:
        """Raise errors.Usage for a command that cannot be run, errors.Invalid for a lease that cannot be renewed.

        Raises errors.TooFewFiles for a pool that would run out of file descriptors.
        """
        if not which(self.command[0]):
            raise errors.Usage(
                reason=f"{self.command[0]!r} is no command that can be run: not found, or not executable."
            )
        limits.number(self.lease_ms, "lease in ms", LEAST_LEASE_MS, limits.LONGEST_MS)
        needed = RUN_FILES + SLOT_FILES * self.pool
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY and limit < needed:
            raise errors.TooFewFiles(pool=self.pool, needed=needed, limit=limit)
