"""Start of the MCP server: from the start of the process to the list of tools, and its memory."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import IO, cast

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import rooted
from benchmarks.report import report
from benchmarks.workflow import BIN, environment, timed

ROUNDS = int(os.environ.get("BENCH_STARTS", "15"))
CLICK = "import click"
FIGURES = {
    "wall": Figure(title="until the tools are listed, ms", digits=0),
    "memory": Figure(title="memory, MB", digits=1, compared=False),
}
#: What a client sends before it knows the tools.
FIRST = (
    {
        "id": 1,
        "method": "initialize",
        "params": {
            "protocolVersion": "2025-11-25",
            "capabilities": {},
            "clientInfo": {"name": "benchmark", "version": "1"},
        },
    },
    {"method": "notifications/initialized"},
    {"id": 2, "method": "tools/list"},
)


def measure() -> Iterator[Comparison]:
    """Start the servers in turns, each beside a Python that only imports click."""
    with rooted() as (root, _):
        _round(root)  # what is compiled at the first time is compiled
        rounds = [_round(root) for _ in range(ROUNDS)]
    remark = (
        f"{ROUNDS} rounds; `{CLICK}` and `import mcp`, the protocol's own package, are whole processes that only "
        "import it."
    )
    yield Comparison(
        name="mcp",
        rows="server",
        figures=FIGURES,
        rounds=rounds,
        baseline=CLICK,
        remarks=(remark,),
    )


def _round(root: Path) -> Round:
    worker = environment(root)
    orchestrator = {
        name: value for name, value in worker.items() if name != "AGENT_ID"
    }
    python = sys.executable
    orchestrate = (str(BIN / "orchestrate"), "mcp")
    found = {
        name: {"wall": timed([python, "-c", name], orchestrator).wall_s * 1000}
        for name in (CLICK, "import mcp")
    }
    return {
        **found,
        "orchestrate mcp": _started(orchestrate, orchestrator),
        "orchestrate mcp with AGENT_ID": _started(orchestrate, worker),
        "worker mcp": _started((str(BIN / "worker"), "mcp"), worker),
    }


def _started(
    command: Sequence[str], variables: Mapping[str, str]
) -> dict[str, float]:
    """Start a server, read its list of tools, and return time and memory."""
    first = "".join(
        json.dumps({"jsonrpc": "2.0", **message}) + "\n" for message in FIRST
    )
    start = perf_counter()
    with subprocess.Popen(
        command,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        requests = cast("IO[str]", server.stdin)
        answers = cast("IO[str]", server.stdout)
        requests.write(first)
        requests.flush()
        answers.readline()
        listed = json.loads(answers.readline())
        wall_s = perf_counter() - start
        memory = _memory(server.pid)
        requests.close()
    if not listed["result"]["tools"]:
        raise RuntimeError(f"{command[0]} has no tools")
    return {"wall": wall_s * 1000, **memory}


def _memory(pid: int) -> dict[str, float]:
    """Return the resident memory of a process, where the system tells it."""
    with suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        if found := re.search(r"VmRSS:\s+(\d+) kB", status):
            return {"memory": int(found[1]) / 1024}
    return {}


if __name__ == "__main__":
    report(measure)
