"""Whether this process makes spans. Until it does, it loads nothing for them."""

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskorch.tracing.tracer import Tracer

#: Any of these names a collector.
ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
)
#: Names the place of this process in a trace, as W3C Trace Context writes it.
PLACE = "TRACEPARENT"


def is_off() -> bool:
    """Return whether new items get no spans, and no places in a trace."""
    return PLACE not in os.environ and not tracer()


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Return whether the variables of OpenTelemetry ask for spans by OTLP."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporters = environment.get("OTEL_TRACES_EXPORTER", "")
    if exporters:
        return "otlp" in exporters.split(",")
    return any(environment.get(name) for name in ENDPOINTS)


@cache
def tracer() -> "Tracer | None":
    """Return what makes the spans of this process; None if there are to be none.

    That is also so without the extra `otel`: the variables may be for another program.
    """
    if not is_wanted(os.environ):
        return None
    try:
        from taskorch.tracing.tracer import Tracer
    except ModuleNotFoundError:
        return None
    return Tracer()


def flush() -> None:
    """Send the spans that are left, if there are any, for about a second at most."""
    if tracer.cache_info().currsize and (made := tracer()):
        made.flush()
