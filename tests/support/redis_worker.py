"""A worker of an agent that knows Redis and no files: it does what is queued for it until it is told to stop.

Run as `python redis_worker.py URL NAMESPACE AGENT LOG STOP`; it logs a line of JSON for each report that was accepted.
"""

import json
import os
import sys
from pathlib import Path
from random import Random

from taskorch.connect import connect
from taskorch.domain.item import Caller, Lease
from taskorch.queue.agent_queue import AgentQueue

WAIT_S = 0.2


def main(url: str, namespace: str, agent: str, log: str, stop: str) -> None:
    """Claim, report and deliver until the file STOP exists."""
    me, fate = (
        AgentQueue(connect(url), namespace, Caller(agent=agent, pid=os.getpid())),
        Random(agent),
    )
    while not Path(stop).exists():
        claim = me.claim(wait_s=WAIT_S)
        if claim and claim.lease:
            with Path(log).open("a", encoding="utf-8") as file:
                file.writelines(
                    f"{json.dumps(line)}\n" for line in work_on(me, claim.lease, fate)
                )


def work_on(me: AgentQueue, lease: Lease, fate: Random) -> list[dict[str, str]]:
    """Do an item, and return what was reported."""
    told = []
    for number in range(fate.randint(1, 3)):
        told.append(
            {
                "kind": "progress",
                "text": f"Redis worker on {lease.item}, report {number}",
            }
        )
        me.progress(lease, told[-1]["text"], percent=20 * number)
    if fate.random() < 1 / 3:
        told.append(
            {"kind": "discovery", "text": f"Redis worker on {lease.item}, finding"}
        )
        me.discover(lease, told[-1]["text"], impact="some")
    told.append({"kind": "completion", "text": f"Redis worker on {lease.item}, done"})
    me.complete(lease, told[-1]["text"], deliverables={"report": f"{lease.item}.md"})
    return [{"item": lease.item, **line} for line in told]


if __name__ == "__main__":
    main(*sys.argv[1:])
