"""One of many racing processes: prints "ready", waits for a line, claims all it can.

It prints the ids as JSON. Run as `python pool_racer.py URL NAMESPACE AGENT POOL ...`; it
is not a test itself.
"""

import json
import os
import sys

from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.agent_queue import AgentQueue


def main(url: str, namespace: str, agent: str, *pools: str) -> None:
    connection = connect(url)
    caller = Caller(agent=agent, pid=os.getpid(), pools=pools)
    queue = AgentQueue(connection, namespace, caller)
    queue.check()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    got = []
    while (claim := queue.claim()) and claim.lease:
        got.append(claim.lease.item)
    sys.stdout.write(json.dumps(got))
    connection.close()


main(*sys.argv[1:])
