"""Ids as people give them: whole, or only their first digits."""

import re
from collections.abc import Collection, Sequence

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

#: The kinds of ids, by the word in front of their digits.
KINDS = ("item", "proj")
#: The number of digits of an id. An imported one may have more or fewer.
DIGITS = 8
#: The least number of digits, as in git: fewer soon name another item, too.
LEAST_DIGITS = 4
#: Candidates that an error names.
SHOWN = 5
_DIGITS = rf"[0-9a-f]{{{LEAST_DIGITS},{DIGITS}}}"


class ShortId(Frozen):
    """The first digits of an id."""

    #: As the user gave it.
    given: str
    #: "item" or "proj"; "" for either.
    kind: str
    digits: str


class Candidate(Frozen):
    """An item or a project whose id begins with the digits."""

    id: str
    title: str


def parse(given: str, kinds: Collection[str] = KINDS) -> str | ShortId:
    """Return a whole id, or the digits of a short one, for an argument of these kinds.

    Any other text is returned unchanged: it is refused where it is used.
    """
    match = re.fullmatch(rf"(?:({'|'.join(KINDS)})_)?({_DIGITS})", given)
    if not match:
        return given
    kind, digits = match[1] or "", match[2]
    if not kind and len(kinds) == 1:
        (kind,) = kinds
    if kind and len(digits) == DIGITS:
        return f"{kind}_{digits}"
    return ShortId(given=given, kind=kind, digits=digits)


def begun(given: str, kinds: Collection[str] = KINDS) -> ShortId | None:
    """Return the beginning of an id that is being typed; None for any other text."""
    match = re.fullmatch(rf"(?:({'|'.join(KINDS)})_)?([0-9a-f]*)", given)
    if match:
        kind, digits = match[1] or "", match[2]
    elif any(f"{kind}_".startswith(given) for kind in kinds):
        kind, digits = given.rstrip("_"), ""
        kind = next(each for each in kinds if each.startswith(kind))
    else:
        return None
    if not kind and len(kinds) == 1:
        (kind,) = kinds
    if kind and kind not in kinds:
        return None
    return ShortId(given=given, kind=kind, digits=digits)


def chosen(short: ShortId, found: Sequence[Candidate]) -> str:
    """Return the only candidate.

    Raises errors.NoItem, errors.NoProject and errors.AmbiguousId.
    """
    if len(found) == 1:
        return found[0].id
    if found:
        candidates = [
            {"id": each.id, "title": each.title} for each in found[:SHOWN]
        ]
        raise errors.AmbiguousId(
            given=short.given,
            candidates=candidates,
            more=int(len(found) > SHOWN),
        )
    if short.kind == "proj":
        raise errors.NoProject(project=short.given)
    raise errors.NoItem(item=short.given)
