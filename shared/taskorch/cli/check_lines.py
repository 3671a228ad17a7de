"""The acceptance checks of an item, with their results, as the commands print them."""

from collections.abc import Iterator

from taskorch.cli.text import duration, line
from taskorch.domain.acceptance import Check, CheckEvidence, RunCheck
from taskorch.domain.item import Item

SECOND_MS = 1000
#: Who has run a check -> how people read it.
SOURCES = {
    "run": "by worker run",
    "client": "reported by the client",
    "mirror": "by the service",
}


def check_lines(item: Item) -> Iterator[str]:
    """Yield a row for each check, and what is known of it."""
    results = {result.check: result for result in item.evidence}
    for check in item.checks:
        shown = line(check_words(check))
        if check in results:
            shown += f": {result_words(results[check])}"
        yield shown


def check_words(check: Check) -> str:
    """Return a check in words."""
    if isinstance(check, RunCheck):
        return f"run {check}"
    return str(check)


def result_words(result: CheckEvidence) -> str:
    """Return the result of a check in words."""
    facts = ["passed" if result.passed else "did not pass"]
    if result.exit_code is not None:
        facts.append(f"exit status {result.exit_code}")
        took_ms = result.duration_ms
        took = duration(took_ms) if took_ms >= SECOND_MS else f"{took_ms} ms"
        facts.append(f"took {took}")
    if result.source in SOURCES:
        facts.append(SOURCES[result.source])
    return ", ".join(facts)
