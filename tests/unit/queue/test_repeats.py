"""A reply lost on the network must not act twice: a request that comes again does nothing and is answered the same."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files

import pytest
from support.builders import Bench, held
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, State
from taskorch.queue.port import Argument, Connection, ConnectionWrapper, Reply, Script
from taskorch_orchestrator.doctor.audit import audit


@dataclass
class Twice(ConnectionWrapper):
    """A connection that loses every first reply: it sends each call again and returns the second reply."""

    connection: Connection
    replies: list[tuple[str, Reply, Reply]] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        first = self.connection.run_script(script, key, arguments)
        second = self.connection.run_script(script, key, arguments)
        self.replies.append((script.name, first, second))
        return second


def twice(bench: Bench) -> tuple[Bench, Twice]:
    connections: list[Twice] = []

    def wrapped(connection: Connection) -> Connection:
        connections.append(Twice(connection))
        return connections[-1]

    repeating = bench.over(wrapped)
    return repeating, connections[0]


def story(bench: Bench, steps: Bench) -> object:
    """Run the whole workflow, and return what came of it; ids and times aside."""
    events = len(bench.events())
    known = {item.id for item in bench.queue.views.list().items}
    names = list(workflow(steps))
    items = [item for item in bench.queue.views.list().items if item.id not in known]
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
            [(said.kind, said.text) for said in bench.queue.views.show(item.id).history]
            for item in items
        ],
        [len(bench.queue.views.discoveries(item.project)) for item in items],
        [[note.text for note in bench.agent().notes(item.id)] for item in items],
    )


def test_a_workflow_whose_every_request_comes_twice_ends_like_one_whose_requests_come_once(
    bench: Bench,
) -> None:
    repeating, connection = twice(bench)

    once = story(bench, bench)
    again = story(bench, repeating)

    assert again == once
    of_the_moment = (
        "environment",
        "agents",
    )  # what the server says of itself, and how long ago something was
    told = [reply for reply in connection.replies if reply[0] not in of_the_moment]
    assert [reply for reply in told if reply[1] != reply[2]] == []
    assert bench.inconsistencies() == []


def test_the_workflow_has_every_script_that_changes_something(bench: Bench) -> None:
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

    # An import needs an empty namespace: tests/integration/test_lost_replies.py has it.
    assert mutating - {"restore"} <= {name for name, _, _ in connection.replies}
    assert len(mutating) > 15


def test_a_refused_request_leaves_nothing_that_a_later_one_would_be_answered_with(
    bench: Bench,
) -> None:
    lease = bench.claimed()

    with pytest.raises(errors.Held):
        bench.agent(session="second").get(Lease(item=lease.item))
    bench.agent().release(lease)

    assert (
        held(bench.agent(session="second").get(Lease(item=lease.item))).item
        == lease.item
    )


def test_two_requests_of_the_same_kind_are_two_steps(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent().progress(lease, "the same words")
    bench.agent().progress(lease, "the same words")

    assert len(bench.queue.views.show(lease.item).history) == 2


def test_a_create_with_the_key_of_an_earlier_one_returns_its_item(bench: Bench) -> None:
    project = bench.project()
    first = bench.queue.create(project, NewItem(title="First", key="one", agent="ada"))
    before = bench.everything()

    second = bench.queue.create(
        project, NewItem(title="Second", key="one", agent="bob")
    )

    assert second == first
    assert bench.everything() == before


def test_a_key_is_remembered_after_the_item_is_completed(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, key="one")
    bench.agent().complete(held(bench.agent().claim()))

    assert bench.item(project, key="one") == first


def test_a_key_is_remembered_after_the_project_is_completed(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, key="one")
    bench.queue.complete_project(project, force=True)

    assert bench.item(project, key="one") == first


def test_a_key_counts_within_its_project(bench: Bench) -> None:
    first, second = (
        bench.item(bench.project(), key="one"),
        bench.item(bench.project(), key="one"),
    )

    assert first != second


def test_items_without_a_key_are_all_different(bench: Bench) -> None:
    project = bench.project()

    assert bench.item(project) != bench.item(project)


def test_a_repair_whose_reply_is_lost_still_tells_what_was_repaired(
    bench: Bench,
) -> None:
    item, project = bench.claimed().item, bench.project()
    bench.lose_lease_entry(item)
    bench.leave_entry("dead", "item_00000000")
    bench.lose_count(f"project:{project}", State.FAILED)
    repeating, _ = twice(bench)

    found = audit(repeating.queue, fix=True)

    assert {finding.id for finding in found.repaired} == {
        item,
        "item_00000000",
        project,
    }
    assert bench.inconsistencies() == []
