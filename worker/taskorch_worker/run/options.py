"""The options of `worker run`."""

import os
import resource
from enum import StrEnum
from math import inf
from pathlib import Path
from shutil import which

from taskorch.config import root_folder
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen

SHORTEST_LEASE_MS = 1000
#: Open files of the run itself, and of each slot with a command (pipes, sockets, log).
RUN_FILES, SLOT_FILES = 40, 8
#: Open files of a slot that works in a worktree.
LOCK_FILES = 1


class StdinSource(StrEnum):
    """What a command reads from its standard input."""

    #: The item as JSON.
    ITEM = "item"
    #: The task for an agent program, as text.
    PROMPT = "prompt"
    NONE = "none"


class RunOptions(Frozen):
    """The options of one `worker run`, and its command."""

    command: tuple[str, ...]
    #: Number of slots; each slot works on one item at a time.
    pool: int
    #: Whether each slot takes at most one item.
    once: bool
    #: Idle time before the run ends, or None if the option is not given.
    wait_s: float | None
    #: Time limit of a command, or None for no limit.
    timeout_ms: int | None
    lease_ms: int
    #: Time from SIGTERM to SIGKILL.
    grace_ms: int
    stdin: StdinSource = StdinSource.ITEM
    #: Failed items in a row before the run ends, or None for no limit.
    max_failures: int | None = None
    #: Whether the run prints the output of the commands, too.
    tee: bool = False
    #: Whether each item gets a git worktree.
    worktree: bool = False
    #: Whether the slots may share a git checkout.
    shared: bool = False

    @property
    def idle_s(self) -> float:
        """Return the idle time before the run ends: 0 with `once`, else no limit."""
        if self.wait_s is not None:
            return self.wait_s
        return 0.0 if self.once else inf

    @property
    def timeout_s(self) -> float | None:
        """Return the time limit of a command in seconds, or None for no limit."""
        if self.timeout_ms is None:
            return None
        return self.timeout_ms / 1000

    @property
    def grace_s(self) -> float:
        """Return the time from SIGTERM to SIGKILL in seconds."""
        return self.grace_ms / 1000

    @property
    def renewal_s(self) -> float:
        """Return the interval of the renewals in seconds: a third of the lease."""
        return self.lease_ms / 3000

    def check(self) -> None:
        """Raise an error if the run cannot work with these options.

        It is errors.Usage for a missing command, errors.SharedCheckout for slots that
        would share a git checkout, errors.Invalid for a lease that is too short or too
        long, and errors.TooFewFiles for a pool that would exceed the limit of open
        files.
        """
        if not which(self.command[0]):
            reason = f"Cannot run {self.command[0]!r}: not found, or not executable."
            raise errors.Usage(reason=reason)
        self._check_checkout()
        limits.number(
            self.lease_ms,
            "lease in ms",
            SHORTEST_LEASE_MS,
            limits.LONGEST_MS,
        )
        slot_files = SLOT_FILES
        if self.worktree:
            slot_files += LOCK_FILES
        needed = RUN_FILES + slot_files * self.pool
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        is_limited = limit != resource.RLIM_INFINITY
        if is_limited and limit < needed:
            raise errors.TooFewFiles(
                pool=self.pool, needed=needed, limit=limit
            )

    def _check_checkout(self) -> None:
        if self.worktree and self.shared:
            raise errors.Usage(
                reason="--worktree and --shared exclude each other."
            )
        if self.pool == 1 or self.worktree or self.shared:
            return
        checkout = root_folder.checkout(os.environ, str(Path.cwd()))
        if checkout:
            raise errors.SharedCheckout(pool=self.pool, checkout=checkout.top)
