"""How often an access token may call, and a refused one be shown."""

import pytest
from taskorch.domain import errors
from taskorch_gateway.exchange import error_response
from taskorch_gateway.mcp.endpoints import too_many_calls
from taskorch_gateway.rates import FAILURES, FailedTokens, Rates

ADDRESS, OTHER = "192.0.2.7", "192.0.2.8"
TOKEN, VALID = f"tok_1a2b3c4d_{'0' * 64}", f"tok_00000001_{'1' * 64}"


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Stop the clock of the rates; a test may turn it on."""
    clock = [100.0]
    monkeypatch.setattr("taskorch_gateway.rates.monotonic", lambda: clock[0])
    return clock


def test_token_that_calls_too_often_is_refused() -> None:
    rates = Rates(5)
    for _ in range(10):
        rates.count("tok_1")

    with pytest.raises(errors.RateLimited) as refused:
        rates.count("tok_1")

    assert refused.value.retryable
    assert "5 calls a second" in str(refused.value)
    rates.count("tok_2")


def test_token_may_call_again_later(now: list[float]) -> None:
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


def test_token_that_fails_too_often_is_not_checked() -> None:
    failed = FailedTokens()
    for _ in range(FAILURES):
        failed.admit(ADDRESS, TOKEN)
        failed.count(ADDRESS, TOKEN)

    with pytest.raises(errors.RateLimited) as refused:
        failed.admit(ADDRESS, TOKEN)

    assert refused.value.details["seconds"] == 6
    failed.admit(OTHER, TOKEN)


def test_other_token_of_the_address_is_checked() -> None:
    failed = FailedTokens()
    for _ in range(FAILURES):
        failed.count(ADDRESS, TOKEN)

    failed.admit(ADDRESS, VALID)


def test_address_that_guesses_ids_is_slowed_down() -> None:
    failed = FailedTokens()
    guesses = [f"tok_{number:08x}_{'0' * 64}" for number in range(FAILURES)]
    for guess in guesses:
        failed.count(ADDRESS, guess)

    with pytest.raises(errors.RateLimited):
        failed.count(ADDRESS, TOKEN)
    with pytest.raises(errors.RateLimited):
        failed.admit(ADDRESS, "malformed")


def test_failed_token_is_checked_again_later(now: list[float]) -> None:
    failed = FailedTokens()
    for _ in range(FAILURES):
        failed.count(ADDRESS, TOKEN)

    now[0] += 7

    failed.admit(ADDRESS, TOKEN)


def test_call_beside_too_many_tells_when_to_repeat() -> None:
    response = error_response(too_many_calls())

    assert response.status_code == 429
    assert response.headers["retry-after"] == "1"
    assert b"1000 calls of tools at a time" in response.body
