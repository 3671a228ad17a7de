"""Errors of redis-py -> our errors, by the words that `failures` classifies."""

from redis import exceptions

from taskorch.domain import errors
from taskorch.transport import redis_errors

#: redis-py raises some of these by itself, without the word of a reply.
_WORDS = {
    exceptions.BusyLoadingError: "LOADING",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.ClusterDownError: "CLUSTERDOWN",
    exceptions.TryAgainError: "TRYAGAIN",
    exceptions.AskError: "ASK",
    exceptions.MovedError: "MOVED",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.NoPermissionError: "NOPERM",
}


def passes(error: exceptions.RedisError) -> bool:
    """Return whether the same call may succeed soon, because a failover or a reshard explains the failure."""
    return (
        isinstance(explained(error, ""), errors.Unreachable)
        or redis_errors.word(_line(error)) in redis_errors.PASSING
    )


def explained(error: exceptions.RedisError, url: str) -> Exception:
    """Return our error for one of redis-py's; a script's own comes back as it stands."""
    line = _line(error)
    if isinstance(error, exceptions.InvalidResponse):
        return errors.Unreachable(
            url=url, reason=f"what answers there is not Redis ({error})"
        )
    if isinstance(error, exceptions.AuthenticationError):
        return errors.Refused(url=url, reason=line)
    if isinstance(
        error, (exceptions.ConnectionError, exceptions.TimeoutError)
    ) and not redis_errors.word(line):
        return redis_errors.of_silence(error, url)
    return redis_errors.of_reply(line, url)


def _line(error: exceptions.RedisError) -> str:
    """Return an error reply as Redis sent it: redis-py keeps its first word apart."""
    first = error.status_code or _WORDS.get(type(error), "")
    return f"{first} {error}" if first else str(error)
