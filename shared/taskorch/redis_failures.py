"""What redis-py raises -> our errors, and which of these failures a failover or a reshard explains."""

from redis import exceptions

from taskorch import errors, failures

#: What a failover or a reshard explains: it is over soon, on this server or on another one.
_PASSING = ("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED", "MOVED")


def passes(error: exceptions.RedisError) -> bool:
    """Return whether the same call may go well soon, because a failover or a reshard explains the failure."""
    told = explained(error, "")
    if isinstance(told, errors.Unreachable):
        return True
    return failures.word(_line(error)) in _PASSING


def explained(error: exceptions.RedisError, url: str) -> Exception:
    """Return our error for one of redis-py's; a script's own comes back as it stands."""
    line = _line(error)
    if isinstance(error, exceptions.InvalidResponse):
        return errors.Unreachable(url=url, reason=f"what answers there is not Redis ({error})")
    if isinstance(error, exceptions.AuthenticationError):
        return errors.Refused(url=url, reason=line)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)) and not failures.word(line):
        return failures.of_silence(error, url)
    return failures.of_reply(line, url)


def _line(error: exceptions.RedisError) -> str:
    """Return an error reply as Redis sent it: redis-py keeps its first word apart."""
    return f"{error.status_code} {error}" if error.status_code else str(error)
