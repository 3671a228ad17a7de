"""Hash fields with arbitrary bytes crash no reading verb and reach no screen raw."""

import re
from collections.abc import Callable
from typing import Any, cast

import fakeredis
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.builders import Bench
from support.one_server import OneServer
from taskorch.cli import json_output
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease
from taskorch.queue import keys
from taskorch.queue.port import UNREADABLE
from taskorch.queue.queue import Queue
from taskorch.transport.failover import FailoverConnection
from taskorch_orchestrator.actions import standing_in_words
from taskorch_orchestrator.briefing import briefing
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.render import agents, tables
from taskorch_orchestrator.render import briefing as briefing_render
from taskorch_worker.render import briefing as workers_briefing
from taskorch_worker.render import items as worker_render

RAW = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2066-\u2069]"
)
FIELDS = [
    *(
        "project",
        "title",
        "description",
        "requirements",
        "context",
        "resources",
        "criteria",
        "deliverables",
    ),
    *(
        "depends_on",
        "state",
        "agent",
        "assigned_by",
        "priority",
        "seq",
        "token",
        "live_token",
        "claim",
        "attempts",
    ),
    *(
        "max_attempts",
        "lease_ms",
        "claim_lease_ms",
        "not_before",
        "holder_host",
        "holder_pid",
        "holder_session",
    ),
    *(
        "holder_since",
        "blocker",
        "needs",
        "percent",
        "summary",
        "created_at",
        "assigned_at",
        "started_at",
        "event",
    ),
]
BYTES = st.one_of(
    st.binary(max_size=12),
    st.text(max_size=8).map(lambda text: text.encode(errors="surrogatepass")),
    st.sampled_from(
        [
            b"",
            b"-1",
            b"1e400",
            b"nan",
            b"[]",
            b"{}",
            b'["a"]',
            b'{"a":[]}',
            b"\x1b[2J",
            b"../..",
            b"\xff",
        ]
    ),
)
READS: list[Callable[[Bench, str, str], str]] = [
    lambda bench, item, _: tables.item(bench.queue.views.timeline(item)),
    lambda bench, item, _: tables.item_progress(bench.queue.views.show(item)),
    lambda bench, _, project: tables.project_progress(
        bench.queue.views.progress(project)
    ),
    lambda bench, _, project: tables.discoveries(
        bench.queue.views.discoveries(project).discoveries
    ),
    lambda bench, *_: tables.items(bench.queue.views.list().items),
    lambda bench, *_: tables.items(bench.queue.views.unassigned()),
    lambda bench, *_: tables.inbox(bench.queue.views.inbox()),
    lambda bench, *_: tables.stuck(
        bench.queue.views.stuck(unstarted_ms=1, silent_ms=1).items
    ),
    lambda bench, *_: tables.projects(bench.queue.views.projects()),
    lambda bench, *_: agents.agents(bench.queue.views.agents()),
    lambda bench, *_: briefing_render.briefing(
        briefing(bench.queue.views, "planner", bench.namespace)
    ),
    lambda bench, item, _: json_output.line(
        bench.queue.views.records([item], session="")
    ),
    lambda bench, *_: json_output.line(bench.queue.views.events()),
    lambda bench, *_: json_output.line(list(bench.queue.backup.lines())),
    lambda bench, item, _: standing_in_words(
        bench.queue.waits().standing(item)
    ),
    lambda bench, item, _: worker_render.claim(
        bench.agent().get(Lease(item=item), peek=True)
    ),
    lambda bench, *_: worker_render.assignments(bench.agent().check(), ()),
    lambda bench, *_: workers_briefing.briefing(bench.agent().prime()),
    lambda bench, item, _: worker_render.notes(bench.agent().notes(item)),
    lambda bench, *_: worker_render.claims(bench.agent().claim_many(5)),
    lambda bench, *_: str(bench.queue.reap()),
    lambda bench, *_: json_output.line(audit(bench.queue, fix=True)),
]


@pytest.fixture(scope="module")
def bench() -> Bench:
    server = fakeredis.FakeServer()

    def client() -> Any:
        return fakeredis.FakeRedis(
            server=server, decode_responses=True, encoding_errors=UNREADABLE
        )

    connection = FailoverConnection(
        OneServer("fake://", client(), lambda _: client())
    )
    return Bench(
        queue=Queue(connection, "odd", Caller(agent="planner")),
        raw=client(),
        namespace="odd",
        url="",
    )


def change(
    bench: Bench, kind: str, changes: dict[str, bytes]
) -> tuple[str, str]:
    """Create a few items, change the keys of a kind, and return an item and its project."""
    bench.raw.flushall()
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().note(lease.item, "a note")
    bench.agent().discover(lease, "found")
    bench.agent().blocker(lease, "which?")
    waiting = bench.item(project, depends_on=(lease.item,))
    bench.item(project, agent="")
    tag = keys.tag(bench.namespace)
    names = {
        "item": (f"item:{lease.item}", f"item:{waiting}"),
        "project": (f"project:{project}",),
        "agent": ("agent:ada",),
    }
    streams = {
        "report": f"progress:{lease.item}",
        "discovery": f"discoveries:{project}",
        "event": "events",
    }
    for name in names.get(kind, ()):
        bench.raw.hset(tag + name, mapping=cast(Any, changes))
    if kind in streams:
        bench.raw.xadd(tag + streams[kind], cast(Any, changes))
    return lease.item, project


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from(
        [
            "item",
            "item",
            "item",
            "project",
            "agent",
            "report",
            "discovery",
            "event",
        ]
    ),
    st.dictionaries(
        st.sampled_from(
            [*FIELDS, "kind", "text", "item", "impact", "verb", "n_queued"]
        ),
        BYTES,
        min_size=1,
    ),
)
def test_arbitrary_bytes_crash_no_reading_verb(
    bench: Bench, kind: str, changes: dict[str, bytes]
) -> None:
    item, project = change(bench, kind, changes)

    for read in READS:
        try:
            shown = read(bench, item, project)
        except errors.TaskOrchestratorError as error:
            shown = json_output.dump(json_output.error_document(error))
        assert "UNEXPECTED" not in shown
        assert not RAW.search(shown.replace("\t", "")), shown
