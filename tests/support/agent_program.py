"""A process that starts our commands as an agent program does: all are its children."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from support.commands import BIN, CommandResult, Shell

PROGRAM = """
import json, os, sys
from subprocess import PIPE, Popen
for line in sys.stdin:
    running = []
    for words, stdin, variables in json.loads(line):
        environment = {**os.environ, **variables}
        process = Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment)
        process.stdin.write(stdin.encode())
        process.stdin.close()
        process.stdin = None
        running.append(process)
    done = []
    for process in running:
        output, error = process.communicate()
        done.append([process.returncode, output.decode(), error.decode()])
    print(json.dumps(done), flush=True)
"""


class AgentProgram:
    """A running program with one session."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, *words: str, payload: object = None) -> CommandResult:
        """Run one command, with the JSON of a hook on standard input."""
        (done,) = self.run_together(words, payload=payload)
        return done

    def run_together(
        self, *commands: tuple[str, ...], payload: object = None
    ) -> list[CommandResult]:
        """Run commands at the same time."""
        stdin = "" if payload is None else json.dumps(payload)
        return self._run([(words, stdin, {}) for words in commands])

    def run_with(self, *words: str, stdin: str) -> CommandResult:
        """Run one command with any text on standard input."""
        (done,) = self._run([(words, stdin, {})])
        return done

    def run_in(
        self, variables: Mapping[str, str], *words: str
    ) -> CommandResult:
        """Run one command with more variables."""
        (done,) = self._run([(words, "", variables)])
        return done

    def _run(
        self, commands: Sequence[tuple[Sequence[str], str, Mapping[str, str]]]
    ) -> list[CommandResult]:
        batch = [
            ([str(BIN / words[0]), *words[1:]], stdin, variables)
            for words, stdin, variables in commands
        ]
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(batch), file=self._process.stdin, flush=True)
        done = json.loads(self._process.stdout.readline())
        return [CommandResult(*each) for each in done]


@contextmanager
def agent_program(shell: Shell, **variables: str) -> Iterator[AgentProgram]:
    """Yield a program in the folder of a shell; it ends with the block."""
    process = shell.having(**variables).start(sys.executable, "-c", PROGRAM)
    with process:
        try:
            yield AgentProgram(process)
        finally:
            process.kill()
