"""The rules of what a report has used: its limits, and its form in Redis and in options.

Functions raise errors.Invalid for what is not allowed.
"""

import re

from taskorch.domain import errors, limits
from taskorch.domain.amounts import MICROS
from taskorch.domain.usage import MOST_MICROS, MOST_TOKENS, ModelUsage

MODEL_CHARACTERS = 100
#: Patterns, as text: `re` compiles one when it is first used.
_MODEL = r"[!-~]{1,100}"
_DOLLARS = r"\$?([0-9]{1,12})(?:\.([0-9]{1,18}))?"
#: The place of a decimal that is rounded: the seventh behind the point.
_DIGITS = 6


def reported(
    *,
    tokens_in: int = 0,
    tokens_out: int = 0,
    cache_read: int = 0,
    cost_micros: int = 0,
    model: str = "",
) -> ModelUsage:
    """Return the usage in a report. Raises errors.Usage for a model that used nothing."""
    used = ModelUsage(
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cache_read=cache_read,
        cost_micros=cost_micros,
        model=model and model_name(model),
    )
    if model and used.is_empty:
        raise errors.Usage(
            reason="A model goes with its tokens or its cost: give one of them, too."
        )
    return used


def summed(numbers: str) -> ModelUsage:
    """Return the usage in a text of four numbers, as scripts return sums."""
    tokens_in, tokens_out, cache_read, cost_micros = map(int, numbers.split())
    return ModelUsage(
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cache_read=cache_read,
        cost_micros=cost_micros,
    )


def packed(usage: ModelUsage) -> str:
    """Return a usage as scripts take it; "" if nothing was used.

    Raises errors.Invalid for a number that is negative or too large, or a model whose
    name has blanks or other characters than printable ASCII.
    """
    for what, tokens in (
        ("number of tokens in", usage.tokens_in),
        ("number of tokens out", usage.tokens_out),
        ("number of tokens from a cache", usage.cache_read),
    ):
        limits.number(tokens, what, 0, MOST_TOKENS)
    limits.number(usage.cost_micros, "cost in microdollars", 0, MOST_MICROS)
    model = model_name(usage.model) if usage.model else ""
    if usage.is_empty:
        return ""
    numbers = (
        usage.tokens_in,
        usage.tokens_out,
        usage.cache_read,
        usage.cost_micros,
    )
    return " ".join([*map(str, numbers), model])


def model_name(value: str) -> str:
    """Return the name of a model: at most 100 printable characters without blanks."""
    if not isinstance(value, str) or not is_model(value):
        raise errors.Invalid(
            reason=f"{limits.shortened(str(value))!r} is not the name of a model. It has 1 "
            f"to {MODEL_CHARACTERS} printable ASCII characters, without blanks."
        )
    return value


def micros_of(number: float, most: int = MOST_MICROS) -> int:
    """Return a number of dollars in JSON as microdollars. Raises errors.Invalid."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise errors.Invalid(reason="The cost must be a number of dollars.")
    # an integer may be larger than any float
    words = str(number) if isinstance(number, int) else f"{number:.7f}"
    return micros(words, most)


def is_model(value: str) -> bool:
    """Tell whether a text can be the name of a model."""
    return re.fullmatch(_MODEL, value) is not None


def micros(dollars: str, most: int = MOST_MICROS) -> int:
    """Return dollars such as 0.0423 as microdollars, rounded half up.

    Raises errors.Invalid for anything that is not a decimal number from 0 to the limit.
    """
    match = re.fullmatch(_DOLLARS, dollars)
    if not match:
        raise errors.Invalid(
            reason=f"{limits.shortened(dollars)!r} is not a cost in dollars. Write one such "
            "as 0.0423: digits, and a point if needed."
        )
    decimals = (match[2] or "").ljust(_DIGITS + 1, "0")
    found = int(match[1]) * MICROS + int(decimals[:_DIGITS])
    found += decimals[_DIGITS] >= "5"
    if found > most:
        raise errors.Invalid(
            reason=f"The cost is ${dollars.removeprefix('$')}. It must be at most "
            f"${most // MICROS:,}."
        )
    return found
