"""A repeated request acts once and gets the first reply."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import pytest
from support.builders import Bench, need_lease
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    repeated,
)
from taskorch_orchestrator.doctor.audit import audit


@dataclass
class Twice(ConnectionWrapper):
    """A connection that repeats each call and returns the second reply."""

    connection: Connection
    replies: list[tuple[str, Reply, Reply]] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        first = self.connection.run_script(script, key, arguments)
        second = self.connection.run_script(
            script, key, repeated(script, arguments)
        )
        self.replies.append((script.name, first, second))
        return second


def twice(bench: Bench) -> tuple[Bench, Twice]:
    connections: list[Twice] = []

    def wrapped(connection: Connection) -> Connection:
        connections.append(Twice(connection))
        return connections[-1]

    repeating = bench.with_connection(wrapped)
    return repeating, connections[0]


def results(bench: Bench, steps: Bench) -> object:
    """Run the whole workflow, and return its results without ids and times."""
    events = len(bench.events())
    known = {item.id for item in bench.queue.views.list().items}
    names = list(workflow(steps))
    items = [
        item for item in bench.queue.views.list().items if item.id not in known
    ]
    return (
        names,
        [
            (event["verb"], event["state"], event["agent"])
            for event in bench.events()[events:]
        ],
        [
            (
                item.title,
                item.state,
                item.token,
                item.attempts,
                item.context,
                item.resources,
            )
            for item in items
        ],
        [
            [
                (each.kind, re.sub("item_[0-9a-f]+", "item", each.text))
                for each in bench.queue.views.show(item.id).history
            ]
            for item in items
        ],
        [
            len(bench.queue.views.discoveries(item.project).discoveries)
            for item in items
        ],
        [
            [note.text for note in bench.agent().notes(item.id)]
            for item in items
        ],
    )


def test_workflow_of_repeated_requests_ends_the_same(
    bench: Bench,
) -> None:
    repeating, connection = twice(bench)

    once = results(bench, bench)
    again = results(bench, repeating)

    assert again == once
    # Their replies contain the present time.
    changing = (
        *("environment", "agents", "check", "access_tokens", "metrics"),
        *("overview", "use_access_token", "schedules"),
    )
    replies = [
        reply for reply in connection.replies if reply[0] not in changing
    ]
    assert [reply for reply in replies if reply[1] != reply[2]] == []
    assert bench.inconsistencies() == []


def test_workflow_has_every_script_that_writes(bench: Bench) -> None:
    repeating, connection = twice(bench)
    scripts = [
        file
        for file in files("taskorch.queue").joinpath("scripts").iterdir()
        if file.is_file()
    ]
    mutating = {
        file.name.removesuffix(".lua")
        for file in scripts
        if "return once(" in file.read_text()
    }

    list(workflow(repeating))

    # An import needs an empty namespace: tests/integration/test_lost_replies.py tests
    # it.
    assert mutating - {"restore"} <= {
        name for name, _, _ in connection.replies
    }
    assert len(mutating) > 15


def test_refusal_is_not_kept_for_later_requests(
    bench: Bench,
) -> None:
    lease = bench.claimed()

    with pytest.raises(errors.Held):
        bench.agent(session="second").get(Lease(item=lease.item))
    bench.agent().release(lease)

    assert (
        need_lease(
            bench.agent(session="second").get(Lease(item=lease.item))
        ).item
        == lease.item
    )


def test_equal_requests_with_different_ids_are_two_steps(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().progress(lease, "the same words")
    bench.agent().progress(lease, "the same words")

    assert len(bench.queue.views.show(lease.item).history) == 2


def test_create_with_used_key_returns_first_item(bench: Bench) -> None:
    project = bench.project()
    first = bench.queue.create(
        project, NewItem(title="First", key="one", agent="ada")
    )
    before = bench.everything()

    second = bench.queue.create(
        project, NewItem(title="Second", key="one", agent="bob")
    )

    assert second == first
    assert bench.everything() == before


def test_key_is_remembered_after_item_is_completed(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, key="one")
    bench.agent().complete(need_lease(bench.agent().claim()))

    assert bench.item(project, key="one") == first


def test_key_is_remembered_after_project_is_completed(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, key="one")
    bench.queue.complete_project(project, force=True)

    assert bench.item(project, key="one") == first


def test_key_counts_within_its_project(bench: Bench) -> None:
    first, second = (
        bench.item(bench.project(), key="one"),
        bench.item(bench.project(), key="one"),
    )

    assert first != second


def test_items_without_key_are_different(bench: Bench) -> None:
    project = bench.project()

    assert bench.item(project) != bench.item(project)


def test_repeated_repair_reports_what_it_repaired(
    bench: Bench,
) -> None:
    item, project = bench.claimed().item, bench.project()
    bench.delete_lease_entry(item)
    bench.add_entry("dead", "item_00000000")
    bench.shift_count(f"project:{project}", State.FAILED)
    repeating, _ = twice(bench)

    found = audit(repeating.queue, fix=True)

    assert {finding.id for finding in found.repaired} == {
        item,
        "item_00000000",
        project,
    }
    assert bench.inconsistencies() == []
