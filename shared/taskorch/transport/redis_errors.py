"""Error replies of Redis, and connections that bring no reply -> our errors.

Every word that a failover, a reshard or a role change produces is classified here, and only here.
"""

import re
from collections.abc import Sequence
from errno import EACCES, EMFILE, ENFILE, EPERM

from taskorch.domain import errors
from taskorch.queue.port import ScriptError

#: The first version that has all that the scripts use.
OLDEST = (7, 0)
#: A failover, a reshard or a restart explains these. They end soon: on this server, or on the one that took over.
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
#: These last until somebody acts, or until another client's script ends.
LASTING = frozenset(("OOM", "MISCONF", "BUSY", "MAXCLIENTS"))
#: Words under another name, and replies without a word of their own: by what the line begins with, or contains.
_ALIASES = {"ASK": "TRYAGAIN"}
_PHRASES = {
    "non local key": "TRYAGAIN",  # a script met a key of a slot that is being moved
    "cluster is down": "CLUSTERDOWN",
    "max number of clients": "MAXCLIENTS",
}
REFUSING = ("NOAUTH", "WRONGPASS", "NOPERM", "DENIED")
#: The user lacks a right, or names a database that does not exist.
_NOT_ALLOWED = ("ACL failure in script", "user executing the script can't", "DB index")
#: The reply of a server of another kind, and how to name it instead.
_WRONG_KIND = {
    "cluster support disabled": "no node of a cluster: name it by redis://host:port",
    "unknown command 'SENTINEL'": "no sentinel: name a Redis by redis://host:port",
    "unknown command 'EVALSHA'": "no Redis that runs scripts; sentinels are named by redis+sentinel://host:port/service",
}
#: redis-py has the error number in its text only. An error of TLS has the number 1, too, and its own text.
_NOT_PERMITTED = re.compile(rf"Error ({EPERM}|{EACCES}) connecting to (?!.*\[SSL)")
_NO_FILES = re.compile(rf"Error ({EMFILE}|{ENFILE}) connecting to ")
_CERTIFICATE = ("certificate", "unknown ca")


def word(line: str) -> str:
    """Return the word of hints.STALLS for an error reply that says "not now"; "" for any other."""
    first = line.partition(" ")[0]
    first = _ALIASES.get(first, first)
    if first in PASSING or first in LASTING:
        return first
    return next((each for words, each in _PHRASES.items() if words in line.lower()), "")


def of_reply(line: str, url: str) -> Exception:
    """Return our error for an error reply of Redis; a script's own comes back as it stands."""
    why = word(line)
    if why == "MOVED" and "+cluster://" not in url:
        return errors.Usage(
            reason=f"Redis at {url} is a node of a cluster: name it by redis+cluster://host:port"
        )
    if kind := next((kind for words, kind in _WRONG_KIND.items() if words in line), ""):
        return errors.Usage(reason=f"What answers at {url} is {kind}")
    if why:
        return errors.Stalled(url=url, reason=line, why=why)
    if line.startswith(REFUSING) or any(words in line for words in _NOT_ALLOWED):
        return errors.Refused(url=url, reason=line)
    if re.match(r"[A-Z_]+ \{", line):
        return ScriptError(line)
    return errors.TaskOrchestratorError(reason=f"Redis at {url} says: {line}")


def of_silence(error: Exception, url: str) -> errors.Unavailable:
    """Return our error for a connection that cannot be opened, or brings no reply."""
    if is_not_permitted(error):
        return errors.NotPermitted(
            url=url, reason=str(error), why="mode" if _is_mode(error) else "sandbox"
        )
    if (
        isinstance(error, OSError) and error.errno in (EMFILE, ENFILE)
    ) or _NO_FILES.match(str(error)):
        return errors.OutOfFiles(url=url)
    reason = str(error) or type(error).__name__
    if any(words in reason.lower() for words in _CERTIFICATE):
        return errors.Untrusted(url=url, reason=reason)
    return errors.Unreachable(url=url, reason=reason)


def is_not_permitted(error: BaseException) -> bool:
    """Return whether this process may not open the connection; redis-py has the error number in its text only."""
    return isinstance(error, PermissionError) or bool(_NOT_PERMITTED.match(str(error)))


def _is_mode(error: BaseException) -> bool:
    """Return whether the mode of a file forbids it: such an error has the file's name."""
    return isinstance(error, PermissionError) and error.filename is not None


def need_version(version: str, url: str) -> None:
    """Raise errors.TooOld for a server that cannot run the scripts; `version` is what its greeting says."""
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        raise errors.TooOld(url=url, version=version)


def need_replicas(reached: object, wanted: Sequence[str | int]) -> None:
    """Raise errors.NotReplicated when the reply to WAIT, with its number and milliseconds, falls short."""
    _, number, timeout_ms = wanted
    if not isinstance(reached, int):
        raise errors.NotReplicated(reached=0, wanted=number, reason=str(reached))
    if reached < int(number):
        raise errors.NotReplicated(
            reached=reached, wanted=number, reason=f"that is after {timeout_ms} ms"
        )
