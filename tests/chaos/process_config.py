"""The configuration of one process of a run."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Timer
from time import time

from taskorch.config.settings import resolve
from taskorch.connections import open_connection
from taskorch.queue.port import Connection

#: The share of items whose worker is killed.
KILLED = 0.08
#: The kill comes within this time after the claim.
KILLED_WITHIN_S = 0.6


@dataclass(frozen=True, kw_only=True)
class ProcessConfig:
    """The configuration of one process; it can be pickled."""

    #: The address of Redis or of a gateway, and the access token for the latter.
    url: str
    access_token: str
    namespace: str
    project: str
    folder: Path
    #: The name of the process, and its agent.
    name: str
    agent: str
    #: All agents of the run.
    agents: tuple[str, ...]
    #: The maximum number of open items.
    backlog: int
    seed: int
    #: Unix time in seconds at which every process ends, even without its driver.
    until: float
    driver: int

    @property
    def ledger(self) -> Path:
        """Return the ledger file of the process."""
        return self.folder / f"{self.name}.ledger"

    def is_running(self) -> bool:
        """Return whether the run continues."""
        return (
            not (self.folder / "stop").exists()
            and time() < self.until
            and Path(f"/proc/{self.driver}").exists()
        )

    def faults_are_over(self) -> bool:
        """Return whether the faults have ended."""
        return (self.folder / "faults-over").exists()

    def connection(self) -> Connection:
        """Return a connection with the settings of the environment."""
        return connection(self.url, self.access_token)

    def random(self) -> Random:
        """Return the random numbers of this process."""
        return Random(self.seed)


def connection(url: str, access_token: str = "") -> Connection:
    """Return a connection to an address, with the other settings of the environment."""
    variables = {**os.environ, "TASKORCH_TOKEN": access_token}
    return open_connection(
        resolve({"redis_url": url}, variables, Path()), lambda _: None
    )


def start(config: ProcessConfig) -> None:
    """Lead a process group, ignore Ctrl-C (the driver ends the run), log stderr."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    log = os.open(
        config.folder / f"{config.name}.err",
        os.O_CREAT | os.O_APPEND | os.O_WRONLY,
        0o644,
    )
    os.dup2(log, 2)
    os.close(log)


def kill_self() -> None:
    """Kill this process and its commands with SIGKILL."""
    assert os.getpgrp() == os.getpid()
    os.killpg(os.getpid(), signal.SIGKILL)


def kill_self_within(seconds: float, random: Random) -> None:
    """Kill this process at a random moment within this many seconds."""
    timer = Timer(random.uniform(0, seconds), kill_self)
    timer.daemon = True
    timer.start()
