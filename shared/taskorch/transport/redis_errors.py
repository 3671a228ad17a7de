"""Turns error replies of Redis, and connections without a reply, into our errors.

All words that a failover, a reshard or a role change produces are classified here.
"""

import re
from collections.abc import Sequence
from errno import EACCES, EMFILE, ENFILE, EPERM

from taskorch.domain import errors
from taskorch.queue.port import ScriptError

#: The first version with everything that the scripts use.
OLDEST = (7, 0)
#: Replies during a failover, a reshard or a restart. They end soon, on this server or
#: on the one that takes over.
PASSING = frozenset(
    (
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "TRYAGAIN",
        "MOVED",
        "NOREPLICAS",
        "UNBLOCKED",
    )
)
#: Replies that last until a user acts, or until another client's script ends.
LASTING = frozenset(("OOM", "MISCONF", "BUSY", "MAXCLIENTS"))
#: Other names of these words.
_ALIASES = {"ASK": "TRYAGAIN"}
#: Replies that contain a phrase instead of such a word.
_PHRASES = {
    "non local key": "TRYAGAIN",  # a script used a key of a slot that is being moved
    "cluster is down": "CLUSTERDOWN",
    "max number of clients": "MAXCLIENTS",
}
#: The reply to FCALL if no library has the function.
_FUNCTION_MISSING = "Function not found"
_NOT_INSTALLED = (
    "the functions of this version are not installed, and this user can neither install "
    "them nor run scripts"
)
REFUSING = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")
#: The user lacks a right, or names a database that does not exist.
_NOT_ALLOWED = (
    "ACL failure in script",
    "user executing the script can't",
    "DB index",
)
#: Replies of a server of another kind, and the address to use instead.
_WRONG_KIND = {
    "cluster support disabled": "not a node of a cluster: use redis://host:port",
    "unknown command 'SENTINEL'": "not a sentinel: use redis://host:port",
    "unknown command 'EVALSHA'": (
        "not a Redis that runs scripts; for sentinels, use "
        "redis+sentinel://host:port/service"
    ),
}
#: redis-py has the error number in its text only. A TLS error also has the number 1.
_NOT_PERMITTED = rf"Error ({EPERM}|{EACCES}) connecting to (?!.*\[SSL)"
_NO_FILES = rf"Error ({EMFILE}|{ENFILE}) connecting to "
_CERTIFICATE = ("certificate", "unknown ca")


#: The start of a script's own error. Its details have texts of users, which may contain
#: the words of any other reply.
_OF_SCRIPT = r"[A-Z_]+ \{"


def lacks_function(line: str) -> bool:
    """Return whether an error reply says that no library has the function of an FCALL."""
    return _FUNCTION_MISSING in line and not is_of_script(line)


def stall_word(line: str) -> str:
    """Return the key in hints.STALLS of an error reply that says "not now", or ""."""
    if is_of_script(line):
        return ""
    first = line.partition(" ")[0]
    first = _ALIASES.get(first, first)
    if first in PASSING or first in LASTING:
        return first
    for phrase, word in _PHRASES.items():
        if phrase in line.lower():
            return word
    return ""


def of_reply(line: str, url: str) -> Exception:
    """Return our error for an error reply; an error of a script is a ScriptError."""
    if is_of_script(line):
        return ScriptError(line)
    why = stall_word(line)
    if why == "MOVED" and "+cluster://" not in url:
        return errors.Usage(
            reason=f"Redis at {url} is a node of a cluster. Use redis+cluster://host:port."
        )
    for words, kind in _WRONG_KIND.items():
        if words in line:
            reason = f"The server at {url} is {kind}."
            return errors.Usage(reason=reason)
    if why:
        return errors.Stalled(url=url, reason=line, why=why)
    if lacks_function(line):
        line = f"NOPERM {_NOT_INSTALLED} ({line})"
    is_refused = line.startswith(REFUSING)
    if is_refused or any(words in line for words in _NOT_ALLOWED):
        return errors.Refused(url=url, reason=line)
    return errors.TaskOrchestratorError(
        reason=f"Redis at {url} replied: {line}"
    )


def of_silence(error: Exception, url: str) -> errors.Unavailable:
    """Return our error for a connection that cannot be opened or brings no reply."""
    reason = str(error) or type(error).__name__
    number = error.errno if isinstance(error, OSError) else None
    if is_not_permitted(error):
        why = "sandbox"
        if isinstance(error, PermissionError) and error.filename is not None:
            why = "mode"  # of the socket, which is the file
        return errors.NotPermitted(url=url, reason=reason, why=why)
    if number in (EMFILE, ENFILE) or re.match(_NO_FILES, reason):
        return errors.OutOfFiles(url=url)
    for words in _CERTIFICATE:
        if words in reason.lower():
            return errors.Untrusted(url=url, reason=reason)
    return errors.Unreachable(url=url, reason=reason)


def is_not_permitted(error: BaseException) -> bool:
    """Return whether this process may not open the connection."""
    if isinstance(error, PermissionError):
        return True
    return bool(re.match(_NOT_PERMITTED, str(error)))


def is_passing(error: Exception) -> bool:
    """Return whether a failover, a reshard or a restart may explain one of our errors.

    If so, the same call may succeed soon.
    """
    if isinstance(error, errors.Stalled):
        why = error.details["why"]
        return why in PASSING
    return isinstance(error, errors.Unreachable)


def need_version(version: str, url: str) -> None:
    """Raise errors.TooOld if a server of this version cannot run the scripts."""
    major, minor, *_ = f"{version}.0".split(".")
    if (int(major), int(minor)) < OLDEST:
        raise errors.TooOld(url=url, version=version)


def need_replicas(
    reply: object, reached: object, wanted: Sequence[str | int]
) -> None:
    """Raise errors.NotReplicated if the reply to the command WAIT falls short of it.

    `reply` is that of the step before.
    """
    _, number, timeout_ms = wanted
    if not isinstance(reached, int):
        number_reached, reason = 0, str(reached)
    elif reached < int(number):
        number_reached, reason = reached, f"after {timeout_ms} ms"
    else:
        return
    error = errors.NotReplicated(
        reached=number_reached, wanted=number, reason=reason
    )
    error.reply = reply
    raise error


def is_of_script(line: str) -> bool:
    """Return whether an error reply is a refusal of a script of ours."""
    return bool(re.match(_OF_SCRIPT, line))
