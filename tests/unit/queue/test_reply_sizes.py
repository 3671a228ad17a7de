"""The bytes of a reply: packages, claims and pages end when they are large."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from support.builders import Bench
from taskorch.domain.item import Item, ItemFilter, Lease, NewItem, Order
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.queue import Queue
from taskorch_orchestrator.render import tables
from taskorch_worker.render import items as worker_render

MIB = 1024 * 1024
TEXT = "x" * 60_000
#: 300 kB: three of these fit into 1 MiB, and the fourth does not.
HEAVY = tuple(f"{n}{TEXT}" for n in range(5))


@dataclass(frozen=True)
class MeasuringConnection(ConnectionWrapper):
    """A connection that measures the replies."""

    connection: Connection
    sizes: list[int] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        self.sizes.append(size(reply))
        return reply


def size(reply: Reply) -> int:
    if isinstance(reply, list):
        return sum(map(size, reply))
    return len(str(reply).encode())


def heavy_items(bench: Bench, count: int, agent: str = "ada") -> list[str]:
    project = bench.project()
    new = NewItem(title="Heavy", requirements=HEAVY, agent=agent)
    return [bench.queue.create(project, new) for _ in range(count)]


def test_package_has_dependencies_of_1_mib(bench: Bench) -> None:
    others = heavy_items(bench, 6)
    item = bench.item(depends_on=tuple(others))

    package = bench.queue.views.show(item)

    assert [each.id for each in package.dependencies] == others[:4]
    assert package.left_out.dependencies == 2
    assert "… and 2 more" in tables.item(bench.queue.views.timeline(item))


def test_package_has_reports_of_512_kib(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(12):
        me.progress(lease, f"{number} {TEXT}")

    claim = me.get(lease)

    shown = [entry.text.split()[0] for entry in claim.package.history]
    assert shown == [str(number) for number in range(3, 12)]
    assert claim.package.left_out.reports
    assert (
        f"older reports: orchestrate show {lease.item}"
        in worker_render.claim(claim)
    )
    everything = bench.queue.views.timeline(lease.item).timeline
    assert len([each for each in everything if each.report.text]) == 12


@pytest.mark.parametrize("more", [0, 1])
def test_package_says_if_reports_are_older(bench: Bench, more: int) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(50 + more):
        me.progress(lease, str(number))

    package = bench.queue.views.show(lease.item)

    assert len(package.history) == 50
    assert package.left_out.reports is bool(more)


def test_largest_package_has_4_mib_at_most(bench: Bench) -> None:
    connection = MeasuringConnection(bench.queue.connection)
    queue = bench.queue.over(connection)
    others = heavy_items(bench, 5, agent="bob")
    item = bench.item(
        resources=tuple(f"{n}{TEXT}" for n in range(16)),
        depends_on=tuple(others),
    )
    for other in others:
        bench.agent("bob").complete(
            Lease(item=other), TEXT, deliverables={"a": TEXT, "b": TEXT}
        )
    lease, me = bench.claimed(item), queue.agent_queue("ada")
    for _ in range(10):
        me.progress(lease, TEXT)
    for number in range(4):
        me.blocker(lease, f"{number}{TEXT}")

    queue.views.show(item)

    assert 3 * MIB < connection.sizes[-1] < 4 * MIB


def test_claim_takes_what_fits_into_1_mib(bench: Bench) -> None:
    items = heavy_items(bench, 5)

    first = bench.agent().claim_many(5)
    second = bench.agent().claim_many(5)

    assert [claim.package.item.id for claim in first] == items[:3]
    assert [claim.package.item.id for claim in second] == items[3:]
    assert bench.inconsistencies() == []


def test_claim_counts_dependencies_and_reports(bench: Bench) -> None:
    others = heavy_items(bench, 4, agent="bob")
    items = [bench.item(depends_on=tuple(others)) for _ in range(2)]
    for other in others:
        bench.agent("bob").complete(Lease(item=other), "done")

    claims = bench.agent().claim_many(2)

    (taken,) = claims
    assert taken.package.item.id == items[0]
    assert len(taken.package.dependencies) == 4
    assert bench.claimed_next() == items[1]


def test_claim_of_fewer_wakes_another_waiter(bench: Bench) -> None:
    heavy_items(bench, 5)
    connection = bench.queue.connection
    key = f"taskorch:{{{bench.namespace}}}:wake:ada"
    bench.raw.delete(key)

    bench.agent().claim_many(5)

    assert connection.wait_for_wake([key], 0.1)


SORTED = ItemFilter(order=Order.CREATED)
VIEWS: dict[str, Callable[[Queue], Sequence[Item]]] = {
    "list": lambda queue: queue.views.items_of(_project(queue)),
    "search": lambda queue: queue.views.search(SORTED, limit=20).items[::-1],
    "progress": lambda queue: queue.views.progress(_project(queue)).items,
    "unassigned": lambda queue: queue.views.unassigned(),
}


def _project(queue: Queue) -> str:
    return queue.views.projects()[0].id


@pytest.mark.parametrize("view", VIEWS)
def test_view_reads_heavy_items_in_pages(bench: Bench, view: str) -> None:
    items = heavy_items(bench, 9, agent="")
    connection = MeasuringConnection(bench.queue.connection)

    found = VIEWS[view](bench.queue.over(connection))

    assert [item.id for item in found] == items
    assert max(connection.sizes) < 1.5 * MIB
    assert len(connection.sizes) > 2


def test_inbox_reads_heavy_items_in_pages(bench: Bench) -> None:
    items = heavy_items(bench, 9)
    for item in items:
        bench.agent().blocker(Lease(item=item), "Which one?")
    connection = MeasuringConnection(bench.queue.connection)

    found = bench.queue.over(connection).views.inbox()

    assert sorted(item.id for item in found) == sorted(items)
    assert max(connection.sizes) < 1.5 * MIB


def test_projects_with_long_descriptions_are_paged(bench: Bench) -> None:
    made = [bench.queue.project("Long", description=TEXT) for _ in range(25)]
    connection = MeasuringConnection(bench.queue.connection)

    found = bench.queue.over(connection).views.projects()

    assert {project.id for project in found} == set(made)
    assert max(connection.sizes) < 1.5 * MIB


def test_check_shows_first_heavy_items_and_counts_all(bench: Bench) -> None:
    heavy_items(bench, 9)
    connection = MeasuringConnection(bench.queue.connection)

    found = bench.queue.over(connection).agent_queue("ada").check()

    assert (len(found.items), found.count) == (4, 9)
    assert max(connection.sizes) < 1.5 * MIB


def test_briefing_shows_first_heavy_items(bench: Bench) -> None:
    for item in heavy_items(bench, 18)[:9]:
        bench.claimed(item)
    connection = MeasuringConnection(bench.queue.connection)

    found = bench.queue.over(connection).agent_queue("ada").prime(limit=9)

    assert (len(found.held), found.held_count) == (4, 9)
    assert (len(found.queue), found.queue_count) == (4, 9)
    assert max(connection.sizes) < 3 * MIB


def test_timeline_reads_long_entries_in_pages(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(20):
        me.progress(lease, f"{number} {TEXT}")
        me.discover(lease, f"{number} {TEXT}", impact=TEXT)
    connection = MeasuringConnection(bench.queue.connection)

    found = bench.queue.over(connection).views.timeline(lease.item).timeline

    for kind in ("progress", "discover"):
        texts = [e.report.text for e in found if e.report.kind == kind]
        assert [int(text.split()[0]) for text in texts] == list(range(20))
    assert max(connection.sizes) < 2.5 * MIB


def test_notes_are_read_in_pages(bench: Bench) -> None:
    item = bench.item()
    for number in range(30):
        bench.agent().note(item, f"{number} {TEXT}")
    connection = MeasuringConnection(bench.queue.connection)

    notes = bench.queue.over(connection).agent_queue("ada").notes(item)

    assert [int(note.text.split()[0]) for note in notes] == list(range(30))
    assert max(connection.sizes) < 1.5 * MIB


def test_export_reads_heavy_item_in_parts(bench: Bench) -> None:
    lease, me = bench.claimed(), bench.agent()
    for number in range(30):
        me.progress(lease, f"{number} {TEXT}")
        me.note(lease.item, f"{number} {TEXT}")
        me.discover(lease, f"{number} {TEXT}")
    connection = MeasuringConnection(bench.queue.connection)

    lines = list(bench.queue.over(connection).backup.lines())

    for kind in ("report", "note", "discovery"):
        texts = [
            str(cast("Any", line)["fields"]["text"])
            for line in lines
            if line["kind"] == kind
        ]
        assert [int(text.split()[0]) for text in texts] == list(range(30))
    assert max(connection.sizes) < 1.5 * MIB
