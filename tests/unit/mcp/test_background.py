"""Work that outlives the call of a tool that began it."""

from threading import Event

import pytest
from taskorch.mcp import background
from taskorch.mcp.background import Background

SOON_S = 30


class Cancelled(Exception):
    """The client has cancelled the call."""


class Slow:
    """Work that ends when it may, and counts how often it has begun."""

    def __init__(self) -> None:
        self.may_end = Event()
        self.begun = 0

    def __call__(self) -> int:
        self.begun += 1
        self.may_end.wait(SOON_S)
        return self.begun


def cancel() -> None:
    raise Cancelled


def result(works: Background[int], work: Slow, key: str = "a") -> int:
    return works.result(key, work, timeout_s=SOON_S, look=lambda: None)


def test_work_outlives_its_cancelled_call() -> None:
    works, work = Background[int](), Slow()

    with pytest.raises(Cancelled):
        works.result("a", work, timeout_s=SOON_S, look=cancel)
    work.may_end.set()
    again = result(works, work)

    assert (again, work.begun) == (1, 1)


def test_wait_for_work_ends_in_time() -> None:
    works, work = Background[int](), Slow()

    with pytest.raises(TimeoutError):
        works.result("a", work, timeout_s=0, look=lambda: None)
    work.may_end.set()

    assert result(works, work) == 1


def test_taken_result_is_not_given_again() -> None:
    works, work = Background[int](), Slow()
    work.may_end.set()

    first, second = result(works, work), result(works, work)

    assert (first, second) == (1, 2)


def test_keys_have_work_of_their_own() -> None:
    works, work, other = Background[int](), Slow(), Slow()
    work.may_end.set()
    other.may_end.set()
    other.begun = 5

    assert result(works, work, "a") == 1
    assert result(works, other, "b") == 6


def test_error_of_work_is_raised_once() -> None:
    works = Background[int]()

    def fail() -> int:
        raise ValueError("no schema")

    with pytest.raises(ValueError, match="no schema"):
        works.result("a", fail, timeout_s=SOON_S, look=lambda: None)
    work = Slow()
    work.may_end.set()

    assert result(works, work) == 1


def test_old_result_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "KEPT_S", -1.0)
    works, work = Background[int](), Slow()
    with pytest.raises(Cancelled):
        works.result("a", work, timeout_s=SOON_S, look=cancel)
    kept = works._works["a"]
    work.may_end.set()
    assert kept.wait(SOON_S)

    assert result(works, work) == 2


def test_results_that_no_call_takes_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works, work = Background[int](), Slow()
    with pytest.raises(Cancelled):
        works.result("a", work, timeout_s=SOON_S, look=cancel)
    kept = works._works["a"]
    work.may_end.set()
    assert kept.wait(SOON_S)
    monkeypatch.setattr(background, "KEPT_S", -1.0)

    result(works, work, "b")

    assert works._works == {}
