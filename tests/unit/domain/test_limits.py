"""Values that the queue refuses before it calls Redis."""

import os
from collections.abc import Callable
from typing import Any, cast

import pytest
from support.builders import Bench
from support.verbs import AGENT_VERBS, ORCHESTRATOR_VERBS
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem, State
from taskorch.domain.limits import LONGEST_MS
from taskorch.queue.queue import Queue

KIB_64 = 64 * 1024
NO_NAMES = [
    "", " ", ".", "..", ".ada", "-ada", "_ada", "a..b", "a b", "a:b", "a/b", "a\\b", "{a}", "a*", "é", "ada\n", "a\x00",
    "a" * 65,
]  # fmt: skip
NAMES = ["a", "7", "A" * 64, "a.b-c_D9", "a-", "a."]
NO_ITEMS = [
    "",
    "item",
    "item_",
    "item_ABC",
    "item_0\n",
    "item_0-0",
    "item_" + "0" * 33,
    "../item_0",
    "item_00000000",
]
NO_PROJECTS = [
    "",
    "proj",
    "proj_",
    "proj_ABC",
    "proj_0:items",
    "item_00000000",
    "proj_" + "0" * 33,
    "proj_00000000",
]

Call = Callable[[Bench, Lease], object]

#: Every parameter that takes a text, called with a given one.
TOO_LONG: dict[str, Callable[[Bench, Lease, str], object]] = {
    "project description": lambda bench, _, text: bench.queue.project(
        "A project", description=text
    ),
    "description": lambda bench, _, text: bench.item(description=text),
    "requirement": lambda bench, _, text: bench.item(requirements=(text,)),
    "context value": lambda bench, _, text: bench.item(context={"k": text}),
    "context name": lambda bench, _, text: bench.item(context={text: "v"}),
    "resource": lambda bench, _, text: bench.item(resources=(text,)),
    "deliverable expected": lambda bench, _, text: bench.item(
        deliverables_expected=(text,)
    ),
    "criterion": lambda bench, _, text: bench.item(criteria=(text,)),
    "key": lambda bench, _, text: bench.item(key=text),
    "assigned context": lambda bench, held, text: bench.queue.assign(
        held.item, "ada", context={"k": text}
    ),
    "assigned resource": lambda bench, held, text: bench.queue.assign(
        held.item, "ada", resources=[text]
    ),
    "answer": lambda bench, held, text: bench.queue.answer(held.item, text),
    "cancel reason": lambda bench, held, text: bench.queue.cancel(
        held.item, reason=text
    ),
    "progress": lambda bench, held, text: bench.agent().progress(held, text),
    "discovery": lambda bench, held, text: bench.agent().discover(held, text),
    "impact": lambda bench, held, text: bench.agent().discover(
        held, "found", impact=text
    ),
    "blocker": lambda bench, held, text: bench.agent().blocker(held, text),
    "needs": lambda bench, held, text: bench.agent().blocker(
        held, "why", needs=text
    ),
    "summary": lambda bench, held, text: bench.agent().complete(held, text),
    "deliverable": lambda bench, held, text: bench.agent().complete(
        held, deliverables={"k": text}
    ),
    "fail reason": lambda bench, held, text: bench.agent().fail(held, text),
    "release reason": lambda bench, held, text: bench.agent().release(
        held, reason=text
    ),
    "note": lambda bench, held, text: bench.agent().note(held.item, text),
}

#: The same for titles.
TITLES: dict[str, Callable[[Bench, Lease, str], object]] = {
    "project title": lambda bench, _, text: bench.queue.project(text),
    "title": lambda bench, _, text: bench.item(title=text),
}

#: All other values that are out of bounds.
REFUSED: dict[str, Call] = {
    "empty project title": lambda bench, _: bench.queue.project(""),
    "blank project title": lambda bench, _: bench.queue.project(" \t\n"),
    "project title of 501 characters": lambda bench, _: bench.queue.project(
        "x" * 501
    ),
    "empty title": lambda bench, _: bench.item(title=""),
    "title of 501 characters": lambda bench, _: bench.item(title="é" * 501),
    "201 requirements": lambda bench, _: bench.item(requirements=("r",) * 201),
    "201 resources": lambda bench, _: bench.item(resources=("r",) * 201),
    "201 deliverables expected": lambda bench, _: bench.item(
        deliverables_expected=("r",) * 201
    ),
    "201 criteria": lambda bench, _: bench.item(criteria=("r",) * 201),
    "201 context values": lambda bench, _: bench.item(
        context={str(n): "" for n in range(201)}
    ),
    "1,001 dependencies": lambda bench, _: bench.item(
        depends_on=tuple(f"item_{n}" for n in range(1001))
    ),
    "1,001 more dependencies": lambda bench, held: bench.queue.depend(
        held.item, [f"item_{n}" for n in range(1001)]
    ),
    "no more dependencies": lambda bench, held: bench.queue.depend(
        held.item, []
    ),
    "blank requirement": lambda bench, _: bench.item(requirements=("",)),
    "blank context name": lambda bench, _: bench.item(context={"": "v"}),
    "priority below 0": lambda bench, _: bench.item(priority=-1),
    "priority above 4": lambda bench, _: bench.item(priority=5),
    "lease of 0": lambda bench, _: bench.item(lease_ms=0),
    "lease of more than a year": lambda bench, _: bench.item(
        lease_ms=LONGEST_MS + 1
    ),
    "no attempts": lambda bench, _: bench.item(max_attempts=0),
    "1001 attempts": lambda bench, _: bench.item(max_attempts=1001),
    "negative time": lambda bench, _: bench.item(not_before_at=-1),
    "negative delay": lambda bench, _: bench.item(delay_ms=-1),
    "delay of more than a year": lambda bench, _: bench.item(
        delay_ms=LONGEST_MS + 1
    ),
    "claimed lease of 0": lambda bench, _: bench.agent().claim(lease_ms=0),
    "claimed lease of more than a year": lambda bench, held: bench.agent().get(
        held, lease_ms=LONGEST_MS + 1
    ),
    "201 assigned resources": lambda bench, held: bench.queue.assign(
        held.item, "ada", resources=["r"] * 201
    ),
    "blank answer": lambda bench, held: bench.queue.answer(held.item, " "),
    "blank progress": lambda bench, held: bench.agent().progress(held, ""),
    "blank discovery": lambda bench, held: bench.agent().discover(held, "\n"),
    "blank blocker": lambda bench, held: bench.agent().blocker(held, ""),
    "blank fail reason": lambda bench, held: bench.agent().fail(held, ""),
    "blank note": lambda bench, held: bench.agent().note(held.item, ""),
    "percentage below 0": lambda bench, held: bench.agent().progress(
        held, "x", percent=-1
    ),
    "percentage above 100": lambda bench, held: bench.agent().progress(
        held, "x", percent=101
    ),
    "201 deliverables": lambda bench, held: bench.agent().complete(
        held, deliverables={str(n): "" for n in range(201)}
    ),
    "deliverables of 256 KiB together": lambda bench, held: (
        bench.agent().complete(held, deliverables=heavy(256 * 1024))
    ),
    "context of 256 KiB together": lambda bench, _: bench.item(
        context=heavy(256 * 1024)
    ),
    "text that is not UTF-8": lambda bench, held: bench.agent().progress(
        held, "\ud800"
    ),
    "title that is not UTF-8": lambda bench, _: bench.queue.project("\udcff"),
    "check limit of 0": lambda bench, _: bench.agent().check(limit=0),
    "check limit of 1001": lambda bench, _: bench.agent().check(limit=1001),
    "list limit of 0": lambda bench, _: bench.queue.views.list(limit=0),
    "list limit of 5001": lambda bench, _: bench.queue.views.list(limit=5001),
    "inbox limit of 0": lambda bench, _: bench.queue.views.inbox(limit=0),
    "cursor that is a word": lambda bench, held: discoveries(
        bench, held, "first"
    ),
    "cursor without its second half": lambda bench, held: discoveries(
        bench, held, "12"
    ),
    "cursor with a sign": lambda bench, held: discoveries(bench, held, "+"),
    "cursor that excludes": lambda bench, held: discoveries(
        bench, held, "(0-0"
    ),
    "cursor in other digits": lambda bench, held: discoveries(
        bench, held, "\N{ARABIC-INDIC DIGIT ONE}-0"
    ),
}


def heavy(size: int) -> dict[str, str]:
    """Return values whose JSON has six bytes more than that number."""
    value = "x" * (size // 8 - len(', "k1": ""'))
    values = {f"k{n}": value for n in range(8)}
    values["k0"] += "x" * 8
    return values


def discoveries(bench: Bench, held: Lease, cursor: str) -> object:
    return bench.queue.views.discoveries(
        bench.queue.views.show(held.item).project_context.id, since=cursor
    )


@pytest.mark.parametrize("place", TOO_LONG)
def test_text_over_64_kib_is_refused(bench: Bench, place: str) -> None:
    held = bench.lease_in(State.BLOCKED)
    before = bench.everything()

    for text in ("x" * (KIB_64 + 1), "é" * (KIB_64 // 2) + "x"):
        with pytest.raises(errors.Invalid) as refusal:
            TOO_LONG[place](bench, held, text)
        assert refusal.type is errors.Invalid
        assert f"{KIB_64} bytes" in str(refusal.value)

    assert without_projects(bench.everything()) == without_projects(before)


@pytest.mark.parametrize("place", [*TOO_LONG, *TITLES])
def test_nul_is_refused_in_every_text(bench: Bench, place: str) -> None:
    held = bench.claimed()
    before = bench.everything()

    with pytest.raises(errors.Invalid, match="There is a NUL character"):
        (TOO_LONG | TITLES)[place](bench, held, "a\0b")

    assert without_projects(bench.everything()) == without_projects(before)


@pytest.mark.parametrize("place", [*TOO_LONG, *TITLES])
def test_every_text_is_stored_normalised(bench: Bench, place: str) -> None:
    lease = bench.lease_in(
        State.BLOCKED if place == "answer" else State.IN_PROGRESS
    )

    (TOO_LONG | TITLES)[place](bench, lease, "\ufeffone\r\ntwo\r\n")

    kept = repr(bench.everything()).replace("\\\\", "\\")  # of JSON in a hash
    assert r"one\ntwo\n" in kept
    assert "\ufeff" not in kept
    assert r"\r" not in kept


@pytest.mark.parametrize("blank", ["\ufeff", "\ufeff \r\n"])
def test_byte_order_mark_alone_is_blank(bench: Bench, blank: str) -> None:
    with pytest.raises(errors.Invalid, match="is empty"):
        bench.queue.project(blank)


@pytest.mark.parametrize("place", TOO_LONG)
def test_text_of_64_kib_is_allowed(bench: Bench, place: str) -> None:
    held = bench.lease_in(State.BLOCKED)

    TOO_LONG[place](bench, held, "é" * (KIB_64 // 2))

    assert bench.inconsistencies() == []


@pytest.mark.parametrize("breach", REFUSED)
def test_values_out_of_bounds_are_refused(bench: Bench, breach: str) -> None:
    held = bench.lease_in(State.BLOCKED)
    before = bench.everything()

    with pytest.raises(errors.Invalid) as refusal:
        REFUSED[breach](bench, held)

    assert refusal.type is errors.Invalid
    assert len(str(refusal.value)) < 300
    assert without_projects(bench.everything()) == without_projects(before)


def without_projects(everything: dict[str, object]) -> dict[str, object]:
    """Leave out the project that the builder creates for a new item."""
    return {
        name: value
        for name, value in everything.items()
        if name.startswith(("item", "queue", "deps", "progress"))
    }


def test_values_at_the_bounds_are_allowed(bench: Bench) -> None:
    project = bench.queue.project("é" * 500)
    item = bench.item(
        project,
        title="é" * 500,
        requirements=("r",) * 200,
        context={str(n): "" for n in range(200)},
        priority=4,
        lease_ms=LONGEST_MS,
        max_attempts=1000,
    )
    lease = bench.claimed(item)

    bench.agent().progress(lease, "x", percent=0)
    bench.agent().progress(lease, "x", percent=100)
    bench.agent().complete(
        lease, deliverables={f"k{n}": "x" * (63 * 1024) for n in range(4)}
    )

    assert bench.agent().check(limit=100).count == 0
    assert len(bench.queue.views.list(limit=5000).items) == 1


@pytest.mark.parametrize(
    ("resources", "context", "what"),
    [(["more"], {}, "resources"), ([], {"one": "more"}, "context values")],
)
def test_assignments_add_at_most_200_context_values(
    bench: Bench, resources: list[str], context: dict[str, str], what: str
) -> None:
    words = [str(number) for number in range(200)]
    item = bench.item(resources=tuple(words), context=dict.fromkeys(words, ""))
    bench.queue.assign(
        item, "ada", resources=words, context=dict.fromkeys(words, "")
    )
    before = bench.everything()

    with pytest.raises(errors.TooMany, match=what):
        bench.queue.assign(item, "bob", resources=resources, context=context)

    assert bench.everything() == before


@pytest.mark.parametrize("name", NO_NAMES)
def test_bad_name_is_refused(bench: Bench, name: str) -> None:
    item, connection = bench.item(agent=""), bench.queue._scripts.connection
    before = bench.everything()

    calls: list[Callable[[], object]] = [
        lambda: bench.agent(name),
        lambda: Queue(connection, name, Caller(agent="ada")),
        lambda: Queue(connection, "default", Caller(agent=name)),
        lambda: bench.queue.assign(item, name),
        lambda: bench.queue.views.list(agent=name),
    ]

    for call in calls if name else calls[:-1]:
        with pytest.raises(errors.Invalid):
            call()
    assert bench.everything() == before


@pytest.mark.parametrize("name", NAMES)
def test_good_name_is_allowed(bench: Bench, name: str) -> None:
    item = bench.item(agent=name)

    claim = bench.agent(name).claim()

    assert claim is not None
    assert claim.package.item.id == item


@pytest.mark.parametrize("item", [*NO_ITEMS, "proj_00000000"])
def test_every_verb_refuses_an_unknown_item(bench: Bench, item: str) -> None:
    known = bench.item()
    calls: list[Callable[[], object]] = [
        *(
            lambda verb=verb: verb(bench.agent(), Lease(item=item, token=1))
            for verb in AGENT_VERBS.values()
        ),
        *(
            lambda verb=verb: verb(bench.queue, item, known)
            for verb in ORCHESTRATOR_VERBS.values()
        ),
        lambda: bench.queue.depend(known, [item]),
        lambda: bench.item(bench.project(), depends_on=(item,)),
        lambda: bench.agent().note(item, "memo"),
        lambda: bench.agent().notes(item),
        lambda: bench.queue.views.show(item),
    ]
    before = bench.everything()

    for call in calls:
        with pytest.raises(errors.NoItem):
            call()

    assert without_projects(bench.everything()) == without_projects(before)


@pytest.mark.parametrize("project", NO_PROJECTS)
def test_every_verb_refuses_an_unknown_project(
    bench: Bench, project: str
) -> None:
    known = bench.item()
    calls: list[Callable[[], object]] = [
        lambda: bench.queue.create(
            project, NewItem(title="An item", depends_on=(known,))
        ),
        lambda: bench.queue.complete_project(project),
        lambda: bench.queue.views.progress(project),
        lambda: bench.queue.views.discoveries(project),
        lambda: bench.queue.views.list(project=project),
        lambda: bench.queue.views.unassigned(project=project),
    ]
    before = bench.everything()

    for call in calls if project else calls[:-3]:
        with pytest.raises(errors.NoProject):
            call()

    assert bench.everything() == before


def complete_with(deliverables: Any) -> Call:
    return lambda bench, held: bench.agent().complete(
        held, "Done", deliverables=deliverables
    )


def item_with(**fields: object) -> Call:
    return lambda bench, _: bench.item(**fields)  # type: ignore[arg-type]


#: Values of another type, as a program without a type checker passes them.
WRONG_TYPES: dict[str, tuple[Call, str]] = {
    "project": (
        lambda bench, _: bench.queue.project(cast("Any", 5)),
        "The title must be text, not int: 5.",
    ),
    "create": (
        lambda bench, _: bench.queue.create(bench.project(), cast("Any", "A")),
        "An item to create must be a NewItem, not 'A'.",
    ),
    "requirements": (
        item_with(requirements="Users table"),
        "requirements must be a list, not text. Write ['Users table'].",
    ),
    "resources": (
        item_with(resources={"a"}),
        "resources must be a list, not set: {'a'}.",
    ),
    "a requirement": (
        item_with(requirements=[4]),
        "The requirement must be text, not int: 4.",
    ),
    "depends_on": (
        item_with(depends_on="item_11aa22bb"),
        "depends_on must be a list, not text. Write ['item_11aa22bb'].",
    ),
    "labels": (
        item_with(labels="ui"),
        "labels must be a list, not text. Write ['ui'].",
    ),
    "context": (
        item_with(context=["a"]),
        "context must be a dict, not list: ['a'].",
    ),
    "priority": (
        item_with(priority="2"),
        "The priority must be a whole number, not str: '2'.",
    ),
    "agent": (
        item_with(agent=7),
        "The name of an agent must be text, not int: 7.",
    ),
    "items": (
        lambda bench, held: bench.queue.assign_many(held.item, "ada"),
        "items must be a list, not text.",
    ),
    "item": (
        lambda bench, _: bench.queue.cancel(cast("Any", 11)),
        "The id of an item must be text, not int: 11.",
    ),
    "percent": (
        lambda bench, held: bench.agent().progress(
            held, "x", percent=cast("Any", 0.5)
        ),
        "The percentage must be a whole number, not float: 0.5.",
    ),
    "a truth value": (
        lambda bench, held: bench.agent().progress(held, "x", percent=True),
        "The percentage must be a whole number, not bool: True.",
    ),
    "wait_s": (
        lambda bench, _: bench.agent().claim(wait_s=cast("Any", "5")),
        "wait_s must be a number of seconds, not str: '5'.",
    ),
    "a negative wait": (
        lambda bench, _: bench.agent().claim(wait_s=-1),
        "wait_s is -1. It must be 0 or more seconds.",
    ),
    "timeout_s": (
        lambda bench, held: bench.agent().wait_for_answer(
            held, timeout_s=float("nan")
        ),
        "timeout_s is nan. It must be 0 or more seconds.",
    ),
    "deliverables": (
        complete_with("db/schema.sql"),
        "deliverables must be a dict, not str: 'db/schema.sql'.",
    ),
    "a deliverable": (
        complete_with({"schema": object}),
        "deliverables['schema'] is neither text nor JSON",
    ),
    "not a number": (
        complete_with({"share": float("nan")}),
        "deliverables['share'] is neither text nor JSON",
    ),
}


@pytest.mark.one_lane
@pytest.mark.parametrize(
    ("call", "message"), WRONG_TYPES.values(), ids=WRONG_TYPES
)
def test_value_of_wrong_type_is_refused(
    bench: Bench, call: Call, message: str
) -> None:
    held = bench.claimed()
    before = bench.queue.views.list()

    with pytest.raises(errors.Invalid) as refused:
        call(bench, held)

    assert message in str(refused.value)
    kept = bench.queue.views.list()
    assert len(kept.items) == len(before.items)


def test_deliverables_that_are_no_text_become_json(bench: Bench) -> None:
    delivered = {
        "tables": 4,
        "share": 0.5,
        "names": ["users", "é"],
        "sizes": {"users": None},
        "complete": True,
        "text": "4",
    }
    held = bench.claimed()

    bench.agent().complete(held, "Done", deliverables=delivered)

    item = bench.queue.views.show(held.item).item
    assert item.deliverables == {
        "tables": "4",
        "share": "0.5",
        "names": '["users", "é"]',
        "sizes": '{"users": null}',
        "complete": "true",
        "text": "4",
    }


def test_caller_fills_in_host_and_pid() -> None:
    caller = Caller(agent="planner")

    assert (caller.host, caller.pid) == (os.uname().nodename, os.getpid())
    assert Caller(agent="planner", host="db1", pid=7).pid == 7
