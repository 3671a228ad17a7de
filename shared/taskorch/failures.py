"""What redis-py raises -> our errors, and which of these failures a failover or a reshard explains."""

import re

from redis import exceptions

from taskorch import errors
from taskorch.script import ScriptError

_REFUSING = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
#: Redis is there, but cannot do it now: each word is one that errors.Stalled has advice for.
_STALLED = {
    exceptions.BusyLoadingError: "LOADING",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.AskError: "TRYAGAIN",
}
_STALLED_WORDS = re.compile(
    r"(LOADING|OOM|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|NOREPLICAS|BUSY|UNBLOCKED)\b"
)
#: What a node of a cluster says in the midst of a script, while it does not have the whole slot.
_ON_ITS_WAY = re.compile(r"non local key|cluster is down", re.IGNORECASE)
#: What it says there of a user who has not all rights.
_NO_RIGHT = re.compile(r"ACL failure in script|user executing the script can't")
#: What an address of another kind gets to hear, and what it should be.
_WRONG_KIND = {
    "cluster support disabled": "no node of a cluster: name it by redis://host:port",
    "unknown command 'SENTINEL'": "no sentinel: name a Redis by redis://host:port",
    "unknown command 'EVALSHA'": "no Redis that runs scripts; sentinels are named by redis+sentinel://host:port/service",
}
_SCRIPT_ERROR = re.compile(r"[A-Z_]+ \{")
_CERTIFICATE = re.compile(r"certificate|unknown ca\b", re.IGNORECASE)
#: What a failover or a reshard explains: it is over soon, on this server or on another one.
_PASSING_WORDS = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED", "MOVED")


def passes(error: exceptions.RedisError) -> bool:
    """Return whether the same call may go well soon, because a failover or a reshard explains the failure."""
    if isinstance(error, _REFUSING) or _CERTIFICATE.search(str(error)):
        return False
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return True
    return _word(error) in _PASSING_WORDS


def explained(error: exceptions.RedisError, url: str) -> Exception:  # noqa: PLR0911  a table, as it were
    """Return our error for one of redis-py's; a script's own comes back as it stands."""
    reason = str(error) or type(error).__name__
    word = _word(error)
    if word == "MOVED" and "+cluster://" not in url:
        return errors.Usage(reason=f"Redis at {url} is a node of a cluster: name it by redis+cluster://host:port")
    if kind := next((kind for words, kind in _WRONG_KIND.items() if words in reason), ""):
        return errors.Usage(reason=f"What answers at {url} is {kind}")
    if word:
        return errors.Stalled(url=url, reason=reason, why=word)
    if isinstance(error, _REFUSING) or _NO_RIGHT.search(reason) or "DB index" in reason:
        return errors.Refused(url=url, reason=reason)
    if _CERTIFICATE.search(reason):
        return errors.Untrusted(url=url, reason=reason)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)):
        return errors.Unreachable(url=url, reason=reason)
    if _SCRIPT_ERROR.match(reason):
        return ScriptError(reason)
    if isinstance(error, exceptions.InvalidResponse):
        return errors.Unreachable(url=url, reason=f"what answers there is not Redis ({reason})")
    return errors.TaskOrchestratorError(reason=f"Redis at {url} says: {reason}")


def _word(error: exceptions.RedisError) -> str:
    """Return the word for what keeps Redis from doing it now, "" when it is something else."""
    if isinstance(error, exceptions.MovedError):
        return "MOVED"
    if found := next((word for kind, word in _STALLED.items() if isinstance(error, kind)), ""):
        return found
    if _ON_ITS_WAY.search(str(error)):
        return "TRYAGAIN"
    match = _STALLED_WORDS.match(str(error))
    return match[1] if match else ""
