"""What agent programs say that they have used, in small samples of their output."""

import json

import pytest
from taskorch.domain.usage import NONE, ModelUsage
from taskorch_worker.run import program_output

CLAUDE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "result": "Done.",
    "session_id": "s",
    "total_cost_usd": 0.104_578_95,
    "usage": {
        "input_tokens": 2,
        "cache_creation_input_tokens": 7924,
        "cache_read_input_tokens": 13_368,
        "output_tokens": 9,
    },
}
MODELS = {
    "large": {
        "inputTokens": 10,
        "outputTokens": 20,
        "cacheReadInputTokens": 30,
        "cacheCreationInputTokens": 40,
        "costUSD": 0.09,
    },
    "small": {"inputTokens": 5, "outputTokens": 1, "costUSD": 0.01},
}
CODEX = [
    {"type": "thread.started", "thread_id": "t"},
    {
        "type": "item.completed",
        "item": {"id": "1", "type": "agent_message", "text": "Done."},
    },
    {
        "type": "turn.completed",
        "usage": {
            "input_tokens": 24_763,
            "cached_input_tokens": 24_448,
            "output_tokens": 122,
        },
    },
]
GEMINI = {
    "response": "Done.",
    "stats": {
        "models": {
            "pro": {
                "api": {"totalRequests": 2},
                "tokens": {
                    "prompt": 1000,
                    "candidates": 20,
                    "total": 1170,
                    "cached": 400,
                    "thoughts": 150,
                    "tool": 0,
                },
            },
            "flash": {"tokens": {"prompt": 100, "candidates": 5}},
        },
        "tools": {"byName": {}},
    },
}
GEMINI_STREAM = [
    {"type": "init", "session_id": "s", "model": "pro"},
    {"type": "message", "role": "assistant", "content": "Done."},
    {
        "type": "result",
        "status": "success",
        "stats": {
            "total_tokens": 170,
            "input_tokens": 100,
            "output_tokens": 70,
            "cached": 60,
        },
    },
]


def used(*events: object) -> ModelUsage:
    """Return the usage in an output of these lines."""
    printed = "\n".join(map(json.dumps, events))
    result = program_output.read(printed, is_whole=True)
    assert result
    return result.usage


def test_claude_json_has_usage() -> None:
    assert used(CLAUDE) == ModelUsage(
        tokens_in=7926, tokens_out=9, cache_read=13_368, cost_micros=104_579
    )


def test_claude_stream_counts_all_models() -> None:
    opening = {"type": "system", "subtype": "init", "session_id": "s"}

    found = used(opening, {**CLAUDE, "modelUsage": MODELS})

    assert found == ModelUsage(
        tokens_in=55,
        tokens_out=21,
        cache_read=30,
        cost_micros=104_579,
        model="large",
    )


def test_codex_input_is_without_cached_tokens() -> None:
    assert used(*CODEX) == ModelUsage(
        tokens_in=315, tokens_out=122, cache_read=24_448
    )


def test_gemini_json_counts_all_models() -> None:
    assert used(GEMINI) == ModelUsage(
        tokens_in=700, tokens_out=175, cache_read=400, model="pro"
    )


def test_gemini_stream_has_usage() -> None:
    assert used(*GEMINI_STREAM) == ModelUsage(
        tokens_in=40, tokens_out=70, cache_read=60
    )


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "much",
        {"input_tokens": -1, "output_tokens": "9"},
        {"input_tokens": True, "output_tokens": 1.5},
        {"input_tokens": 10**30, "output_tokens": None},
    ],
)
def test_malformed_usage_counts_as_nothing(wrong: object) -> None:
    event = {**CLAUDE, "usage": wrong, "total_cost_usd": None}

    assert used(event) == NONE


@pytest.mark.parametrize(
    "cost",
    ["0.1", -0.1, 10**30, pytest.param(10**400, id="huge"), True, {"usd": 1}],
)
def test_malformed_cost_counts_as_nothing(cost: object) -> None:
    assert used({**CLAUDE, "usage": {}, "total_cost_usd": cost}) == NONE


def test_cost_that_is_no_number_counts_as_nothing() -> None:
    printed = json.dumps({**CLAUDE, "usage": {}}).replace("0.10457895", "NaN")

    result = program_output.read(printed, is_whole=True)

    assert result
    assert result.usage == NONE


def test_model_with_blanks_is_left_out() -> None:
    models = {"two words": MODELS["large"]}

    assert used({**CLAUDE, "modelUsage": models}).model == ""
