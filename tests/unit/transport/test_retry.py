"""A retrying connection repeats what may pass, and reports an outage once."""

from collections.abc import Sequence
from math import inf
from threading import Thread

import pytest
from taskorch.domain import backoff, errors
from taskorch.domain.backoff import Patience
from taskorch.queue.port import Argument, Reply, Script
from taskorch.queue.scripts import load
from taskorch.transport.retry import (
    ConnectionClosed,
    OutageNotice,
    RetryingConnection,
    is_not_final,
)

SCRIPT = load("records")
AWAY = errors.Unreachable(url="redis://there", reason="refused")
REFUSED = errors.Refused(url="redis://there", reason="NOAUTH")


class FailingConnection:
    """A connection whose first attempts fail with the given errors."""

    def __init__(self, *failures: errors.Unavailable) -> None:
        self.failures = list(failures)
        self.attempts = 0

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self._attempt()
        return [script.name, key, *arguments]

    def run_command(self, key: str, *command: Argument) -> Reply:
        self._attempt()
        return [key, *command]

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        self._attempt()
        return bool(lists and timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        self._attempt()
        return bool(key and cursor and timeout_s)

    def break_off(self, thread: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def _attempt(self) -> None:
        self.attempts += 1
        if self.failures:
            raise self.failures.pop(0)


def retrying(
    connection: FailingConnection, *, attempts: int = 1, seconds: float = 0
) -> RetryingConnection:
    patience = Patience(
        may_pass=is_not_final,
        attempts=attempts,
        seconds=seconds,
        longest_pause_s=0.001,
    )
    return RetryingConnection(connection, patience)


def test_call_is_repeated_until_it_succeeds() -> None:
    connection = FailingConnection(AWAY, AWAY)

    assert retrying(connection, seconds=60).run_script(
        SCRIPT, "key", (1,)
    ) == [
        "records",
        "key",
        1,
    ]
    assert connection.attempts == 3


def test_attempts_end_with_the_patience() -> None:
    connection = FailingConnection(*[AWAY] * 9)

    with pytest.raises(errors.Unreachable):
        retrying(connection, attempts=3).run_script(SCRIPT, "key", ())

    assert connection.attempts == 3


def test_final_error_is_not_retried() -> None:
    connection = FailingConnection(REFUSED)

    with pytest.raises(errors.Refused):
        retrying(connection, seconds=60).run_script(SCRIPT, "key", ())

    assert connection.attempts == 1


def test_done_step_without_replicas_is_not_repeated() -> None:
    lonely = errors.NotReplicated(reached=0, wanted=1, reason="after 1 ms")
    connection = FailingConnection(lonely)

    with pytest.raises(errors.NotReplicated):
        retrying(connection, seconds=60).run_script(SCRIPT, "key", ())

    assert connection.attempts == 1


def test_broken_wait_lets_the_caller_look_again() -> None:
    connection = FailingConnection(AWAY, AWAY)
    patient = retrying(connection, seconds=60)

    assert not patient.wait_for_wake(["key"], 1)
    assert not patient.wait_for_entry("key", "0-0", 1)
    assert patient.wait_for_wake(["key"], 1)


def test_broken_wait_on_one_server_raises() -> None:
    patience = Patience(may_pass=is_not_final, attempts=3)
    connection = RetryingConnection(
        FailingConnection(AWAY), patience, resumes_waits=False
    )

    with pytest.raises(errors.Unreachable):
        connection.wait_for_wake(["key"], 1)


def test_closed_connection_repeats_nothing() -> None:
    connection = FailingConnection(AWAY)
    patient = retrying(connection, seconds=60)
    patient.close()

    with pytest.raises(errors.Unreachable):
        patient.run_script(SCRIPT, "key", ())

    assert connection.attempts == 1
    assert patient.run_script(SCRIPT, "key", (1,)) == ["records", "key", 1]


def test_final_close_ends_a_repeated_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Only the close ends the pause after the first failure.
    monkeypatch.setattr(backoff, "FIRST_PAUSE_S", 60.0)
    patience = Patience(may_pass=is_not_final, seconds=inf, longest_pause_s=60)
    ended: list[type[BaseException]] = []
    failed = []

    def notify(failure: errors.Unavailable | None) -> None:
        failed.append(failure)
        closing.start()

    connection = RetryingConnection(
        FailingConnection(*[AWAY] * 99),
        patience,
        close_is_final=True,
        notify=notify,
    )
    closing = Thread(target=connection.close)

    try:
        connection.run_script(SCRIPT, "key", ())
    except ConnectionClosed as error:
        ended.append(type(error))

    assert ended == [ConnectionClosed]
    assert failed == [AWAY]
    with pytest.raises(ConnectionClosed):
        connection.wait_for_wake(["key"], 1)


def test_outage_and_its_end_are_reported_once() -> None:
    said: list[str] = []
    notice = OutageNotice(said.append)

    for failure in (None, AWAY, AWAY, None, None):
        notice(failure)

    assert len(said) == 2
    assert said[0] == f"{str(AWAY).rstrip('.')}. Retrying."
    assert said[1] == "Redis answers again."
