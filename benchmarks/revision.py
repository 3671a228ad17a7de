"""Cost of steps and of short commands, compared with an earlier revision, in turns.

    REVISION=ca4cb44 python -m benchmarks.revision

The revision is exported from git into a temporary folder, and installed there into an
environment of its own, as `make venv` does. Each version has a bundled server of its own.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import steps
from benchmarks.figures import Comparison, Figure, Round
from benchmarks.page import REPOSITORY
from benchmarks.report import report
from benchmarks.workflow import AGENT, BIN, environment, timed

REVISION = os.environ.get("REVISION", "HEAD")
#: The steps of a turn are few, and the rounds many: the load of the machine changes.
TIMES = int(os.environ.get("BENCH_TIMES", "100"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "25"))
#: Rounds of the commands for a round of the steps: a command is noisier.
COMMAND_ROUNDS = 4
#: A step -> the one that did its work in a revision that lacks it.
FORMER = {
    steps.POOLED: steps.CLAIM,
    steps.NEXT: steps.PAIR,
    steps.PREFETCHING: steps.WORKER,
}
#: The commands of a turn; `{item}` is what the first one prints.
COMMANDS = (
    f"orchestrate create {{project}} Item --assign {AGENT}",
    "worker check",
    "worker pop",
    "worker complete {item} Done",
)
CLOCKS = {
    "server": "processor time of the server, {unit}",
    "client": "processor time of the client, {unit}",
    "wall": "time, {unit}",
}

Seconds = Mapping[str, float]


class Version:
    """A version of the library with a server, and the process that runs its steps."""

    def __init__(self, binaries: Path, root: Path) -> None:
        """Use the programs of an environment; `root` is the folder of the server."""
        self._binaries = binaries
        self._variables = environment(root)
        timed(self._words("orchestrate server start"), self._variables)
        self._project = timed(
            self._words("orchestrate project Commands"), self._variables
        ).output.strip()
        program = str(Path(steps.__file__).resolve())
        self._process = subprocess.Popen(
            [str(binaries / "python"), "-P", program],
            cwd=root,
            env=self._variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        described = self._read()
        self.server: str = described["server"]
        self.steps: Sequence[str] = described["steps"]

    def step(self, name: str) -> Seconds:
        """Return the seconds of a step, or of the one that did its work before."""
        known = name if name in self.steps else FORMER[name]
        if self._process.stdin:
            self._process.stdin.write(f"{TIMES} {known}\n")
            self._process.stdin.flush()
        seconds: Seconds = self._read()
        return seconds

    def commands(self) -> Mapping[str, Seconds]:
        """Return the seconds of each command of a turn."""
        seconds, item = {}, ""
        for command in COMMANDS:
            words = command.format(project=self._project, item=item)
            done = timed(self._words(words), self._variables)
            item = item or done.output.strip()
            name = " ".join(command.split()[:2])
            seconds[name] = {"client": done.cpu_s, "wall": done.wall_s}
        return seconds

    def close(self) -> None:
        """End the process and the server."""
        self._process.communicate()
        timed(self._words("orchestrate server stop"), self._variables)

    def _words(self, command: str) -> list[str]:
        program, *words = command.split()
        return [str(self._binaries / program), *words]

    def _read(self) -> Any:  # noqa: ANN401  JSON
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError("the program with the steps has ended")
        return json.loads(line)


def measure() -> Iterator[Comparison]:
    """Install the revision, and measure it and this version."""
    with installed(REVISION) as binaries:
        yield from compare(binaries, BIN)


def compare(earlier: Path, now: Path) -> Iterator[Comparison]:
    """Measure the versions of two environments in turns."""
    with ExitStack() as stack:
        versions = [_opened(stack, binaries) for binaries in (earlier, now)]
        _steps(versions, 0)  # compiles, and installs the functions
        rounds = [_steps(versions, number) for number in range(ROUNDS)]
        servers = " and ".join(each.server for each in versions)
        yield _comparison(
            "revision",
            "step",
            rounds,
            unit="µs",
            remark=f"{ROUNDS} rounds of {TIMES} times each in turns, on servers of their own: Valkey {servers}.",
        )
        number_of = ROUNDS * COMMAND_ROUNDS
        _commands(versions, 0)
        rounds = [_commands(versions, number) for number in range(number_of)]
        yield _comparison(
            "revision_commands",
            "command",
            rounds,
            unit="ms",
            remark=f"{number_of} rounds, in turns.",
        )


@contextmanager
def installed(revision: str) -> Iterator[Path]:
    """Install a revision in a temporary folder; yield the folder of its programs."""
    git = ["git", "archive", revision]
    archive = subprocess.run(
        git, cwd=REPOSITORY, stdout=subprocess.PIPE, check=True
    ).stdout
    with TemporaryDirectory(prefix="revision-") as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder, filter="data")
        sys.stderr.write(f"{revision} is being installed …\n")
        make = ["make", "--silent", f"PYTHON={sys.executable}", ".venv/demo"]
        subprocess.run(make, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        yield Path(folder) / ".venv" / "bin"


def _opened(stack: ExitStack, binaries: Path) -> Version:
    root = stack.enter_context(TemporaryDirectory(prefix="bench-"))
    version = Version(binaries, Path(root))
    stack.callback(version.close)
    return version


def _steps(versions: Sequence[Version], number: int) -> Round:
    """Measure each step with both versions; return its µs."""
    earlier, now = versions
    figures = {}
    for step in now.steps:
        turns = {each: each.step(step) for each in _turns(versions, number)}
        figures[step] = _figures(turns[earlier], turns[now], 1e6)
    return figures


def _commands(versions: Sequence[Version], number: int) -> Round:
    """Measure each command with both versions; return its ms."""
    turns = {each: each.commands() for each in _turns(versions, number)}
    earlier, now = (turns[each] for each in versions)
    return {
        command: _figures(earlier[command], seconds, 1e3)
        for command, seconds in now.items()
    }


def _turns(versions: Sequence[Version], number: int) -> Sequence[Version]:
    """Return the versions in the order of a round."""
    return versions if number % 2 else list(reversed(versions))


def _figures(earlier: Seconds, now: Seconds, unit: float) -> Seconds:
    """Return what this version takes, and its ratios to the earlier one."""
    ratios = {
        f"{clock} ratio": seconds / earlier[clock]
        for clock, seconds in now.items()
        if earlier[clock]
    }
    taken = {clock: seconds * unit for clock, seconds in now.items()}
    return taken | ratios


def _comparison(
    name: str, rows: str, rounds: Sequence[Round], *, unit: str, remark: str
) -> Comparison:
    figures = {}
    for clock, title in CLOCKS.items():
        if any(clock in each for each in rounds[0].values()):
            figures[clock] = Figure(title=title.format(unit=unit))
            figures[f"{clock} ratio"] = Figure(
                title=f"{REVISION} = 1", digits=2
            )
    return Comparison(
        name=name,
        rows=rows,
        figures=figures,
        rounds=rounds,
        remarks=(remark,),
    )


if __name__ == "__main__":
    report(measure)
