"""The spans of the work, by the conventions of OpenTelemetry for messaging.

orchestrator  send {agent}     an item that is created for an agent, or assigned to it
agent         receive {agent}  a claim, linked to the place of the item in its trace
              process {agent}  from the claim to its end, with the same link
              settle {agent}   the step that ends the claim

An item may wait for days, so its work is linked to its creation, not a part of it.
"""

import atexit
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread, local

from opentelemetry import context as contexts
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Item
from taskorch.tracing import trace_context
from taskorch.version import __version__

SYSTEM = "taskorch"
#: How long the end of a process waits for spans to be sent. A collector that does not
#: answer delays nothing more.
FLUSH_S = 1.0
_NS_PER_MS = 1_000_000

Attributes = dict[str, str | int]


class Sending:
    """A span of a step that sends items to an agent."""

    def __init__(self, span: Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """Its place, which the item keeps."""
        own = self._span.get_span_context()
        return (
            f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"
        )

    def end(self, items: Sequence[str], project: str) -> None:
        """End the span, with the items that were sent. A span that has no end is lost."""
        self._span.set_attributes(_messages(items, project))
        self._span.end()


class Tracer:
    """Makes the spans of this process, and sends them from another thread."""

    def __init__(self) -> None:
        # Without a handler, Python would print a collector's failures to stderr.
        logging.getLogger("opentelemetry").addHandler(logging.NullHandler())
        self._ids = _Ids()
        self._provider = TracerProvider(
            resource=Resource.create(_service()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter())
        )
        self._tracer = self._provider.get_tracer(SYSTEM, __version__)
        atexit.register(self.flush)

    def send(self, namespace: str, agent: str, parent: str = "") -> Sending:
        """Begin the span of a step that sends items; `parent` is a traceparent."""
        context = _context_of(parent) if parent else _current()
        span = self._tracer.start_span(
            f"send {agent}",
            context,
            SpanKind.PRODUCER,
            _attributes("send", namespace, agent),
        )
        return Sending(span)

    def received(
        self,
        namespace: str,
        agent: str,
        items: Sequence[Item],
        started_ns: int,
    ) -> None:
        """Make the span of a step that has claimed items."""
        span = self._tracer.start_span(
            f"receive {agent}",
            _current(),
            SpanKind.CLIENT,
            _attributes("receive", namespace, agent),
            links=[link for item in items for link in _links(item)],
            start_time=started_ns,
        )
        ids = [item.id for item in items]
        span.set_attributes(_messages(ids, items[0].project))
        span.end()

    def settled(
        self,
        namespace: str,
        agent: str,
        item: Item,
        end: AttemptEnd,
        started_ns: int,
    ) -> None:
        """Make the spans of a claim and of the step that has ended it.

        `item` is what the caller held before that step.
        """
        assert item.holder  # noqa: S101  the caller
        since = item.holder.since
        place = trace_context.of_attempt(namespace, item.id, item.token, since)
        messages = _messages([item.id], item.project)
        outcome: Attributes = {"taskorch.outcome": str(end)}
        settling = self._tracer.start_span(
            f"settle {agent}",
            _current() or _context_of(place),
            SpanKind.CLIENT,
            _attributes("settle", namespace, agent) | messages | outcome,
            links=list(_links(item)),
            start_time=started_ns,
        )
        settling.end()
        with self._ids.fixed(*trace_context.ids(place)):
            work = self._tracer.start_span(
                f"process {agent}",
                Context(),
                SpanKind.CONSUMER,
                _attributes("process", namespace, agent) | messages | outcome,
                links=list(_links(item)),
                start_time=min(since * _NS_PER_MS, started_ns),
            )
        if end is AttemptEnd.FAILED:
            work.set_status(Status(StatusCode.ERROR))
        work.end()

    @contextmanager
    def working_at(self, place: str) -> Iterator[None]:
        """Make the spans of a block children of a traceparent."""
        token = contexts.attach(_context_of(place))
        try:
            yield
        finally:
            contexts.detach(token)

    def flush(self) -> None:
        """Send the spans that are left, for about a second at most."""
        # the exporter tries for longer than that, whatever limit it is given
        sending = Thread(target=self._provider.force_flush, daemon=True)
        with suppress(RuntimeError):  # at the end of Python
            sending.start()
            sending.join(FLUSH_S)


class _Ids(RandomIdGenerator):
    """Random ids, except for the spans whose ids are known."""

    def __init__(self) -> None:
        self._known = local()

    @contextmanager
    def fixed(self, trace: int, span: int) -> Iterator[None]:
        """Give the span that this thread starts in the block these ids."""
        self._known.ids = trace, span
        try:
            yield
        finally:
            self._known.ids = None

    def generate_trace_id(self) -> int:
        """Return the id of a new trace."""
        known = getattr(self._known, "ids", None)
        return known[0] if known else super().generate_trace_id()

    def generate_span_id(self) -> int:
        """Return the id of a new span."""
        known = getattr(self._known, "ids", None)
        return known[1] if known else super().generate_span_id()


def _service() -> Attributes:
    """Return the name of the service, unless the environment has one."""
    resource = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if os.environ.get("OTEL_SERVICE_NAME") or "service.name=" in resource:
        return {}
    return {SERVICE_NAME: SYSTEM}


def _current() -> Context | None:
    """Return where a span of this process belongs; None for a new trace."""
    if get_current_span().get_span_context().is_valid:
        return contexts.get_current()
    inherited = trace_context.inherited()
    return _context_of(inherited) if inherited else None


def _context_of(traceparent: str) -> Context:
    return set_span_in_context(NonRecordingSpan(_place(traceparent)))


def _links(item: Item) -> Iterator[Link]:
    if item.traceparent:
        yield Link(_place(item.traceparent))


def _place(traceparent: str) -> SpanContext:
    trace, span = trace_context.ids(traceparent)
    flags = TraceFlags(int(traceparent.split("-")[3], 16))
    return SpanContext(trace, span, is_remote=True, trace_flags=flags)


def _attributes(operation: str, namespace: str, agent: str) -> Attributes:
    return {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": agent,
        "gen_ai.agent.name": agent,
        "taskorch.namespace": namespace,
    }


def _messages(items: Sequence[str], project: str) -> Attributes:
    found: Attributes = {}
    if project:
        found["messaging.message.conversation_id"] = project
    if len(items) == 1:
        found["messaging.message.id"] = items[0]
    else:
        found["messaging.batch.message_count"] = len(items)
    return found
