"""What Redis says when it does not do a thing, and why no reply comes -> our errors."""

import re
from collections.abc import Sequence

from taskorch import errors
from taskorch.script import ScriptError

#: The first version that has all that the scripts use.
OLDEST = (7, 0)
#: Redis is there, but cannot do it now: each word is one that ways_out has advice for.
STALLED = ("LOADING", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MISCONF", "NOREPLICAS", "BUSY",
           "UNBLOCKED")  # fmt: skip
REFUSING = ("NOAUTH", "WRONGPASS", "NOPERM")
#: What a node of a cluster says in the midst of a script, while it does not have the whole slot.
_ON_ITS_WAY = ("non local key", "cluster is down")
#: What is said of a user who has not all rights, or names a database that is not there.
_NOT_ALLOWED = ("ACL failure in script", "user executing the script can't", "DB index")
#: What an address of another kind gets to hear, and what it should be.
_WRONG_KIND = {
    "cluster support disabled": "no node of a cluster: name it by redis://host:port",
    "unknown command 'SENTINEL'": "no sentinel: name a Redis by redis://host:port",
    "unknown command 'EVALSHA'": "no Redis that runs scripts; sentinels are named by redis+sentinel://host:port/service",
}
_CERTIFICATE = ("certificate", "unknown ca")


def word(line: str) -> str:
    """Return the word for what keeps Redis from doing it now, "" when it is something else."""
    first = line.partition(" ")[0]
    if first in ("ASK", "TRYAGAIN") or any(words in line.lower() for words in _ON_ITS_WAY):
        return "TRYAGAIN"
    if "max number of clients" in line:
        return "MAXCLIENTS"
    return first if first in (*STALLED, "MOVED") else ""


def of_reply(line: str, url: str) -> Exception:
    """Return our error for an error reply of Redis; a script's own comes back as it stands."""
    why = word(line)
    if why == "MOVED":
        return errors.Usage(reason=f"Redis at {url} is a node of a cluster: name it by redis+cluster://host:port")
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
    reason = str(error) or type(error).__name__
    if any(words in reason.lower() for words in _CERTIFICATE):
        return errors.Untrusted(url=url, reason=reason)
    return errors.Unreachable(url=url, reason=reason)


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
        raise errors.NotReplicated(reached=reached, wanted=number, reason=f"that is after {timeout_ms} ms")
