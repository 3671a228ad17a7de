"""The number of calls that one access token may make."""

import pytest
from taskorch.domain import errors
from taskorch_gateway.rates import Rates


def test_token_that_calls_too_often_is_refused() -> None:
    rates = Rates(5)
    for _ in range(10):
        rates.count("tok_1")

    with pytest.raises(errors.RateLimited) as refused:
        rates.count("tok_1")

    assert refused.value.retryable
    rates.count("tok_2")


def test_token_may_call_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("taskorch_gateway.rates.monotonic", lambda: now[0])
    rates = Rates(5)
    for _ in range(10):
        rates.count("tok_1")

    now[0] += 1

    for _ in range(5):
        rates.count("tok_1")
    with pytest.raises(errors.RateLimited):
        rates.count("tok_1")


def test_rate_of_zero_allows_any_number() -> None:
    rates = Rates(0)

    for _ in range(1000):
        rates.count("tok_1")
