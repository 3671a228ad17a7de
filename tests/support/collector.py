"""A collector of OpenTelemetry: an HTTP server on loopback that keeps the spans."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
)

KINDS = {3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
ERROR = 2


@dataclass(frozen=True)
class ReceivedSpan:
    """A span that a process has sent."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    #: The places that it is linked to, as trace-span.
    links: tuple[str, ...]
    attributes: dict[str, str | int]
    resource: dict[str, str | int]
    is_error: bool
    seconds: float

    @property
    def place(self) -> str:
        """Its place in its trace."""
        return f"{self.trace}-{self.id}"


class Collector:
    """The spans that arrive at an address."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[ReceivedSpan] = []

    @property
    def variables(self) -> dict[str, str]:
        """The variables of a process that sends its spans here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
            "NO_PROXY": "127.0.0.1",
        }

    def named(self, name: str) -> list[ReceivedSpan]:
        """Return the spans of a name."""
        return [span for span in self.spans if span.name == name]

    def keep(self, request: ExportTraceServiceRequest) -> None:
        """Keep the spans of a request."""
        for of_resource in request.resource_spans:
            resource = _values(of_resource.resource.attributes)
            for scope in of_resource.scope_spans:
                self.spans += [_span(span, resource) for span in scope.spans]


@contextmanager
def running() -> Iterator[Collector]:
    """Run a collector on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            body = self.rfile.read(length)
            collector.keep(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()


def _span(span: object, resource: dict[str, str | int]) -> ReceivedSpan:
    found = span  # of protobuf, which has no types
    return ReceivedSpan(
        name=found.name,  # type: ignore[attr-defined]
        kind=KINDS[found.kind],  # type: ignore[attr-defined]
        trace=found.trace_id.hex(),  # type: ignore[attr-defined]
        id=found.span_id.hex(),  # type: ignore[attr-defined]
        parent=found.parent_span_id.hex(),  # type: ignore[attr-defined]
        links=tuple(
            f"{link.trace_id.hex()}-{link.span_id.hex()}"
            for link in found.links  # type: ignore[attr-defined]
        ),
        attributes=_values(found.attributes),  # type: ignore[attr-defined]
        resource=resource,
        is_error=found.status.code == ERROR,  # type: ignore[attr-defined]
        seconds=(found.end_time_unix_nano - found.start_time_unix_nano) / 1e9,  # type: ignore[attr-defined]
    )


def _values(attributes: object) -> dict[str, str | int]:
    return {
        each.key: each.value.string_value or each.value.int_value
        for each in attributes  # type: ignore[attr-defined]
    }
