"""The lease that `worker run` gives to a command: it has no other, whatever another session keeps in the workspace."""

import os

from taskorch.domain.item import Lease

ITEM, TOKEN = "TASKORCH_ITEM_ID", "TASKORCH_TOKEN"


def item() -> str:
    """Return the item that this process was started for by `run`; "" for any other."""
    return os.environ.get(ITEM, "")


def lease() -> Lease | None:
    """Return the lease of the command that this process belongs to; None for a process that `run` did not start."""
    number, _, claim = os.environ.get(TOKEN, "").partition(":")
    return (
        Lease(item=item(), token=int(number), claim=claim)
        if item() and number.isdecimal()
        else None
    )
