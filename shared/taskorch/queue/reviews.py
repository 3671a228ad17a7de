"""Reviews: the decisions about items that their holders have completed."""

from contextlib import suppress
from typing import cast

from taskorch.domain import errors, limits
from taskorch.domain.item import Item, ReviewedItem
from taskorch.queue import replies
from taskorch.queue.fields import readable
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: Items that one call returns, so that it blocks Redis for some ms at most.
PAGE = 20


def accept(
    scripts: Scripts, item: str, text: str, *, as_agent: bool
) -> ReviewedItem:
    """Complete an item in review, and release the items that waited for it."""
    text = limits.text(text, "text")
    done, is_left = replies.reviewed(
        scripts.run_script(
            "accept", limits.item_id(item), text, "1" if as_agent else ""
        )
    )
    if is_left:
        resume(scripts)
    return done


def send_back(
    scripts: Scripts, item: str, text: str, *, as_agent: bool
) -> ReviewedItem:
    """Return an item in review to the queue of its agent."""
    text = limits.text(text, "text", required=True)
    done, _ = replies.reviewed(
        scripts.run_script(
            "send_back", limits.item_id(item), text, "1" if as_agent else ""
        )
    )
    return done


def waiting(
    scripts: Scripts, limit: int, *, as_agent: bool
) -> tuple[Item, ...]:
    """Return the items in review, the oldest first; as an agent, those it reviews."""
    found: list[Reply] = []
    skip = "0"
    while skip and len(found) < limit:
        reply = scripts.run_script(
            "reviews",
            "1" if as_agent else "",
            int(skip),
            min(limit - len(found), PAGE),
        )
        skip, views = cast("tuple[str, list[Reply]]", reply)
        found += views
    return readable(replies.item, found, scripts.damage)


def resume(scripts: Scripts) -> None:
    """Finish what a call has left: the release of very many dependents.

    The call itself has succeeded. If this is interrupted, later calls continue it.
    """
    rest = scripts.for_the_rest()
    with suppress(errors.Unavailable):
        while rest.run_script("resume") != [0]:
            pass
