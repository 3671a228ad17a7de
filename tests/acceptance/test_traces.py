"""Spans of commands, of `worker run` and of the library, at a collector on loopback."""

import socket
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from support import collector, runs
from support.collector import Collector
from support.commands import BIN, Shell, eventually
from support.topologies import free_ports

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
#: The exporter of OpenTelemetry itself would try for this long.
TIMEOUT_S = 60


@pytest.fixture
def spans() -> Iterator[Collector]:
    with collector.running() as running:
        yield running


@pytest.fixture
def traced(shell: Shell, spans: Collector) -> Shell:
    return shell.having(**spans.variables)


def create(shell: Shell, *options: str) -> tuple[str, str]:
    """Create an item of ada, and return its project and its id."""
    project = shell.orchestrate("project", "Build").stdout.strip()
    item = shell.orchestrate(
        "create", project, "It", "--assign", "ada", *options
    )
    assert item.code == 0, item.stderr
    return project, item.stdout.strip()


def test_commands_make_the_spans_of_an_item(
    traced: Shell, spans: Collector
) -> None:
    project, item = create(traced.having(TRACEPARENT=TRACEPARENT))

    traced.worker("pop")
    traced.worker("complete", item, "Done")

    (send,), (receive,) = spans.named("send ada"), spans.named("receive ada")
    (process,), (settle,) = (
        spans.named("process ada"),
        spans.named("settle ada"),
    )
    kinds = [span.kind for span in (send, receive, process, settle)]
    assert kinds == ["PRODUCER", "CLIENT", "CONSUMER", "CLIENT"]
    assert (send.trace, send.parent) == (TRACE, SPAN)
    assert receive.links == process.links == settle.links == (send.place,)
    assert process.trace not in (send.trace, receive.trace)
    assert process.parent == ""
    assert (settle.trace, settle.parent) == (process.trace, process.id)
    assert process.seconds >= settle.seconds
    for span in (send, receive, process, settle):
        assert span.attributes["messaging.system"] == "taskorch"
        assert span.attributes["messaging.destination.name"] == "ada"
        assert span.attributes["messaging.message.id"] == item
        assert span.attributes["messaging.message.conversation_id"] == project
        assert span.attributes["gen_ai.agent.name"] == "ada"
        assert span.resource["service.name"] == "taskorch"
    assert process.attributes["taskorch.outcome"] == "completed"
    shown = traced.orchestrate("show", item, "--json").data()
    assert shown["traceparent"] == f"00-{send.place}-01"


@pytest.mark.parametrize(
    ("words", "outcome", "is_error"),
    [(("fail", "No"), "failed", True), (("release",), "released", False)],
)
def test_other_ends_have_an_outcome(
    traced: Shell,
    spans: Collector,
    words: tuple[str, ...],
    outcome: str,
    *,
    is_error: bool,
) -> None:
    _, item = create(traced)
    traced.worker("pop")

    traced.worker(words[0], item, *words[1:])

    (process,) = spans.named("process ada")
    assert process.attributes["taskorch.outcome"] == outcome
    assert process.is_error == is_error


def test_assignment_and_get_have_spans(
    traced: Shell, spans: Collector
) -> None:
    project = traced.orchestrate("project", "Build").stdout.strip()
    item = traced.orchestrate("create", project, "It").stdout.strip()

    traced.orchestrate("assign", item, "ada")
    traced.worker("get", item)
    traced.worker("get", item)

    (send,), (receive,) = spans.named("send ada"), spans.named("receive ada")
    assert send.attributes["messaging.message.id"] == item
    assert receive.links == ()


def test_item_of_pool_keeps_place_of_its_creation(
    traced: Shell, spans: Collector
) -> None:
    project = traced.orchestrate("project", "Build").stdout.strip()

    traced.orchestrate("create", project, "It", "--pool", "backend")
    traced.worker("pop", "--pool", "backend")

    (send,) = spans.named("send pool:backend")
    (receive,) = spans.named("receive ada")
    assert receive.links == (send.place,)


def test_repeat_makes_no_second_span(traced: Shell, spans: Collector) -> None:
    _, item = create(traced, "--key", "it")
    traced.worker("pop")

    for _ in range(2):
        assert traced.worker("complete", item, "Done").code == 0
        create_again(traced, item)

    assert len(spans.named("process ada")) == 1
    assert len(spans.named("send ada")) == 1


def create_again(shell: Shell, item: str) -> None:
    """Create an item with the key of another one, which is then shown."""
    project = shell.orchestrate("show", item, "--json").data()["project"]
    again = shell.orchestrate(
        "create", project, "It", "--key", "it", "--assign", "ada"
    )
    assert again.stdout.strip() == item


def test_command_of_run_works_below_its_claim(
    traced: Shell, spans: Collector
) -> None:
    project, item = create(traced)
    script = 'printf "%s %s" "$TRACEPARENT" "$OTEL_RESOURCE_ATTRIBUTES" >out'
    report = f"{BIN}/worker complete {item} done"
    there = traced.having(OTEL_RESOURCE_ATTRIBUTES="deployment=test")

    ran = there.worker(*runs.ONCE, *runs.sh(f"{script}; {report}"))

    assert ran.code == 0, ran.stderr
    (process,), (settle,) = (
        spans.named("process ada"),
        spans.named("settle ada"),
    )
    place, attributes = (there.folder / "out").read_text().split()
    assert place == f"00-{process.place}-01"
    assert settle.parent == process.id
    assert attributes.split(",") == [
        "deployment=test",
        "gen_ai.agent.name=ada",
        f"taskorch.item={item}",
        f"taskorch.namespace={shell_namespace(there)}",
        f"taskorch.project={project}",
    ]


def shell_namespace(shell: Shell) -> str:
    return shell.variables["TASKORCH_NAMESPACE"]


def test_run_passes_on_the_place_of_the_item(shell: Shell) -> None:
    create(shell, "--traceparent", TRACEPARENT)

    ran = shell.worker(*runs.ONCE, *runs.sh('echo "$TRACEPARENT" >out'))

    assert ran.code == 0, ran.stderr
    assert (shell.folder / "out").read_text().strip() == TRACEPARENT


WORKER = """
from taskorch import NewItem, Queue, Worker
queue = Queue.open()
def handler(task):
    if task.item.title == "First":
        queue.create(task.item.project, NewItem(title="Second", agent="bob"))
    worker.stop()
    return "done"
worker = Worker("ada", handler, queue=queue)
worker.run()
queue.close()
"""


def test_library_worker_makes_the_same_spans(
    traced: Shell, spans: Collector
) -> None:
    project = traced.orchestrate("project", "Build").stdout.strip()
    traced.orchestrate("create", project, "First", "--assign", "ada")

    ran = traced.python(WORKER)

    assert ran.code == 0, ran.stderr
    eventually(lambda: bool(spans.named("process ada")))
    (process,), (second,) = (
        spans.named("process ada"),
        spans.named("send bob"),
    )
    (send,) = spans.named("send ada")
    assert process.links == (send.place,)
    assert (second.trace, second.parent) == (process.trace, process.id)


def refusing() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize("is_silent", [False, True])
def test_dead_collector_does_not_hold_up_commands(
    shell: Shell, *, is_silent: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        url = silent_url if is_silent else refusing()
        there = shell.having(
            OTEL_EXPORTER_OTLP_ENDPOINT=url,
            OTEL_EXPORTER_OTLP_TIMEOUT=str(TIMEOUT_S),
            NO_PROXY="127.0.0.1",
        )
        project = there.orchestrate("project", "Build").stdout.strip()

        started = monotonic()
        created = there.orchestrate("create", project, "It", "--assign", "ada")
        took = monotonic() - started

    assert (created.code, created.stderr) == (0, "")
    assert took < TIMEOUT_S / 3


OFF = {
    "unset": {},
    "disabled": {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    },
    "none": {
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
    },
}


@pytest.mark.parametrize("variables", OFF.values(), ids=OFF)
def test_commands_load_no_opentelemetry_unless_asked(
    shell: Shell, variables: dict[str, str]
) -> None:
    loader = """
import os, sys
os._exit = sys.exit
sys.argv = ["orchestrate", "project", "Build"]
from taskorch_orchestrator.cli import main
try:
    main()
finally:
    loaded = [name for name in sys.modules if "opentelemetry" in name]
    print("loaded", loaded, file=sys.stderr)
"""

    ran = shell.having(**variables).python(loader)

    assert ran.stdout.startswith("proj_"), ran.stderr
    assert ran.stderr.endswith("loaded []\n")


@pytest.mark.parametrize(
    "value", ["x", "00-0-0-0", TRACEPARENT + "-x", "01-" + "a" * 600]
)
def test_bad_traceparent_is_refused_or_ignored(
    shell: Shell, value: str
) -> None:
    project = shell.orchestrate("project", "Build").stdout.strip()

    given = shell.orchestrate("create", project, "It", "--traceparent", value)
    there = shell.having(TRACEPARENT=value)
    inherited = there.orchestrate("create", project, "It")
    shown = shell.orchestrate("show", inherited.stdout.strip(), "--json")

    assert given.code == 5
    assert "is not a traceparent" in given.stderr
    assert shown.data()["traceparent"] == ""


def test_plan_and_export_have_the_traceparent(
    shell: Shell, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"project: Build\nitems:\n  - {{name: a, title: A, traceparent: {TRACEPARENT}}}\n"
    )
    assert shell.orchestrate("apply", str(plan)).code == 0
    backup = shell.orchestrate("export").stdout.encode()
    copy = shell.having(TASKORCH_NAMESPACE=f"{shell_namespace(shell)}-copy")

    restored = copy.orchestrate("import", "-", stdin=backup)

    assert restored.code == 0, restored.stderr
    (item,) = copy.orchestrate("list", "--json").data()
    assert item["traceparent"] == TRACEPARENT
