"""The processes under test: started, replaced if they die, and stopped at the end."""

import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random
from time import monotonic

from chaos import api_agent, cli_agent, producer, stale_holder
from chaos.process_config import ProcessConfig

AGENTS = (
    "database_specialist",
    "api_specialist",
    "frontend_specialist",
    "tester",
)
ROLES: Mapping[str, Callable[[ProcessConfig], None]] = {
    "producer": producer.run,
    "agent": api_agent.run,
    "command": cli_agent.run,
    "stale_holder": stale_holder.run,
}
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Member:
    """One process of the fleet."""

    role: str
    config: ProcessConfig
    process: BaseProcess

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and to the command that it runs."""
        with suppress(ProcessLookupError):
            if self.process.is_alive() and (pid := self.process.pid):
                try:
                    os.killpg(pid, number)
                except ProcessLookupError:
                    # It has just started and does not lead a group yet.
                    os.kill(pid, number)

    def is_stopped(self) -> bool:
        """Return whether SIGSTOP has suspended the process."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        if not stat.exists():
            return False
        fields = stat.read_text(encoding="utf-8").rpartition(")")[2].split()
        return fields[0] == "T"


class Fleet:
    """All processes of a run."""

    def __init__(self, config: ProcessConfig, random: Random) -> None:
        """Use `config` as the template of every process's configuration."""
        self._config = config
        self._random = random
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.fleet"])
        self.members: list[Member] = []
        #: The number of processes started by role, and of those that SIGKILL ended.
        self.started: Counter[str] = Counter()
        self.killed = 0
        #: Descriptions of processes that ended unexpectedly.
        self.broken: list[str] = []

    def start_all(self, processes: int) -> None:
        """Start this number of processes.

        One in ten creates items, one in ten uses commands, the others use the library.
        """
        tenth = max(1, processes // 10)
        roles = (
            ["producer"] * tenth
            + ["command"] * tenth
            + ["agent"] * (processes - 2 * tenth)
        )
        for number, role in enumerate(roles):
            self.start(role, AGENTS[number % len(AGENTS)])

    def start(self, role: str, name: str) -> Member:
        """Start a process that works as the agent of that name."""
        self.started[role] += 1
        own = f"{role}-{self.started[role]}"
        config = replace(
            self._config,
            name=own,
            agent=name,
            agents=AGENTS,
            seed=self._random.getrandbits(32),
        )
        process = self._context.Process(
            target=ROLES[role], args=(config,), name=own, daemon=True
        )
        process.start()
        member = Member(role, config, process)
        self.members.append(member)
        return member

    def replace_dead(self) -> None:
        """Start a process for each one that has died."""
        for member in self._remove_dead():
            if member.role != "stale_holder":
                self.start(member.role, member.config.agent)

    def workers(self) -> list[Member]:
        """Return the workers, the oldest first."""
        return [
            member
            for member in self.members
            if member.role in ("agent", "command")
        ]

    def stop(self) -> None:
        """Stop all processes, and kill those that do not end in time."""
        (self._config.folder / "stop").touch()
        deadline = monotonic() + STOP_TIMEOUT_S
        for member in self.members:
            member.signal(signal.SIGCONT)
        for member in self.members:
            member.process.join(max(0, deadline - monotonic()))
            if member.process.is_alive():
                self.broken.append(f"{member.config.name} did not end")
        self.kill()

    def kill(self) -> None:
        """Kill all remaining processes."""
        for member in self.members:
            member.signal(signal.SIGKILL)
        for member in self.members:
            member.process.join(STOP_TIMEOUT_S)
        self._remove_dead()

    def _remove_dead(self) -> list[Member]:
        dead = [
            member for member in self.members if not member.process.is_alive()
        ]
        for member in dead:
            self.members.remove(member)
            if member.process.exitcode == -signal.SIGKILL:
                self.killed += 1
            elif member.process.exitcode:
                self.broken.append(
                    f"{member.config.name} ended with {member.process.exitcode}"
                )
        return dead
