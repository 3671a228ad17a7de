"""What a process is told when it starts: where the queue is, who it is, and how long it goes on."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Timer
from time import time

from taskorch.config.settings import resolve
from taskorch.connect import open_connection
from taskorch.queue.port import Connection

#: Of the items: those whose worker does not survive them.
KILLED = 0.08
#: Where the kill comes within the work on an item.
KILLED_WITHIN_S = 0.6


@dataclass(frozen=True, kw_only=True)
class Duty:
    """One process's orders; all of it can be sent to another process."""

    url: str
    namespace: str
    project: str
    folder: Path
    #: Its own name, and the agent in whose name it calls.
    name: str
    agent: str
    #: All agents whose queues are used.
    agents: tuple[str, ...]
    #: How many items are open at the same time.
    backlog: int
    seed: int
    #: By the clock of the machine: nobody goes on after that, whatever happens to the driver.
    until: float
    driver: int

    @property
    def ledger(self) -> Path:
        """Return the file of its ledger."""
        return self.folder / f"{self.name}.ledger"

    def goes_on(self) -> bool:
        """Return whether there is work to do still."""
        return (
            not (self.folder / "stop").exists()
            and time() < self.until
            and Path(f"/proc/{self.driver}").exists()
        )

    def is_calm(self) -> bool:
        """Return whether the faults are over."""
        return (self.folder / "calm").exists()

    def connection(self) -> Connection:
        """Return a connection as the environment wants it."""
        return connection(self.url)

    def fate(self) -> Random:
        """Return the chances of this process."""
        return Random(self.seed)


def connection(url: str) -> Connection:
    """Return a connection to an address, with the settings that the environment has besides."""
    return open_connection(
        resolve({"redis_url": url}, os.environ, Path()), lambda _: None
    )


def begin(duty: Duty) -> None:
    """Lead a process group of one's own, deaf to Ctrl-C (the driver tells when to end), what is said in a file."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    said = os.open(
        duty.folder / f"{duty.name}.err", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644
    )
    os.dup2(said, 2)
    os.close(said)


def die() -> None:
    """Die by kill -9, at once, with every command that was started."""
    assert os.getpgrp() == os.getpid()
    os.killpg(os.getpid(), signal.SIGKILL)


def die_within(seconds: float, fate: Random) -> None:
    """Die by kill -9 at some moment soon, wherever the process is then."""
    timer = Timer(fate.uniform(0, seconds), die)
    timer.daemon = True
    timer.start()
