"""Short ids: the item or project that the first digits of its id name."""

from collections.abc import Callable
from typing import cast

from taskorch.domain import limits
from taskorch.domain.short_id import SHOWN, Candidate, ShortId, chosen
from taskorch.queue.port import Reply


def whole_id(run_script: Callable[..., Reply], short: ShortId) -> str:
    """Return the id that begins with these digits.

    A call looks at a bounded number of ids, and the next one continues. Raises
    errors.NoItem, errors.NoProject and errors.AmbiguousId.
    """
    found: dict[str, Candidate] = {}
    cursor = ""
    while len(found) <= SHOWN:
        reply = run_script(
            "find", short.kind, short.digits, cursor, SHOWN + 1, ""
        )
        cursor, candidates = _read(reply)
        found |= {each.id: each for each in candidates}
        if not cursor:
            break
    return chosen(short, tuple(found.values()))


def candidates(
    run_script: Callable[..., Reply],
    short: ShortId,
    *,
    limit: int,
    agent: str = "",
) -> tuple[Candidate, ...]:
    """Return ids that begin with these digits, as far as one call finds them.

    With an `agent`, only the items that it holds or that are ready for it.
    """
    reply = run_script("find", short.kind, short.digits, "", limit, agent)
    _, found = _read(reply)
    return found


def _read(reply: Reply) -> tuple[str, tuple[Candidate, ...]]:
    """Read `{cursor, {{id, title} …}}`; a damaged id is left out."""
    cursor, rows = cast("tuple[str, list[tuple[str, str]]]", reply)
    found = tuple(
        Candidate(id=id_, title=title)
        for id_, title in rows
        if limits.is_item_id(id_) or limits.is_project_id(id_)
    )
    return cursor, found
