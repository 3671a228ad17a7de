"""One of many processes that race: says "ready", waits for a line, then acts once and prints what it got as JSON.

Run as `python racer.py URL NAMESPACE VERB ITEM TOKEN`; it is no test itself.
"""

import json
import os
import sys

from taskorch.connect import connect
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.plan import Plan
from taskorch.queue.queue import Queue


def say(what: object) -> None:
    sys.stdout.write(f"{json.dumps(what)}\n")
    sys.stdout.flush()


def main(url: str, namespace: str, verb: str, item: str, shown: str) -> None:
    connection = connect(url)
    queue = Queue(connection, namespace, Caller(agent="ada", pid=os.getpid()))
    me = queue.agent("ada", session=str(os.getpid()))
    me.check()
    say("ready")
    sys.stdin.readline()
    try:
        match verb:
            case "pop":
                got = []
                while (claim := me.claim()) and claim.lease:
                    got.append(claim.lease.item)
                say(got)
            case "get":
                claimed = me.get(Lease(item=item)).lease
                say(claimed.token if claimed else 0)
            case "apply":
                items = (
                    NewItem(title="A", key="a", agent="ada"),
                    NewItem(title="B", key="b", depends_on=(0,)),
                )
                applied = queue.apply(Plan(title="P", key="race", items=items))
                say(
                    [
                        applied.created,
                        applied.project,
                        *(item.id for item in applied.items),
                    ]
                )
            case "complete":
                token, claim_id = shown.split(":")
                say(
                    me.complete(
                        Lease(item=item, token=int(token), claim=claim_id),
                        f"by {os.getpid()}",
                    ).remark
                )
    except errors.TaskOrchestratorError as refusal:
        say(refusal.word)
    connection.close()


main(*sys.argv[1:])
