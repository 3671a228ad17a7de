"""The page of metrics: which series it has, and what it shows without Redis."""

from collections.abc import Mapping
from threading import Event

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import HOUR_MS, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue.metrics import AgentFigures
from taskorch_orchestrator.metrics import collector, figures
from taskorch_orchestrator.metrics.collector import (
    IDLE,
    MOST_AGENTS,
    OTHERS,
    SILENT,
    WORKING,
    registry_of,
)
from taskorch_orchestrator.metrics.figures import (
    FigureReader,
    Figures,
    read_figures,
)

Page = Mapping[str, Mapping[tuple[tuple[str, str], ...], float]]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a slow Redis."""
    monkeypatch.setattr(figures, "WAIT_S", 60)


def page_of(reader: FigureReader, namespace: str = "team") -> Page:
    """Return name -> labels but the namespace -> value."""
    text = generate_latest(registry_of(namespace, reader)).decode()
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("namespace", namespace) == namespace
            series = found.setdefault(sample.name, {})
            key = tuple(sorted(labels.items()))
            assert key not in series
            series[key] = sample.value
    return found


def shown(bench: Bench) -> Page:
    return page_of(FigureReader(lambda: read_figures(bench.queue)))


def agent(name: str, **fields: int) -> AgentFigures:
    usual = {"last_seen_at": 0, "held": 0, "queued": 0, "queued_since": 0}
    return AgentFigures(name=name, **{**usual, **fields})


def test_page_has_every_metric_of_the_queue(bench: Bench) -> None:
    for state in State:
        bench.lease_in(state)
    bench.pool_item()
    bench.agent().complete(bench.claimed(), used=ModelUsage(cost_micros=1))

    page = shown(bench)

    names = {name.removesuffix("_bucket") for name in page}
    assert {each.name for each in collector.DEFINITIONS} <= names
    assert page["taskorch_redis_up"] == {(): 1}
    items = page["taskorch_items"]
    listed = bench.queue.views.list(limit=100).items
    assert sum(items.values()) == len(listed)
    assert items[("state", "failed"),] == 1
    assert page["taskorch_stuck_items"][("why", "failed"),] == 1
    assert page["taskorch_stuck_items"][("why", "silent"),] == 0
    assert page["taskorch_pool_items"] == {(("pool", "backend"),): 1}
    assert page["taskorch_pool_agents"] == {(("pool", "backend"),): 0}
    claims = page["taskorch_events_total"][("verb", "claim"),]
    assert page["taskorch_queue_wait_seconds_count"] == {(): claims}
    buckets = page["taskorch_queue_wait_seconds_bucket"]
    assert buckets[("le", "+Inf"),] == claims
    assert list(buckets.values()) == sorted(buckets.values())


def test_empty_namespace_has_a_page_of_zeros(bench: Bench) -> None:
    page = shown(bench)

    assert page["taskorch_items_completed_total"] == {(): 0}
    assert page["taskorch_blocked_oldest_age_seconds"] == {(): 0}
    assert set(page["taskorch_agents"].values()) == {0}
    assert "taskorch_queue_items" not in page


def test_page_shows_that_redis_is_unreachable() -> None:
    def read() -> Figures:
        raise errors.Unreachable(url="redis://x", reason="refused")

    page = page_of(FigureReader(read))

    assert page["taskorch_redis_up"] == {(): 0}
    assert page.keys() == {"taskorch_redis_up", "taskorch_build_info"}


def test_page_answers_while_redis_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "WAIT_S", 0.01)
    released = Event()

    def read() -> Figures:
        released.wait(30)
        raise errors.Unreachable(url="redis://x", reason="refused")

    reader = FigureReader(read)
    page = page_of(reader)
    released.set()
    monkeypatch.undo()
    reader.close()

    assert page["taskorch_redis_up"] == {(): 0}


def test_scrapes_of_the_same_moment_read_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "FRESH_S", 3600)
    reads = []

    def read() -> Figures:
        reads.append(1)
        return read_figures(bench.queue)

    reader = FigureReader(read)
    for _ in range(10):
        page_of(reader)

    assert len(reads) == 1


def test_defect_of_a_reader_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def read() -> Figures:
        raise ZeroDivisionError

    page = page_of(FigureReader(read))

    assert page["taskorch_redis_up"] == {(): 0}
    assert "ZeroDivisionError" in caplog.text


def test_agents_beyond_the_busiest_share_a_label(bench: Bench) -> None:
    project = bench.project()
    for number in range(MOST_AGENTS + 10):
        for _ in range(2 if number < MOST_AGENTS else 1):
            bench.item(project, agent=f"agent-{number}")

    queued = shown(bench)["taskorch_queue_items"]

    assert len(queued) == MOST_AGENTS + 1
    assert queued[("agent", OTHERS),] == 10
    assert queued[("agent", "agent-0"),] == 2


def test_agent_with_the_shared_label_is_added() -> None:
    agents = [agent(f"a{n}", queued=9) for n in range(MOST_AGENTS)]
    agents += [agent("idle"), agent(OTHERS, queued=20)]

    labelled = collector.busiest(agents)

    assert len(labelled) == MOST_AGENTS
    assert {each.name for each in labelled[OTHERS]} == {OTHERS, "a49", "idle"}


@pytest.mark.parametrize(
    ("held", "silent_ms", "status"),
    [
        (0, 0, IDLE),
        (1, 0, WORKING),
        (1, HOUR_MS - 1, WORKING),
        (1, HOUR_MS, SILENT),
    ],
)
def test_status_of_an_agent(held: int, silent_ms: int, status: str) -> None:
    now = 10 * HOUR_MS
    seen = agent("ada", held=held, last_seen_at=now - silent_ms)

    assert collector.status_of(seen, now) == status


def test_hostile_namespace_cannot_forge_a_series() -> None:
    name = 'x"} 1\ntaskorch_redis_up{namespace="\\'

    def read() -> Figures:
        raise errors.Unreachable(url="redis://x", reason="refused")

    page = page_of(FigureReader(read), name)

    assert page["taskorch_redis_up"] == {(): 0}


def test_hostile_agent_has_no_series(bench: Bench) -> None:
    bench.item()
    tag = f"taskorch:{{{bench.namespace}}}:"
    hostile = 'eve"} 1\ntaskorch_redis_up 0\n#'
    bench.raw.zadd(f"{tag}agents", {hostile: 1})
    bench.raw.zadd(f"{tag}queue:{hostile}", {"item_00000000": 1})

    page = shown(bench)

    assert list(page["taskorch_queue_items"]) == [(("agent", "ada"),)]
    bench.raw.delete(f"{tag}queue:{hostile}")


def test_page_has_tokens_and_cost_by_model(bench: Bench) -> None:
    used = ModelUsage(
        tokens_in=3, tokens_out=2, cache_read=1, cost_micros=250_000
    )
    bench.agent().complete(bench.claimed(), used=replace(used, model="big"))

    page = shown(bench)

    labels = (("agent", "ada"), ("model", "big"))
    assert page["taskorch_cost_usd_total"] == {labels: 0.25}
    assert page["taskorch_tokens_total"] == {
        (*labels, ("type", "cache_read")): 1,
        (*labels, ("type", "in")): 3,
        (*labels, ("type", "out")): 2,
    }
