"""What owners have used, in words."""

import pytest
from taskorch.domain.usage import ModelUsage
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import OwnerUsage
from taskorch_gateway.board.spending import Spending, spending_of

USED = ModelUsage(tokens_in=900, tokens_out=300, cost_micros=3_200_000)


def budget(
    period: str = "day",
    micros: int | None = None,
    tokens: int | None = None,
    *,
    used_up: bool = False,
) -> Budget:
    return Budget(
        owner="agent:ada",
        period=period,
        limit_micros=micros,
        limit_tokens=tokens,
        used=USED,
        resets_at=0,
        used_up=used_up,
    )


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        ((), "$3.20"),
        ((budget("total", 1),), "$3.20"),
        ((budget(micros=5_000_000),), "$3.20 of $5.00"),
        ((budget(tokens=2_000),), "1,200 of 2,000 tokens"),
        (
            (budget(micros=5_000_000, tokens=1),),
            "$3.20 of $5.00, 1,200 of 1 token",
        ),
    ],
)
def test_amount_names_the_limits(
    budgets: tuple[Budget, ...], words: str
) -> None:
    spending = Spending(total=USED, today=USED, budgets=budgets)

    assert spending.today_words == words


def test_tokens_without_cost_are_shown() -> None:
    spending = Spending(total=ModelUsage(tokens_in=1_500))

    assert (spending.total_words, spending.today_words) == (
        "1,500 tokens",
        "$0.00",
    )
    assert spending.is_shown


def test_owner_with_a_budget_alone_is_shown() -> None:
    over = budget("total", 0, used_up=True)

    spent = spending_of({"agent:bob": OwnerUsage()}, [budget(), over])

    assert spent["agent:ada"].is_shown
    assert spent["agent:ada"].is_over
    assert not spent["agent:bob"].is_shown
