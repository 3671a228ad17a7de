"""Costs in dollars as exact numbers, and amounts in words."""

import pytest
from taskorch.domain import amounts, errors, usage_rules
from taskorch.domain.usage import ModelUsage


@pytest.mark.parametrize(
    ("dollars", "micros"),
    [
        ("0", 0),
        ("20", 20_000_000),
        ("0.1", 100_000),
        ("$0.30", 300_000),
        ("0.0423", 42_300),
        ("0.0000004", 0),
        ("0.0000005", 1),
        ("0.123456499999999999", 123_456),
        ("1000000", 1_000_000_000_000),
    ],
)
def test_dollars_are_exact_microdollars(dollars: str, micros: int) -> None:
    assert usage_rules.micros(dollars) == micros


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "-1",
        "nan",
        "inf",
        "1e3",
        "1,5",
        ".5",
        "5.",
        "0x1",
        "1000000.000001",
        "9" * 12,
        "9" * 40,
        "٣",
    ],
)
def test_impossible_cost_is_invalid(wrong: str) -> None:
    with pytest.raises(errors.Invalid):
        usage_rules.micros(wrong)


@pytest.mark.parametrize(
    "wrong",
    [float("nan"), float("inf"), -0.1, True, pytest.param(10**400, id="huge")],
)
def test_impossible_number_of_dollars_is_invalid(wrong: float) -> None:
    with pytest.raises(errors.Invalid):
        usage_rules.micros_of(wrong)


def test_number_of_dollars_is_rounded_to_micros() -> None:
    assert usage_rules.micros_of(0.1 + 0.2) == 300_000


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (4_200, "$0.0042"),
        (50_000, "$0.05"),
        (123_456, "$0.12"),
        (999_999, "$1.00"),
        (1_204_500_000, "$1,204.50"),
    ],
)
def test_amount_of_money_in_words(micros: int, words: str) -> None:
    assert amounts.dollars(micros) == words


def test_model_without_numbers_is_refused() -> None:
    with pytest.raises(errors.Usage, match="tokens or its cost"):
        usage_rules.reported(model="big")


def test_packed_usage_is_four_numbers_and_model() -> None:
    used = ModelUsage(tokens_in=1, tokens_out=2, cache_read=3, cost_micros=4)

    assert usage_rules.packed(used) == "1 2 3 4 "
    assert usage_rules.packed(ModelUsage()) == ""
