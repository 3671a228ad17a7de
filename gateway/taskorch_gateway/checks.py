"""What a client may call: the one check of a call of a script, for every route.

What the token of a client allows is checked here, and everything else by the script.
"""

import re
from collections.abc import Sequence
from hashlib import sha256
from typing import cast

from taskorch.domain import errors, limits, short_id
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role
from taskorch.queue import discoveries, roles, scripts
from taskorch.queue.port import CLIENT, CONFINED, REPEAT, Argument, Script
from taskorch.version import __version__

from taskorch_gateway import bounds

#: The words in front of a script's own: request, agent, host, pid, session, version.
CALLER_WORDS = 6
SCRIPTS = frozenset(scripts.names())
REQUEST, AGENT, HOST, PID, SESSION, VERSION = range(CALLER_WORDS)
#: A request id, the access token of a schedule that a service names, and the mark of a repeat.
_REQUEST = r"[0-9a-f]{16}(:tok_[0-9a-f]{8})?\+?"
#: Maximum number of characters of host, pid, session and version.
WORD_CHARACTERS = 255
#: The number of words of a report without an origin. An origin, which only the mirror
#: of files states, may be that of another agent's report.
WITHOUT_ORIGIN = {
    "progress": 11,
    "discover": 10,
    "blocker": 10,
    "note": 8,
}
#: The scripts whose first word says as whom they read.
_READERS = ("new_discoveries", "count_new_discoveries")
#: The scripts of a worker that read discoveries -> the word with what they read.
_TARGETS = {"discoveries": 0, "new_discoveries": 1, "count_new_discoveries": 1}
#: The number of words that `complete` has in front of its items, and for each item. The
#: last word in front of them is the number of items.
COMPLETE_WORDS, ITEM_WORDS = 10, 6
COMPLETE_COUNT = COMPLETE_WORDS - 1


class Call(Frozen):
    """A call of a script, checked as far as the gateway does."""

    script: Script
    words: tuple[str, ...]


def checked(access: ClientAccess, name: str, given: object) -> Call:
    """Return a call that a token allows.

    Raises errors.Usage for words of the wrong form, errors.NotAllowed for a script or a
    caller that the token is not for, and errors.OtherVersion.
    """
    if name not in SCRIPTS:
        raise errors.Usage(reason="There is no such script.")
    need_role(access, name)
    _need_scope(access, name)
    words = _words(given)
    _need_own_token(access, name, words)
    _need_version(words[VERSION])
    name_of_caller, _, names = words[AGENT].partition(",")
    need_name(access, name_of_caller)
    pools = names.split(",") if names else ()
    need_pools(access, pools)
    if access.role is not Role.ADMIN:
        _need_no_mirror(name, words)
        bounds.check(name, words[CALLER_WORDS:])
        _need_own(access, name, words[CALLER_WORDS:])
    return Call(script=scripts.load(name), words=words)


def _need_own_token(
    access: ClientAccess, script: str, words: Sequence[str]
) -> None:
    """Raise errors.NotAllowed for the name of another token.

    The service of an administrator applies the plan of a schedule under the token of the
    client that has added it.
    """
    is_service = access.role is Role.ADMIN and script == "create"
    if CLIENT in words[REQUEST] and not is_service:
        raise errors.NotAllowed(
            reason="only a service names the access token of a schedule."
        )


def _words(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) < CALLER_WORDS:
        raise errors.Usage(reason="arguments is not a list of a call's words.")
    if not all(isinstance(word, str) for word in given):
        raise errors.Usage(reason="Each argument is text.")
    try:
        "".join(given).encode()
    except UnicodeEncodeError:
        raise errors.Usage(reason="An argument is not valid text.") from None
    words = tuple(cast("list[str]", given))
    if not re.fullmatch(_REQUEST, words[REQUEST]):
        raise errors.Usage(reason="The first argument is not a request id.")
    for word in words[HOST:CALLER_WORDS]:
        if len(word) > WORD_CHARACTERS:
            raise errors.Usage(
                reason=f"Host, pid, session and version have at most "
                f"{WORD_CHARACTERS} characters."
            )
    return words


def need_role(access: ClientAccess, script: str) -> None:
    """Raise errors.NotAllowed for a script that the role of a token may not run."""
    if not roles.may_run(access.role, script):
        raise errors.NotAllowed(
            reason=f"its role is {access.role}, which may not run {script}."
        )


def _need_scope(access: ClientAccess, script: str) -> None:
    """Raise errors.NotAllowed for a confined token and a script of all projects."""
    if access.project and not roles.may_run_in_a_project(script):
        raise errors.NotAllowed(
            reason=f"it is for {access.project}, and {script} shows all projects."
        )


def need_name(access: ClientAccess, name: str) -> None:
    """Raise errors.NotAllowed for a caller with another name than the token's.

    An administrator may act as anyone: its service imports the reports of all agents.
    """
    if access.role is Role.ADMIN or name == access.name:
        return
    setting = "AGENT_ID" if access.role is Role.WORKER else "ORCHESTRATOR_ID"
    raise errors.NotAllowed(
        reason=f"it is for {access.name}. Set {setting}={access.name}"
    )


def need_pools(access: ClientAccess, pools: Sequence[str]) -> None:
    """Raise errors.NotAllowed for a pool that the token does not name.

    An administrator may take items from any.
    """
    for pool in limits.pools(pools):
        if access.role is not Role.ADMIN and pool not in access.pools:
            raise errors.NotAllowed(
                reason=f"it may not take items from the pool {pool}. Name the pool: "
                f"orchestrate token edit {access.token} --pool {pool}"
            )


def _need_version(version: str) -> None:
    """Raise errors.OtherVersion for a client whose scripts may take other words."""
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise errors.OtherVersion(
            client=limits.shortened(version), gateway=__version__, url=""
        )


def _need_no_mirror(name: str, words: Sequence[str]) -> None:
    """Raise errors.NotAllowed for what only the file mirror may do.

    It imports the reports of other agents, and reads their fencing tokens.
    """
    if _has_origin(name, words):
        raise errors.NotAllowed(
            reason="only an administrator imports reports of files."
        )
    if name == "records" and any(words[CALLER_WORDS : CALLER_WORDS + 1]):
        raise errors.NotAllowed(
            reason="only an administrator reads the leases of others."
        )


def _need_own(access: ClientAccess, name: str, own: Sequence[str]) -> None:
    """Raise errors.NotAllowed for what belongs to another reader or agent.

    `own` are the words of the script, behind the caller.
    """
    if name in _READERS:
        _need_own_reader(access.role, own[0])
    if access.role is not Role.WORKER:
        return
    if name in _TARGETS:
        _need_own_projects(own[_TARGETS[name]])
    elif name == "find":
        _need_given_digits(access, own[1], own[4])


def _need_own_reader(role: Role, reader: str) -> None:
    """Raise errors.NotAllowed for the news of a reader of another role."""
    is_worker = role is Role.WORKER
    expected = discoveries.WORKER if is_worker else discoveries.ORCHESTRATOR
    if reader != expected:
        raise errors.NotAllowed(
            reason=f"its role is {role}, which does not read as {reader}."
        )


def _need_own_projects(target: str) -> None:
    """Raise errors.NotAllowed for the discoveries of any project.

    A worker reads those of the projects of its items, or of one item that it knows.
    """
    if target != discoveries.OWN and not limits.is_item_id(target):
        raise errors.NotAllowed(
            reason="a worker reads the discoveries of the projects of items."
        )


def _need_given_digits(access: ClientAccess, digits: str, agent: str) -> None:
    """Raise errors.NotAllowed for a search that would list ids of other agents."""
    is_list = len(digits) < short_id.LEAST_DIGITS
    if agent != access.name and (agent or is_list):
        raise errors.NotAllowed(
            reason=f"a worker lists its own ids, and looks for others by at least "
            f"{short_id.LEAST_DIGITS} digits."
        )


def _has_origin(name: str, words: Sequence[str]) -> bool:
    """Return whether a report states an origin behind its other words."""
    if name == "complete":
        count = words[COMPLETE_COUNT] if len(words) > COMPLETE_COUNT else ""
        if not re.fullmatch(r"[1-9][0-9]{0,2}", count):
            raise errors.Usage(reason="The number of items is not a number.")
        return len(words) > COMPLETE_WORDS + ITEM_WORDS * int(count)
    return len(words) > WITHOUT_ORIGIN.get(name, len(words))


def own_request(
    access: ClientAccess, words: tuple[str, ...]
) -> tuple[Argument, ...]:
    """Return the words with a request id that no other token can name.

    Kept replies are found by this id, so no client reads a reply kept for another. The
    token follows it, or the one that a service names, and the project that it is confined
    to.
    """
    first = words[REQUEST]
    mark = REPEAT if first.endswith(REPEAT) else ""
    request, _, named = first.removesuffix(REPEAT).partition(CLIENT)
    own = sha256(f"{access.token} {request}".encode()).hexdigest()[:16]
    own += CLIENT + (named or access.token)
    if access.project:
        own += CONFINED + access.project
    return own + mark, *words[1:]
