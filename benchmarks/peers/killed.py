"""`python -m benchmarks.peers.killed`: what another worker gets after a worker was killed with -9.

A worker of each queue has 20 items, completes two, and is killed while it works on the third. What it fetched may be
lost, come back after a time limit of the queue, or be handed to the next worker immediately.
"""

import sys

from benchmarks import page
from benchmarks.peers.install import QUEUES, versions
from benchmarks.peers.measure import run, server

ITEMS, SECONDS = 20, 30


def main(queues: tuple[str, ...]) -> None:
    """Measure the queues, and write the table into docs/performance.md."""
    rows = []
    for queue, version in versions(queues).items():
        with server() as url:
            missing = run(queue, url, "killed", ITEMS, SECONDS).get("missing")
        shown = "-" if missing is None else f"{missing:.0f}"
        rows.append(f"| {queue} {version} | {shown} |")
        sys.stderr.write(f"{rows[-1]}\n")
    head = f"| | items of {ITEMS} that no worker has within {SECONDS} s |\n|---|---|\n"
    if queues == QUEUES:
        page.write("killed", head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or QUEUES)
