"""The tokens and the cost that agent programs print with their result.

A number that cannot be right counts as 0: what a program prints never fails an item.
"""

from contextlib import suppress

from taskorch.domain import errors, usage, usage_rules
from taskorch.domain.usage import ModelUsage

from taskorch_worker.run.program_result import Object, object_of, text_of


def of_claude(event: Object) -> ModelUsage:
    """Return what Claude Code or Qwen Code has used, from its result.

    The rows by model have everything; `usage` is that of the main model.
    """
    models = object_of(event.get("modelUsage"))
    rows = {name: object_of(row) for name, row in models.items()}
    cost_micros = _micros(event.get("total_cost_usd"))
    if not rows:
        used = object_of(event.get("usage"))
        return ModelUsage(
            tokens_in=_count(used.get("input_tokens"))
            + _count(used.get("cache_creation_input_tokens")),
            tokens_out=_count(used.get("output_tokens")),
            cache_read=_count(used.get("cache_read_input_tokens")),
            cost_micros=cost_micros,
        )
    costs = {name: _micros(row.get("costUSD")) for name, row in rows.items()}
    return ModelUsage(
        tokens_in=sum(
            _count(row.get("inputTokens"))
            + _count(row.get("cacheCreationInputTokens"))
            for row in rows.values()
        ),
        tokens_out=sum(
            _count(row.get("outputTokens")) for row in rows.values()
        ),
        cache_read=sum(
            _count(row.get("cacheReadInputTokens")) for row in rows.values()
        ),
        cost_micros=cost_micros or sum(costs.values()),
        model=_model(max(costs, key=lambda name: costs[name])),
    )


def of_codex(event: Object) -> ModelUsage:
    """Return what Codex has used in all turns so far, from the end of a turn.

    Its input has the tokens that were read from a cache, too.
    """
    used = object_of(event.get("usage"))
    cached = _count(used.get("cached_input_tokens"))
    return ModelUsage(
        tokens_in=max(0, _count(used.get("input_tokens")) - cached),
        tokens_out=_count(used.get("output_tokens")),
        cache_read=cached,
    )


def of_gemini(stats: Object) -> ModelUsage:
    """Return what Gemini CLI has used, from its statistics in either format."""
    models = object_of(stats.get("models"))
    rows = {
        name: object_of(object_of(row).get("tokens"))
        for name, row in models.items()
    }
    if not any(rows.values()):
        cached = _count(stats.get("cached"))
        return ModelUsage(
            tokens_in=max(0, _count(stats.get("input_tokens")) - cached),
            tokens_out=_count(stats.get("output_tokens")),
            cache_read=cached,
            model=_model(next(iter(models), "")),
        )
    cached = sum(_count(row.get("cached")) for row in rows.values())
    prompts = sum(_count(row.get("prompt")) for row in rows.values())
    answers = {
        name: _count(row.get("candidates")) + _count(row.get("thoughts"))
        for name, row in rows.items()
    }
    return ModelUsage(
        tokens_in=max(0, prompts - cached),
        tokens_out=sum(answers.values()),
        cache_read=cached,
        model=_model(max(answers, key=lambda name: answers[name])),
    )


def bounded(used: ModelUsage) -> ModelUsage:
    """Return a usage that the queue accepts: what is too large counts as the most."""
    return ModelUsage(
        tokens_in=min(used.tokens_in, usage.MOST_TOKENS),
        tokens_out=min(used.tokens_out, usage.MOST_TOKENS),
        cache_read=min(used.cache_read, usage.MOST_TOKENS),
        cost_micros=min(used.cost_micros, usage.MOST_MICROS),
        model=used.model,
    )


def _count(value: object) -> int:
    """Return a number of tokens; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if 0 <= value <= usage.MOST_TOKENS else 0


def _micros(value: object) -> int:
    """Return a number of dollars as microdollars; 0 for anything else."""
    with suppress(errors.Invalid):
        if isinstance(value, int | float):
            return usage_rules.micros_of(value)
    return 0


def _model(name: str) -> str:
    name = text_of(name)
    return name if usage_rules.is_model(name) else ""
