"""Run the team and its board until Ctrl-C; nothing of it is left at the end."""

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from taskorch import Queue

from demo.recordings.scratch_root import BIN, ScratchRoot, scratch_root
from demo.team.lead import PATIENCE_PACES, Lead
from demo.team.projects import AGENTS
from demo.team.specialist import Specialist

PACE_S = 3.0
INTRODUCTION = (
    "A team of {number} agents works until Ctrl-C; nothing of it is left then. Answer "
    "their questions on the board: after {seconds} s, the orchestrator does.\n"
)
#: Settings of the user, which belong to another queue.
OTHERS = ("TASKORCH_", "AGENT_", "TM_", "ORCHESTRATOR_ID", "REDIS_URL")


def main() -> None:
    """Start the team, and show its board."""
    arguments = argparse.ArgumentParser(
        prog="make demo-board", description=__doc__
    )
    arguments.add_argument(
        "--no-open", action="store_true", help="print the link only"
    )
    arguments.add_argument(
        "--pace", type=float, default=PACE_S, help="seconds between two steps"
    )
    wanted = arguments.parse_args()
    for name in [name for name in os.environ if name.startswith(OTHERS)]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = ("--no-open",) if wanted.no_open else ()
    patience_s = round(PATIENCE_PACES * wanted.pace)
    sys.stderr.write(
        INTRODUCTION.format(number=len(AGENTS), seconds=patience_s)
    )
    code = 128 + signal.SIGINT
    with (
        suppress(KeyboardInterrupt),
        scratch_root() as root,
        team(root, pace_s=wanted.pace),
    ):
        code = show_board(root, *options)
    sys.exit(code)


@contextmanager
def team(root: ScratchRoot, *, pace_s: float) -> Iterator[None]:
    """Let the team work in a root while the block runs."""
    stop = Event()
    with Queue.open(url_of(root), agent="planner") as queue:
        lead = Lead(queue, stop, pace_s=pace_s)
        agents = specialists(queue, stop, pace_s)
        at_work = [lead.run, *(agent.run for agent in agents)]
        threads = [Thread(target=run) for run in at_work]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def specialists(
    queue: Queue, stop: Event, pace_s: float
) -> Iterator[Specialist]:
    """Yield the agents of the team."""
    for name in AGENTS:
        yield Specialist(queue, name, stop, pace_s=pace_s)


def show_board(root: ScratchRoot, *options: str) -> int:
    """Show the board until Ctrl-C, and return the exit code of its command.

    It has the user's home, where the settings of the browser are.
    """
    board = subprocess.Popen(
        [
            *(BIN / "orchestrate", "board", "--redis-url", url_of(root)),
            *options,
        ],
        env={**os.environ, "TASKORCH_ROOT": str(root.folder)},
    )
    try:
        return board.wait()
    finally:
        board.terminate()
        board.wait()


def url_of(root: ScratchRoot) -> str:
    """Return the address of the bundled server of a root."""
    printed = root.run("orchestrate", "server", "status", "--json")
    return str(json.loads(printed)["data"]["url"])


if __name__ == "__main__":
    main()
