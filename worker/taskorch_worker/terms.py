"""On which terms `worker run` has a command work on items."""

from math import inf
from shutil import which

from taskorch import bounds, errors
from taskorch.frozen import Frozen

LEAST_LEASE_MS = 1000


class Terms(Frozen):
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
        """Raise errors.Usage for a command that cannot be run, errors.Invalid for a lease that cannot be renewed."""
        if not which(self.command[0]):
            raise errors.Usage(
                reason=f"{self.command[0]!r} is no command that can be run: not found, or not executable."
            )
        bounds.number(self.lease_ms, "lease in ms", LEAST_LEASE_MS, bounds.LONGEST_MS)
