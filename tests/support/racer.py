"""One of many racing processes: prints "ready", waits for a line, acts once.

It prints its result as JSON. Run as `python racer.py URL NAMESPACE VERB ITEM TOKEN`; it
is not a test itself.
"""

import json
import os
import sys

from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.plan import Plan
from taskorch.queue.queue import Queue


def print_line(value: object) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def main(url: str, namespace: str, verb: str, item: str, token: str) -> None:
    connection = connect(url)
    queue = Queue(connection, namespace, Caller(agent="ada", pid=os.getpid()))
    me = queue.agent_queue("ada", session=str(os.getpid()))
    me.check()
    print_line("ready")
    sys.stdin.readline()
    try:
        match verb:
            case "pop":
                got = []
                while (claim := me.claim()) and claim.lease:
                    got.append(claim.lease.item)
                print_line(got)
            case "get":
                claimed = me.get(Lease(item=item)).lease
                print_line(claimed.token if claimed else 0)
            case "apply":
                items = (
                    NewItem(title="A", key="a", agent="ada"),
                    NewItem(title="B", key="b", depends_on=(0,)),
                )
                applied = queue.apply(Plan(title="P", key="race", items=items))
                ids = [item.id for item in applied.items]
                print_line([applied.created, applied.project, *ids])
            case "complete":
                number, claim_id = token.split(":")
                lease = Lease(item=item, token=int(number), claim=claim_id)
                print_line(me.complete(lease, f"by {os.getpid()}").remark)
    except errors.TaskOrchestratorError as refusal:
        print_line(refusal.word)
    connection.close()


main(*sys.argv[1:])
