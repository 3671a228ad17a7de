"""The bound on the bytes of an item: refused above it, before anything is written."""

import json

import pytest
from support.builders import Bench
from taskorch.domain import errors, limits
from taskorch.domain.item import Caller, ItemEdit, Lease, NewItem, State
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.plan import Plan

MOST = 1024 * 1024
TITLE = "Heavy"


def texts(size: int) -> tuple[str, ...]:
    """Return texts whose JSON list, as a client stores it, has this size."""
    count = (size - 4) // 60_004
    full = [f"{n:02}" + "x" * 59_998 for n in range(count)]
    missing = size - len(json.dumps([*full, ""]))
    return (*full, "x" * missing)


def heavy(size: int) -> NewItem:
    """Return a new item of this size."""
    return NewItem(
        title=TITLE,
        requirements=texts(size - len(TITLE)),
        agent="ada",
        lease_ms=60_000,
    )


def claimed(bench: Bench) -> Lease:
    """Claim ada's next item."""
    claim = bench.agent().claim()
    assert claim
    assert claim.lease
    return claim.lease


def test_item_of_exactly_1_mib_is_created(bench: Bench) -> None:
    item = bench.queue.create(bench.project(), heavy(MOST))

    assert bench.state(item) is State.QUEUED


def test_item_over_1_mib_is_not_created(bench: Bench) -> None:
    project = bench.project()
    before = bench.everything()

    with pytest.raises(errors.TooLarge) as refusal:
        bench.queue.create(project, heavy(MOST + 1))

    assert str(refusal.value) == (
        "Heavy would have 1048577 bytes; an item has at most 1048576 (1 MiB)."
    )
    assert "files" in refusal.value.hint()
    assert bench.everything() == before


def test_script_refuses_items_that_clients_let_pass(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bench.project()
    items = (NewItem(title="Light"), heavy(MOST + 1))
    before = bench.everything()
    monkeypatch.setattr(limits, "ITEM_BYTES", 2 * MOST)

    with pytest.raises(errors.TooLarge):
        bench.queue.create_many(project, items)

    assert bench.everything() == before


def test_script_counts_bytes_as_clients_do(bench: Bench) -> None:
    new = NewItem(
        title="Ä" * 9,
        labels=("one",),
        criteria=("a",),
        requirements=texts(MOST - 18 - len('["one"]') - len('["a"]')),
        max_attempts=7,
    )

    item = bench.queue.create(bench.project(), new)

    assert bench.state(item) is State.PENDING


@pytest.mark.parametrize("extra", [0, 1])
def test_edit_makes_item_1_mib_large_at_most(bench: Bench, extra: int) -> None:
    item = bench.queue.create(bench.project(), heavy(MOST - 100))
    before = bench.everything()
    edit = ItemEdit(description="x" * (100 + extra))

    if extra:
        with pytest.raises(errors.TooLarge, match=f"{item} would have"):
            bench.queue.edit([item], edit)
        assert bench.everything() == before
    else:
        bench.queue.edit([item], edit)
        assert bench.queue.views.show(item).item.description == "x" * 100


def test_edit_is_refused_if_one_grows_large(
    bench: Bench,
) -> None:
    project = bench.project()
    light = bench.item(project)
    large = bench.queue.create(project, heavy(MOST))
    before = bench.everything()

    with pytest.raises(errors.TooLarge, match=large):
        bench.queue.edit([light, large], ItemEdit(description="more"))

    assert bench.everything() == before


def test_too_large_item_of_older_version_may_shrink(bench: Bench) -> None:
    item = bench.item()
    tag = keys.tag(bench.namespace)
    stored = json.dumps(texts(2 * MOST))
    bench.raw.hset(f"{tag}item:{item}", "requirements", stored)

    bench.queue.edit([item], ItemEdit(requirements=texts(MOST)))
    with pytest.raises(errors.TooLarge):
        bench.queue.edit([item], ItemEdit(description="more"))

    assert len(bench.queue.views.show(item).item.requirements) > 1


@pytest.mark.parametrize("extra", [0, 1])
def test_assignment_makes_item_1_mib_large_at_most(
    bench: Bench, extra: int
) -> None:
    item = bench.queue.create(bench.project(), heavy(MOST - 100))
    before = bench.everything()
    resource = "x" * (100 - len('[""]') + extra)

    if extra:
        with pytest.raises(errors.TooLarge, match=f"{item} would have"):
            bench.queue.assign(item, "bob", resources=[resource])
        assert bench.everything() == before
    else:
        bench.queue.assign(item, "bob", resources=[resource])
        assert bench.queue.views.show(item).item.resources == (resource,)


@pytest.mark.parametrize("extra", [0, 1])
def test_deliverables_make_item_1_mib_large_at_most(
    bench: Bench, extra: int
) -> None:
    bench.queue.create(bench.project(), heavy(MOST - 10_000))
    lease = claimed(bench)
    before = bench.everything()
    report = "x" * (10_000 - len('{"a": ""}') + extra)

    if extra:
        with pytest.raises(errors.TooLarge, match=f"{lease.item} would have"):
            bench.agent().complete(lease, deliverables={"a": report})
        assert bench.everything() == before
    else:
        bench.agent().complete(lease, deliverables={"a": report})
        assert bench.state(lease.item) is State.COMPLETED


def test_small_deliverables_always_fit(bench: Bench) -> None:
    bench.queue.create(bench.project(), heavy(MOST))
    lease = claimed(bench)
    path = "x" * (4096 - len('{"branch": ""}'))

    bench.agent().complete(lease, "Done", deliverables={"branch": path})

    assert bench.state(lease.item) is State.COMPLETED


def test_refused_delivery_of_several_delivers_none(bench: Bench) -> None:
    project = bench.project()
    bench.item(project)
    bench.queue.create(project, heavy(MOST))
    one, other = claimed(bench), claimed(bench)
    large = {"report": "x" * 5000}
    before = bench.everything()

    with pytest.raises(errors.TooLarge, match=other.item):
        bench.agent().complete_many(
            [(one, "done", {}), (other, "done", large)]
        )

    assert bench.everything() == before


def test_plan_update_cannot_make_item_too_large(bench: Bench) -> None:
    project = bench.project()
    new = NewItem(title=TITLE, key="a", resources=texts(MOST - 100))
    bench.queue.create(project, new)
    longer = NewItem(title=TITLE, key="a", resources=("y" * 200,))
    before = bench.everything()

    with pytest.raises(errors.TooLarge):
        bench.queue.apply(Plan(project=project, items=(longer,)), updates=True)

    assert bench.everything() == before


def test_session_has_at_most_255_characters(bench: Bench) -> None:
    item = bench.item()
    longest, too_long = "ü" * 255, "ü" * 256
    before = bench.everything()

    with pytest.raises(errors.Invalid, match="has 256 characters"):
        bench.agent(session=too_long)
    assert bench.everything() == before
    lease = bench.claimed(item, session=longest)

    held = bench.queue.views.show(lease.item).item
    assert held.holder
    assert held.holder.session == longest


def test_long_host_name_is_cut(bench: Bench) -> None:
    caller = Caller(agent="ada", host="h" * 256)
    item = bench.item()

    AgentQueue(bench.queue.connection, bench.namespace, caller).claim()

    holder = bench.queue.views.show(item).item.holder
    assert holder
    assert holder.host == "h" * 255


def test_new_items_of_call_have_1250_kib(bench: Bench) -> None:
    project = bench.project()
    items = [heavy(MOST - 1000), heavy(MOST // 4 - 1000)]

    bench.queue.create_many(project, items)
    before = bench.everything()
    with pytest.raises(errors.Invalid, match=r"1\.25 MiB"):
        bench.queue.create_many(project, [*items, heavy(3000)])

    assert bench.everything() == before


def test_call_changes_few_large_contexts(bench: Bench) -> None:
    context = {str(name): "x" * 65_000 for name in range(2)}
    home = bench.project()
    items = [bench.item(home, context=context) for _ in range(3)]
    before = bench.everything()

    with pytest.raises(errors.TooMany, match=items[2]):
        bench.queue.assign_many(items, "bob", context={"a": "b"})
    with pytest.raises(errors.TooMany, match=items[2]):
        bench.queue.edit(items, ItemEdit(context={"a": "b"}))
    unchanged = bench.everything()
    bench.queue.assign_many(items[:2], "bob", context={"a": "b"})
    bench.queue.edit(items[:2], ItemEdit(context={"c": "d"}))
    bench.queue.edit(items, ItemEdit(priority=0))

    assert unchanged == before


def test_call_changes_few_large_items(bench: Bench) -> None:
    home = bench.project()
    items = [bench.queue.create(home, heavy(800_000)) for _ in range(2)]
    before = bench.everything()

    with pytest.raises(errors.TooMany, match=items[1]):
        bench.queue.edit(items, ItemEdit(add_labels=("large",)))
    unchanged = bench.everything()
    bench.queue.edit(items[:1], ItemEdit(add_labels=("large",)))
    bench.queue.assign_many(items, "bob")

    assert unchanged == before


def test_edits_of_call_have_1250_kib(bench: Bench) -> None:
    items = [bench.item() for _ in range(11)]
    two_texts = ("x" * 65_536, "y" * 65_536)
    before = bench.everything()

    with pytest.raises(errors.Invalid, match=r"1\.25 MiB"):
        bench.queue.edit(items, ItemEdit(requirements=two_texts))
    with pytest.raises(errors.Invalid, match=r"1\.25 MiB"):
        bench.queue.assign_many(items, "bob", resources=two_texts)

    assert bench.everything() == before
