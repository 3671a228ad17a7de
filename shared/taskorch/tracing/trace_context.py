"""Places in a trace, as W3C Trace Context writes them: `traceparent`."""

import os

from taskorch.domain import limits

VARIABLE = "TRACEPARENT"
#: Version 00, for a trace that is recorded.
_FORM = "00-{trace}-{span}-01"
_TRACE_DIGITS, _SPAN_DIGITS = 32, 16


def inherited() -> str:
    """Return the place that the environment names, or "" if it is none."""
    value = os.environ.get(VARIABLE, "")
    return value if value and limits.is_traceparent(value) else ""


def of_attempt(namespace: str, item: str, token: int, claimed_at: int) -> str:
    """Return the place of the work on a claim.

    All that concerns the claim find the same one, so whoever ends the claim can make its
    span, and the work can have spans below it before. `claimed_at` is in ms.
    """
    from hashlib import sha256

    claim = f"{namespace} {item} {token} {claimed_at}"
    digits = sha256(claim.encode()).hexdigest()
    span = digits[_TRACE_DIGITS : _TRACE_DIGITS + _SPAN_DIGITS]
    return _FORM.format(trace=digits[:_TRACE_DIGITS], span=span)


def ids(traceparent: str) -> tuple[int, int]:
    """Return the ids of the trace and of the span."""
    _, trace, span, *_ = traceparent.split("-")
    return int(trace, 16), int(span, 16)
