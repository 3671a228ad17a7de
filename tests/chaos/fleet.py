"""The processes under test: started from a warm parent, replaced when they die, ended with the run."""

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
from chaos.process_config import Duty

AGENTS = ("database_specialist", "api_specialist", "frontend_specialist", "tester")
ROLES: Mapping[str, Callable[[Duty], None]] = {
    "producer": producer.run,
    "agent": api_agent.run,
    "command": cli_agent.run,
    "sleeper": stale_holder.run,
}
ENDED_WITHIN_S = 15.0


@dataclass(frozen=True)
class Member:
    """One process, and what it does."""

    role: str
    duty: Duty
    process: BaseProcess

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it, and to the command that it runs."""
        with suppress(ProcessLookupError):
            if self.process.is_alive() and (pid := self.process.pid):
                try:
                    os.killpg(pid, number)
                except (
                    ProcessLookupError
                ):  # it has just started, and leads no group yet
                    os.kill(pid, number)

    def is_stopped(self) -> bool:
        """Return whether SIGSTOP holds it."""
        stat = Path(f"/proc/{self.process.pid}/stat")
        return (
            stat.exists()
            and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T"
        )


class Fleet:
    """All processes of a run."""

    def __init__(self, duty: Duty, fate: Random) -> None:
        """`duty` is the pattern of every process's orders."""
        self._duty = duty
        self._fate = fate
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["chaos.fleet"])
        self.members: list[Member] = []
        #: How many processes were started in each role, and how many died by kill -9.
        self.started: Counter[str] = Counter()
        self.killed = 0
        #: Those that ended as no process should.
        self.broken: list[str] = []

    def man(self, processes: int) -> None:
        """Start so many: one in ten creates items, one in ten works by commands, the others through the API."""
        tenth = max(1, processes // 10)
        roles = (
            ["producer"] * tenth
            + ["command"] * tenth
            + ["agent"] * (processes - 2 * tenth)
        )
        for number, role in enumerate(roles):
            self.enlist(role, AGENTS[number % len(AGENTS)])

    def enlist(self, role: str, name: str) -> Member:
        """Start a process that calls as the agent of that name."""
        self.started[role] += 1
        own = f"{role}-{self.started[role]}"
        duty = replace(
            self._duty,
            name=own,
            agent=name,
            agents=AGENTS,
            seed=self._fate.getrandbits(32),
        )
        process = self._context.Process(
            target=ROLES[role], args=(duty,), name=own, daemon=True
        )
        process.start()
        member = Member(role, duty, process)
        self.members.append(member)
        return member

    def replace_fallen(self) -> None:
        """Start a process for each that has died."""
        for member in self._buried():
            if member.role != "sleeper":
                self.enlist(member.role, member.duty.agent)

    def workers(self) -> list[Member]:
        """Return those that hold items, the oldest first."""
        return [
            member for member in self.members if member.role in ("agent", "command")
        ]

    def dismiss(self) -> None:
        """Tell all to end, and kill those that do not."""
        (self._duty.folder / "stop").touch()
        deadline = monotonic() + ENDED_WITHIN_S
        for member in self.members:
            member.signal(signal.SIGCONT)
        for member in self.members:
            member.process.join(max(0, deadline - monotonic()))
            if member.process.is_alive():
                self.broken.append(f"{member.duty.name} did not end")
        self.kill()

    def kill(self) -> None:
        """Kill all that are left."""
        for member in self.members:
            member.signal(signal.SIGKILL)
        for member in self.members:
            member.process.join(ENDED_WITHIN_S)
        self._buried()

    def _buried(self) -> list[Member]:
        fallen = [member for member in self.members if not member.process.is_alive()]
        for member in fallen:
            self.members.remove(member)
            if member.process.exitcode == -signal.SIGKILL:
                self.killed += 1
            elif member.process.exitcode:
                self.broken.append(
                    f"{member.duty.name} ended with {member.process.exitcode}"
                )
        return fallen
