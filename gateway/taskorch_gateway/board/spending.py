"""The usage of an agent, a project or the namespace, beside its budgets."""

from collections.abc import Mapping, Sequence

from taskorch.domain.amounts import DAY, TOTAL, dollars, tokens
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import OwnerUsage


class Spending(Frozen):
    """The usage of an owner, in all and today, and its budgets."""

    total: ModelUsage = NONE
    #: Today is a day of UTC.
    today: ModelUsage = NONE
    budgets: tuple[Budget, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.budgets) or not self.total.is_empty

    @property
    def is_over(self) -> bool:
        """Whether a budget is used up, so that nothing more is claimed."""
        return any(each.used_up for each in self.budgets)

    @property
    def today_words(self) -> str:
        """The usage of today, such as $1.20, or $1.20 of $5.00 with a budget."""
        return _amount(self.today, self._limit(DAY))

    @property
    def total_words(self) -> str:
        """The usage in all, of a budget if there is one."""
        return _amount(self.total, self._limit(TOTAL))

    def _limit(self, period: str) -> Budget | None:
        return next(
            (each for each in self.budgets if each.period == period), None
        )


def spending_of(
    used: Mapping[str, OwnerUsage], budgets: Sequence[Budget]
) -> Mapping[str, Spending]:
    """Return what each owner has used, with its budgets."""
    found = {
        owner: Spending(total=each.total, today=each.today)
        for owner, each in used.items()
    }
    for budget in budgets:
        known = found.get(budget.owner, Spending())
        found[budget.owner] = replace(known, budgets=(*known.budgets, budget))
    return found


def _amount(used: ModelUsage, budget: Budget | None) -> str:
    micros = budget.limit_micros if budget else None
    most_tokens = budget.limit_tokens if budget else None
    spent, new_tokens = used.cost_micros, used.tokens_in + used.tokens_out
    if micros is not None and most_tokens is not None:
        return (
            f"{dollars(spent)} of {dollars(micros)}, "
            f"{new_tokens:,} of {tokens(most_tokens)}"
        )
    if micros is not None:
        return f"{dollars(spent)} of {dollars(micros)}"
    if most_tokens is not None:
        return f"{new_tokens:,} of {tokens(most_tokens)}"
    # some programs report tokens, and no cost
    return tokens(new_tokens) if new_tokens and not spent else dollars(spent)
