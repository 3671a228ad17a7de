"""`make bench`: every measurement, in one run on one machine."""

from benchmarks import (
    batches,
    blocked,
    board,
    commands,
    fleet,
    functions,
    gateway,
    growth,
    guards,
    limit,
    live_boards,
    mcp,
    memory,
    mirror,
    network,
    waits,
)
from benchmarks.report import report

#: In the order of docs/performance.md.
ALL = (
    commands.measure,
    mcp.measure,
    network.measure,
    limit.measure,
    fleet.measure,
    growth.measure,
    blocked.measure,
    functions.measure,
    guards.measure,
    batches.measure,
    memory.measure,
    mirror.measure,
    waits.measure,
    gateway.measure,
    board.measure,
    live_boards.measure,
)

if __name__ == "__main__":
    report(*ALL)
