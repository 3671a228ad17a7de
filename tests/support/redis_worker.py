"""A worker that uses Redis and no files: it does the queued items of one agent.

Run as `python redis_worker.py URL NAMESPACE AGENT LOG STOP`. It logs one line of JSON
for each accepted report, and ends when the file STOP exists.
"""

import json
import os
import sys
from pathlib import Path
from random import Random

from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease
from taskorch.queue.agent_queue import AgentQueue

WAIT_S = 0.2


def main(url: str, namespace: str, agent: str, log: str, stop: str) -> None:
    """Claim, report and deliver until the file STOP exists."""
    me = AgentQueue(
        connect(url), namespace, Caller(agent=agent, pid=os.getpid())
    )
    random = Random(agent)
    while not Path(stop).exists():
        claim = me.claim(wait_s=WAIT_S)
        if not claim or not claim.lease:
            continue
        with Path(log).open("a", encoding="utf-8") as file:
            file.writelines(
                f"{json.dumps(line)}\n"
                for line in work_on(me, claim.lease, random)
            )


def work_on(
    me: AgentQueue, lease: Lease, random: Random
) -> list[dict[str, str]]:
    """Work on an item, and return the reports."""
    reports = []
    for number in range(random.randint(1, 3)):
        reports.append(
            {
                "kind": "progress",
                "text": f"Redis worker on {lease.item}, report {number}",
            }
        )
        me.progress(lease, reports[-1]["text"], percent=20 * number)
    if random.random() < 1 / 3:
        reports.append(
            {
                "kind": "discovery",
                "text": f"Redis worker on {lease.item}, finding",
            }
        )
        me.discover(lease, reports[-1]["text"], impact="some")
    reports.append(
        {"kind": "completion", "text": f"Redis worker on {lease.item}, done"}
    )
    me.complete(
        lease, reports[-1]["text"], deliverables={"report": f"{lease.item}.md"}
    )
    return [{"item": lease.item, **line} for line in reports]


if __name__ == "__main__":
    main(*sys.argv[1:])
