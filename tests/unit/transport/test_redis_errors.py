"""Error replies of a failover, a reshard or a role change, with and without redis-py."""

from typing import Any, cast

import pytest
from redis import exceptions
from redis._parsers.base import BaseParser
from taskorch.domain import errors, hints
from taskorch.queue.port import ScriptError
from taskorch.transport import redis_errors
from taskorch.transport.failover import our_error
from taskorch.transport.redis_errors import is_passing

CLUSTER = "redis+cluster://127.0.0.1:7000"
#: The words of Redis 7.0 and Valkey 9.1, and how each is classified.
PASSING = {
    "MOVED 3999 127.0.0.1:7001": "MOVED",
    "ASK 3999 127.0.0.1:7001": "TRYAGAIN",
    "TRYAGAIN Multiple keys request during rehashing of slot": "TRYAGAIN",
    "ERR Script attempted to access a non local key in a cluster node": "TRYAGAIN",
    "CLUSTERDOWN Hash slot not served": "CLUSTERDOWN",
    "CLUSTERDOWN The cluster is down and only accepts read commands": "CLUSTERDOWN",
    "ERR Can not execute a command 'mget' while the cluster is down": "CLUSTERDOWN",
    "READONLY You can't write against a read only replica.": "READONLY",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": "MASTERDOWN",
    "LOADING Redis is loading the dataset in memory": "LOADING",
    "NOREPLICAS Not enough good replicas to write.": "NOREPLICAS",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)": "UNBLOCKED",
}
LASTING = {
    "OOM command not allowed when used memory > 'maxmemory'.": "OOM",
    "MISCONF Errors writing to the AOF file: No space left on device": "MISCONF",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.": "BUSY",
    "ERR max number of clients reached": "MAXCLIENTS",
    "ERR max number of clients + cluster connections reached": "MAXCLIENTS",
}
REFUSING = (
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "NOPERM User ada has no permissions to run the 'evalsha' command",
    "DENIED Redis is running in protected mode because protected mode is enabled and no password is set",
)


@pytest.mark.parametrize("line", PASSING)
def test_role_error_makes_redis_py_client_look_again(line: str) -> None:
    error = _parsed(line)

    assert is_passing(our_error(error, CLUSTER))
    assert _stalled(our_error(error, CLUSTER)).details["why"] == PASSING[line]


@pytest.mark.parametrize("line", LASTING)
def test_lasting_error_is_not_retried_by_client(line: str) -> None:
    error = _parsed(line)

    assert not is_passing(our_error(error, CLUSTER))
    assert _stalled(our_error(error, CLUSTER)).details["why"] == LASTING[line]


@pytest.mark.parametrize("line", [*PASSING, *LASTING])
def test_error_of_single_server_has_advice(line: str) -> None:
    told = redis_errors.of_reply(line, CLUSTER)

    assert _stalled(told).retryable
    assert "Nothing is half done" in _stalled(told).hint()


@pytest.mark.parametrize("line", REFUSING)
def test_refusal_is_not_retried(line: str) -> None:
    told = redis_errors.of_reply(line, "redis://there")

    assert isinstance(told, errors.Refused)
    assert not is_passing(our_error(_parsed(line), CLUSTER))


def test_protected_mode_is_our_error() -> None:
    told = redis_errors.of_reply(REFUSING[-1], "redis://there")

    assert isinstance(told, errors.Refused)
    assert "requirepass" in told.hint()


@pytest.mark.parametrize(
    "words",
    [
        "Function not found",
        "the cluster is down",
        "max number of clients",
        "DB index",
        "unknown command 'EVALSHA'",
    ],
)
def test_text_of_user_is_no_error_of_redis(words: str) -> None:
    line = f'CANCELLED {{"item":"item_00000001","reason":"{words}"}}'

    told = redis_errors.of_reply(line, "redis://there")

    assert isinstance(told, ScriptError)
    assert not redis_errors.lacks_function(line)
    assert not redis_errors.stall_word(line)


def test_moved_from_a_single_address_names_the_cluster() -> None:
    told = redis_errors.of_reply("MOVED 3999 127.0.0.1:7001", "redis://there")

    assert isinstance(told, errors.Usage)
    assert "redis+cluster://" in str(told)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (
            exceptions.ReadOnlyError("it is not the primary any more"),
            "READONLY",
        ),
        (
            exceptions.ClusterDownError(
                "no node has the slot of this namespace"
            ),
            "CLUSTERDOWN",
        ),
        (exceptions.BusyLoadingError("loading"), "LOADING"),
        (exceptions.MasterDownError("down"), "MASTERDOWN"),
        (exceptions.TryAgainError("moving"), "TRYAGAIN"),
        (exceptions.MovedError("3999 127.0.0.1:7001"), "MOVED"),
        (exceptions.AskError("3999 127.0.0.1:7001"), "TRYAGAIN"),
    ],
)
def test_role_error_without_reply_makes_client_look_again(
    error: exceptions.RedisError, why: str
) -> None:
    assert is_passing(our_error(error, CLUSTER))
    assert _stalled(our_error(error, CLUSTER)).details["why"] == why


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ConnectionError("closed"),
        exceptions.TimeoutError("no reply"),
    ],
)
def test_lost_connection_makes_client_look_again(
    error: exceptions.RedisError,
) -> None:
    assert is_passing(our_error(error, CLUSTER))
    assert isinstance(our_error(error, CLUSTER), errors.Unreachable)


def test_limit_of_open_files_is_not_unreachable() -> None:
    error = exceptions.ConnectionError(
        "Error 24 connecting to 127.0.0.1:7000. Too many open files."
    )

    assert isinstance(our_error(error, CLUSTER), errors.OutOfFiles)
    assert not is_passing(our_error(error, CLUSTER))


def test_every_word_has_advice() -> None:
    assert set(hints.STALLS) == redis_errors.PASSING | redis_errors.LASTING


def _parsed(line: str) -> exceptions.RedisError:
    return cast(
        "exceptions.RedisError", cast("Any", BaseParser).parse_error(line)
    )


def _stalled(error: Exception) -> errors.Stalled:
    assert isinstance(error, errors.Stalled), repr(error)
    return error


@pytest.mark.parametrize("version", ["7", "8", "7.0", "255.255.255"])
def test_new_enough_version_is_accepted(version: str) -> None:
    redis_errors.need_version(version, "redis://there")


@pytest.mark.parametrize("version", ["6", "6.2.14"])
def test_old_version_is_refused(version: str) -> None:
    with pytest.raises(errors.TooOld, match="is required"):
        redis_errors.need_version(version, "redis://there")
