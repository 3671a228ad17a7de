"""Prometheus scrapes the gateway and the service, as real processes."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.client import HTTPConnection
from time import monotonic
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as openmetrics_families,
)
from prometheus_client.parser import text_string_to_metric_families
from support import gateways, services
from support.builders import Bench
from support.commands import Shell, eventually
from support.topologies import Node, free_ports
from taskorch.version import __version__
from taskorch_orchestrator.metrics.figures import FRESH_S

Page = Mapping[tuple[str, str], float]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def get(port: int, **headers: str) -> tuple[int, str, str]:
    """Return the status, the content type and the page at /metrics."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/metrics", headers=headers)
        reply = connection.getresponse()
        return (
            reply.status,
            reply.headers.get("Content-Type", ""),
            reply.read().decode(),
        )
    finally:
        connection.close()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def scraped(port: int, token: str = "") -> Page:
    """Return the samples: name and the labels but the namespace -> value."""
    status, _, text = get(port, **(bearer(token) if token else {}))
    assert status == 200, text
    found = {}
    families: Any = text_string_to_metric_families(text)
    for family in families:
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            labels.pop("namespace", "")
            found[sample.name, " ".join(labels.values())] = sample.value
    return found


def do_the_workflow(shell: Shell) -> None:
    """Let three agents deliver three items, one of them after a question."""
    project = shell.orchestrate("project", "Build").stdout.strip()
    for agent in ("ada", "bob", "eve"):
        item = shell.orchestrate(
            "create", project, f"Work of {agent}", "--assign", agent
        ).stdout.strip()
        worker = shell.having(AGENT_ID=agent)
        assert worker.worker("get", item).code == 0
        if agent == "eve":
            assert worker.worker("blocker", item, "Which?").code == 0
            assert shell.orchestrate("answer", item, "That one").code == 0
        assert worker.worker("complete", item, "Done").code == 0


def check_page_after_workflow(page: Page) -> None:
    assert page["taskorch_redis_up", ""] == 1
    assert page["taskorch_items", "completed"] == 3
    assert page["taskorch_items_completed_total", ""] == 3
    assert page["taskorch_events_total", "create"] == 3
    assert page["taskorch_queue_wait_seconds_count", ""] == 3
    assert page["taskorch_item_duration_seconds_count", ""] == 3
    assert page["taskorch_answer_wait_seconds_count", ""] == 1
    assert page["taskorch_agents", "idle"] == 3
    assert page["taskorch_build_info", f"2 {__version__}"] == 1


def test_gateway_is_scraped_after_the_workflow(shell: Shell) -> None:
    do_the_workflow(shell)

    with gateways.running(shell) as gateway:
        page = scraped(gateway.port, gateway.token("prom", "viewer"))
        again = scraped(gateway.port, gateway.token("prom2", "viewer"))

    check_page_after_workflow(page)
    assert again["taskorch_gateway_requests_total", "200 /metrics"] == 1


def test_service_is_scraped_after_the_workflow(shell: Shell) -> None:
    do_the_workflow(shell)
    port = free_ports(1)[0]

    with services.running(shell, "--metrics", f"127.0.0.1:{port}"):
        check_page_after_workflow(scraped(port))


def test_page_in_the_format_of_openmetrics(shell: Shell) -> None:
    with gateways.running(shell, "--metrics-open") as gateway:
        status, kind, text = get(gateway.port, Accept=OPENMETRICS)

    assert status == 200
    assert kind.startswith("application/openmetrics-text")
    families: Any = openmetrics_families(text)  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"taskorch_redis_up", "taskorch_gateway_requests"} <= names


@pytest.mark.parametrize(
    ("role", "options", "status"),
    [
        ("viewer", (), 200),
        ("orchestrator", (), 200),
        ("admin", (), 200),
        ("worker", (), 403),
        ("viewer", ("--project", "proj_00000001"), 403),
        ("", (), 401),
    ],
)
def test_metrics_need_a_token_of_a_viewer(
    shell: Shell,
    bench: Bench,
    role: str,
    options: tuple[str, ...],
    status: int,
) -> None:
    bench.queue.project("A project", id="proj_00000001")
    with gateways.running(shell) as gateway:
        token = gateway.token("prom", role, *options) if role else ""

        answered, _, text = get(gateway.port, **bearer(token))

    assert answered == status
    assert ("taskorch_items" in text) == (status == 200)


def test_refused_metrics_are_in_the_audit_log(shell: Shell) -> None:
    with gateways.running(shell) as gateway:
        get(gateway.port, **bearer(gateway.token("ada", "worker")))

        def listed() -> list[tuple[str, str, str]]:
            lines = shell.orchestrate("--json", "audit").data()
            return [
                (line["name"], line["verb"], line["outcome"]) for line in lines
            ]

        eventually(lambda: listed() != [])

    assert listed() == [("ada", "metrics", "NOT_ALLOWED")]


def test_open_metrics_need_no_token(shell: Shell) -> None:
    with gateways.running(shell, "--metrics-open") as gateway:
        page = scraped(gateway.port)

    assert page["taskorch_redis_up", ""] == 1


def test_gateway_tells_that_redis_was_killed(shell: Shell, node: Node) -> None:
    shell = shell.having(TASKORCH_REDIS_URL=f"redis://127.0.0.1:{node.port}")
    with gateways.running(shell) as gateway:
        token = gateway.token("prom", "viewer")
        before = scraped(gateway.port, token)
        node.kill()

        eventually(
            lambda: scraped(gateway.port, token)["taskorch_redis_up", ""] == 0
        )
        unknown, _, _ = get(gateway.port, **bearer(f"{token}0"))
        down = scraped(gateway.port, token)
        node.start()
        eventually(
            lambda: scraped(gateway.port, token)["taskorch_redis_up", ""] == 1
        )

    assert before["taskorch_redis_up", ""] == 1
    assert unknown in (401, 503)
    assert ("taskorch_items", "queued") not in down
    assert down["taskorch_gateway_requests_total", "200 /metrics"] >= 2


def test_service_tells_that_redis_was_killed(shell: Shell, node: Node) -> None:
    shell = shell.having(TASKORCH_REDIS_URL=f"redis://127.0.0.1:{node.port}")
    port = free_ports(1)[0]
    with services.running(shell, "--no-rq", "--metrics", f"127.0.0.1:{port}"):
        before = scraped(port)
        node.kill()

        eventually(lambda: scraped(port)["taskorch_redis_up", ""] == 0)

    assert before["taskorch_redis_up", ""] == 1


def test_processes_of_a_gateway_count_together(shell: Shell) -> None:
    with gateways.running(
        shell, "--workers", "2", "--metrics-open"
    ) as gateway:
        total = ("taskorch_gateway_requests_total", "200 /metrics")
        seen: list[float] = []

        def has_counted_all() -> bool:
            with suppress(OSError):
                seen.append(scraped(gateway.port).get(total, 0.0))
            # A process counts a request just after its reply, when another one may
            # already make the next page.
            return len(seen) >= 20 and seen[-1] == len(seen) - 1

        eventually(has_counted_all)
        gateway.stop()

    assert seen == sorted(seen)
    assert seen[-1] == len(seen) - 1


def test_paths_of_strangers_make_no_labels(shell: Shell) -> None:
    with gateways.running(shell, "--metrics-open") as gateway:
        client = gateways.HttpClient(gateway)
        for path in ("/nothing", "/x%22%7D%201", "/metrics/deeper"):
            with suppress(json.JSONDecodeError):
                client.post(path, {})
        client.close()

        page = scraped(gateway.port)

    routes = {
        labels
        for name, labels in page
        if name == "taskorch_gateway_requests_total"
    }
    assert routes == {"404 none"}


def test_scraping_often_asks_redis_seldom(shell: Shell, bench: Bench) -> None:
    calls: Callable[[], int] = lambda: sum(  # noqa: E731
        stats["calls"]
        for name, stats in bench.raw.info("commandstats").items()
        if name in ("cmdstat_fcall", "cmdstat_evalsha", "cmdstat_eval")
    )
    bench.item()
    with gateways.running(shell, "--metrics-open") as gateway:
        scraped(gateway.port)
        before, began = calls(), monotonic()
        pages = [scraped(gateway.port) for _ in range(50)]
        asked, took_s = calls() - before, monotonic() - began

    assert len(pages) == 50
    # reading the figures takes a few calls
    assert asked < 20 * (1 + took_s / FRESH_S)


def test_taken_address_is_refused(shell: Shell) -> None:
    with gateways.running(shell) as gateway:
        address = f"127.0.0.1:{gateway.port}"
        refused = shell.orchestrate("service", "--metrics", address)

    assert refused.code == 2
    assert "Cannot listen" in refused.stderr


def test_public_address_is_warned_of(shell: Shell) -> None:
    port = free_ports(1)[0]

    with services.running(
        shell, "--no-rq", "--metrics", f"0.0.0.0:{port}"
    ) as (service,):
        assert "can read the metrics" in service.log()


@pytest.mark.parametrize("address", ["8651", "host:", "host:99999", ":80"])
def test_odd_address_is_refused(shell: Shell, address: str) -> None:
    refused = shell.orchestrate("service", "--metrics", address)

    assert refused.code == 2
    assert "HOST:PORT" in refused.stderr
    assert refused.stdout == ""
