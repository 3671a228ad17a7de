"""Tokens and cost that items have used.

Costs are microdollars, as integers: a sum of them is exact. The rules of reports are in
`usage_rules`, which few commands need.
"""

from taskorch.domain.amounts import MICROS
from taskorch.domain.frozen import Frozen

#: The largest numbers of one report: a million dollars, and 10^12 tokens.
MOST_MICROS = 1_000_000 * MICROS
MOST_TOKENS = 10**12
#: The numbers of a usage, in the order of a sum.
NUMBERS = ("tokens_in", "tokens_out", "cache_read", "cost_micros")


class ModelUsage(Frozen):
    """The tokens and the cost of a report, or the sum of several."""

    #: Tokens of the input that were not read from a cache.
    tokens_in: int = 0
    tokens_out: int = 0
    #: Tokens of the input that were read from a cache.
    cache_read: int = 0
    cost_micros: int = 0
    #: The model that was used last; "" if it is not known.
    model: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing was used."""
        return not (
            self.tokens_in
            or self.tokens_out
            or self.cache_read
            or self.cost_micros
        )


NONE = ModelUsage()
