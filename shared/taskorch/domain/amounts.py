"""Amounts of money and tokens, and the owners of budgets, as people read them."""

MICROS = 1_000_000
#: The owner of a budget besides projects and agents.
NAMESPACE = "namespace"
#: The periods of a budget: a day of UTC, and all the time.
DAY, TOTAL = "day", "total"
PERIODS = (DAY, TOTAL)


def dollars(cost_micros: int) -> str:
    """Return microdollars as people read them: $0.12, $1,204.50, $0.0042."""
    whole, rest = divmod(cost_micros, MICROS)
    decimals = f"{rest:06}".rstrip("0").ljust(2, "0")
    is_small = whole == 0 and rest < MICROS // 10
    if not is_small:
        cents = (rest + 5000) // 10_000
        whole, decimals = whole + cents // 100, f"{cents % 100:02}"
    return f"${whole:,}.{decimals}"


def tokens(number: int) -> str:
    """Return a number of tokens as people read it."""
    return f"{number:,} token" if number == 1 else f"{number:,} tokens"


def owner_in_words(owner: str) -> str:
    """Return an owner as people read it."""
    kind, _, name = owner.partition(":")
    return f"{kind} {name}" if name else f"the {kind}"


def argument_of(owner: str) -> str:
    """Return an owner as the command line takes it."""
    return owner.partition(":")[2] or owner
