"""The user's workflow, one process per command, with wall time and processor time."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from time import perf_counter

BIN = Path(sys.executable).parent
AGENT = "database_specialist"

#: The commands of both roles; `{project}` and `{item}` are the ids that earlier
#: commands printed.
WORKFLOW = """
orchestrate project "Build authentication system"
orchestrate create {project} "Design database schema" -r "Users table" "Sessions table" "Password reset tokens"
orchestrate create {project} "Implement JWT logic" -r "Access tokens" "Refresh tokens" "Token validation"
orchestrate create {project} "Create REST endpoints" -r "POST /auth/login" "POST /auth/logout" "POST /auth/refresh"
orchestrate depend {third} {item} {second}
orchestrate unassigned
orchestrate assign {item} database_specialist
orchestrate assign {second} database_specialist
orchestrate show {item}
worker check
worker get {item}
worker progress {item} "Analyzing requirements"
worker progress {item} "Designing normalized schema" --percent 50
worker renew {item}
worker notes {item} "Considering UUID vs auto-increment for IDs"
worker notes {item}
worker discover {item} "Need to add email verification table" --impact "Additional table required"
worker blocker {item} "Need clarification on password requirements" --needs "Min length, complexity rules"
orchestrate inbox
orchestrate answer {item} "At least 12 characters, no complexity rules"
worker complete {item} "Schema design complete with 4 tables"
worker pop
worker ack {second} "RS256, refresh tokens rotate"
orchestrate assign {third} database_specialist
worker pop
worker fail {third} "The staging server is down"
orchestrate progress {project}
orchestrate discoveries {project}
orchestrate list {project}
orchestrate cancel {third} --reason "Not needed any more"
orchestrate complete {project}
"""
IDS = {"project": ("project",), "create": ("item", "second", "third")}


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One process: its time, its processor time and its output."""

    wall_s: float
    cpu_s: float
    output: str


def typed() -> list[list[str]]:
    """Return the commands of the workflow as words."""
    return [shlex.split(line) for line in WORKFLOW.strip().splitlines()]


def label(words: Sequence[str]) -> str:
    """Return the name of a command: its first two words."""
    return " ".join(words[:2])


def walk(environment: Mapping[str, str]) -> Iterator[tuple[str, Timed]]:
    """Run the workflow once with a new project, and yield each command when it exits."""
    ids: dict[str, str] = {}
    for words in typed():
        done = timed(
            [str(BIN / words[0]), *(word.format(**ids) for word in words[1:])],
            environment,
        )
        free = [
            name
            for name in IDS.get(words[1], ())
            if name not in ids and words[0] == "orchestrate"
        ]
        if free:
            ids[free[0]] = done.output.strip()
        yield label(words), done


def timed(words: list[str], environment: Mapping[str, str]) -> Timed:
    """Run a process. Raises RuntimeError if it fails."""
    with TemporaryFile() as output, Path(os.devnull).open("rb") as nothing:
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), 0)]
        actions += [
            (os.POSIX_SPAWN_DUP2, output.fileno(), stream) for stream in (1, 2)
        ]
        start = perf_counter()
        child = os.posix_spawn(
            words[0], words, environment, file_actions=actions
        )
        _, status, usage = os.wait4(child, 0)
        wall_s = perf_counter() - start
        output.seek(0)
        printed = output.read().decode()
    if status:
        raise RuntimeError(f"{shlex.join(words)}: {printed}")
    return Timed(
        wall_s=wall_s, cpu_s=usage.ru_utime + usage.ru_stime, output=printed
    )


def environment(root: Path, **variables: str) -> dict[str, str]:
    """Return the environment of commands in a root, without the user's settings."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "LANG")
        if name in os.environ
    }
    ours = {
        "TASKORCH_ROOT": str(root),
        "TASKORCH_SERVICE": "off",
        "AGENT_ID": AGENT,
    }
    return {**kept, **ours, **variables}
