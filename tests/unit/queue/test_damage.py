"""Damage that other programs wrote to Redis is skipped and reported, and stops nothing."""

import json
from pathlib import Path
from typing import Any, cast

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.cli import json_output
from taskorch.domain import errors
from taskorch.domain.item import Item, Lease, State
from taskorch.queue import keys
from taskorch_orchestrator.backup import export
from taskorch_orchestrator.backup.restore import restore
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.render import doctor, tables
from taskorch_worker.render import items as worker_render

PATH = "item_../../../../tmp/forged"
LINES = "item_aa\nItem item_bb is completed."
FORGED = [PATH, LINES, "item_\x1b[2J", "item_A", "x", "item_" + "a" * 40]
#: Fields of an item, each with a damaged value; None removes the field.
DAMAGE = {
    "state": "bogus\x1b[2J",
    "agent": "../../ada",
    "project": "proj_../..",
    "attempts": "many",
    "max_attempts": "-1",
    "token": "9" * 17,
    "priority": "1.5",
    "lease_ms": "",
    "seq": "nan",
    "created_at": "yesterday",
    "requirements": "[1, 2",
    "context": '["a"]',
    "deliverables": '{"a": 1}',
    "depends_on": '["../../x"]',
    "percent": "\x00",
    "assigned_by": "a b",
    "title": None,
}


def key(bench: Bench, name: str) -> str:
    return keys.tag(bench.namespace) + name


def damage(bench: Bench, item: str, field: str) -> None:
    """Damage a field of an item."""
    value = DAMAGE[field]
    if value is None:
        bench.raw.hdel(key(bench, f"item:{item}"), field)
    else:
        bench.raw.hset(key(bench, f"item:{item}"), field, value)


def forge(bench: Bench, id_: str, *, project: str) -> None:
    """Copy an item of ada under another id, and list it everywhere."""
    hash_ = cast(
        "dict[str, str]",
        bench.raw.hgetall(key(bench, f"item:{bench.item(project)}")),
    )
    bench.raw.hset(key(bench, f"item:{id_}"), mapping=cast(Any, hash_))
    bench.add_entry("queue:ada", id_, 0)
    bench.add_entry(f"project:{project}:items", id_, 0.5)
    bench.add_entry("leases", id_, 1)


def damaged(bench: Bench) -> list[str]:
    """Return the ids of the rows that were skipped, and forget them."""
    found = [id_ for _, id_ in bench.queue.damage]
    bench.queue.damage.clear()
    return found


# Ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize("id_", FORGED)
def test_item_with_forged_id_is_never_claimed(bench: Bench, id_: str) -> None:
    project = bench.project()
    forge(bench, id_, project=project)

    claims = bench.agent().claim_many(10)

    assert [claim.package.item.id for claim in claims] == [
        item.id for item in bench.queue.views.list(project=project).items
    ]
    assert all(claim.package.item.id != id_ for claim in claims)
    assert len(claims) == 1


@pytest.mark.parametrize("id_", FORGED[:4])
def test_forged_id_becomes_no_file(root: Root, id_: str) -> None:
    project = root.bench.project()
    sound = root.bench.item(project)
    forge(root.bench, id_, project=project)
    root.bench.raw.xadd(
        key(root.bench, "events"),
        {
            "verb": "create",
            "item": id_,
            "project": project,
            "agent": "../ada",
            "state": "queued",
        },
    )

    root.sync()

    names = {path.name for path in root.path.rglob("*") if path.is_file()}
    assert f"{sound}_handoff.json" in names
    assert not [
        name
        for name in names
        if "forged" in name or "\n" in name or "\x1b" in name
    ]
    assert not Path("/tmp/forged_handoff.json").exists()


def test_line_break_in_id_forges_no_line(bench: Bench) -> None:
    project = bench.project()
    forge(bench, LINES, project=project)

    shown = tables.items(bench.queue.views.list(project=project).items)

    assert len(shown.split("\n")) == 2
    assert damaged(bench) == [LINES]


# A damaged item -----------------------------------------------------------------------


@pytest.fixture(params=DAMAGE)
def damaged_bench(
    request: pytest.FixtureRequest, bench: Bench
) -> tuple[Bench, str, str]:
    """Return a bench, a damaged item of ada and a sound one of the same project."""
    project = bench.project()
    item, sound = bench.item(project), bench.item(project)
    damage(bench, item, request.param)
    return bench, item, sound


def test_damaged_item_is_skipped_and_reported(
    damaged_bench: tuple[Bench, str, str],
) -> None:
    bench, item, sound = damaged_bench

    listed = bench.queue.views.list().items
    checked = bench.agent().check().items
    progress = bench.queue.views.progress(listed[0].project).items

    assert [each.id for each in (*listed, *checked, *progress)] == [sound] * 3
    assert item in damaged(bench)


def test_requested_damaged_item_is_refused(
    damaged_bench: tuple[Bench, str, str],
) -> None:
    bench, item, _ = damaged_bench

    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        bench.queue.views.show(item)

    assert refusal.value.exit_code == 5
    assert isinstance(refusal.value, errors.Damaged)
    assert "orchestrate doctor --fix" in refusal.value.hint()


def test_damaged_item_does_not_stop_the_queue(
    damaged_bench: tuple[Bench, str, str],
) -> None:
    bench, _, sound = damaged_bench

    claims = bench.agent().claim_many(2)
    bench.queue.reap()

    assert [claim.package.item.id for claim in claims] == [sound]


def test_due_damaged_item_does_not_stop_others(bench: Bench) -> None:
    item, sound = bench.claimed().item, bench.item()
    damage(bench, item, "attempts")
    bench.expire_lease(item)

    assert bench.claimed_next() == sound


def test_backup_of_damaged_namespace_is_restored(
    damaged_bench: tuple[Bench, str, str], tmp_path: Path, copy: Bench
) -> None:
    bench, item, sound = damaged_bench
    waiting = bench.item(depends_on=(sound,))
    file = tmp_path / "backup.jsonl"

    export.to_file(
        export.without_damage(bench.queue.backup.lines(), bench.queue.damage),
        file,
    )
    reported = damaged(bench)
    restore(file, copy.queue.backup)

    there = {each.id for each in copy.queue.views.list().items}
    assert {sound, waiting} <= there
    assert item in reported
    assert copy.queue.damage == {}
    assert copy.inconsistencies() == []


def test_doctor_moves_a_damaged_item_aside(
    damaged_bench: tuple[Bench, str, str],
) -> None:
    bench, item, sound = damaged_bench

    found = audit(bench.queue, fix=False)
    audit(bench.queue, fix=True)
    left = audit(bench.queue, fix=True)

    assert item in [
        finding.id for finding in found.findings if finding.word == "damaged"
    ]
    assert left.findings == ()
    assert bench.inconsistencies() == []
    assert damaged(bench) == []
    assert [each.id for each in bench.queue.views.list().items] == [sound]
    (moved,) = bench.queue.quarantined()
    assert (moved.kind, moved.id, "event" in moved.fields) == (
        "item",
        item,
        True,
    )
    assert item in doctor.quarantined([moved])


def test_doctor_leaves_a_sound_namespace_alone(bench: Bench) -> None:
    for state in State:
        bench.lease_in(state)

    assert audit(bench.queue, fix=False).findings == ()
    assert audit(bench.queue, fix=True).repaired == ()
    assert bench.queue.quarantined() == ()


def test_damaged_item_does_not_stop_the_sync(root: Root) -> None:
    project = root.bench.project()
    item, sound = root.bench.item(project), root.bench.item(project)
    damage(root.bench, item, "context")

    done = root.sync()

    assert root.document(sound, "handoff")["item_id"] == sound
    assert "damaged in Redis" in str(done.troubles)
    assert item in str(done.troubles)


# Projects, agents, entries ------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "odd"),
        ("created_at", "x"),
        ("n_queued", "x"),
        ("title", None),
    ],
)
def test_items_of_damaged_project_can_be_claimed(
    bench: Bench, field: str, value: str | None
) -> None:
    project = bench.project()
    item = bench.item(project)
    if value is None:
        bench.raw.hdel(key(bench, f"project:{project}"), field)
    else:
        bench.raw.hset(key(bench, f"project:{project}"), field, value)

    projects = bench.queue.views.projects()
    claimed = bench.claimed_next()
    audit(bench.queue, fix=True)
    damaged(bench)

    assert (claimed, projects) == (item, ())
    assert [each.id for each in bench.queue.views.projects()] == [project]
    assert bench.inconsistencies() == []
    assert [each.kind for each in bench.queue.quarantined()] == (
        [] if field == "n_queued" else ["project"]
    )


def test_forged_agent_is_skipped_and_moved_aside(bench: Bench) -> None:
    bench.item()
    bench.add_entry("agents", "../../etc\x1b[2J", 7)

    listed = bench.queue.views.agents()
    reported = damaged(bench)
    audit(bench.queue, fix=True)

    assert [agent.name for agent in listed] == ["ada"]
    assert reported == ["../../etc\x1b[2J"]
    assert bench.members("agents") == ["ada"]


def test_damaged_report_is_left_out_of_history(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "sound")
    bench.raw.xadd(
        key(bench, f"progress:{lease.item}"),
        {"kind": "progress\x1b", "agent": "../x", "text": "bad"},
    )

    history = bench.queue.views.show(lease.item).history

    assert [report.text for report in history] == ["sound"]
    assert len(damaged(bench)) == 1


def test_damaged_discoveries_do_not_hide_later_ones(bench: Bench) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    for _ in range(3):
        bench.raw.xadd(
            key(bench, f"discoveries:{project}"),
            {"item": PATH, "agent": "ada"},
        )
    bench.agent().discover(lease, "sound")

    found = bench.queue.views.discoveries(project, limit=1)

    assert [each.text for each in found.discoveries] == ["sound"]


def test_damaged_events_are_skipped(bench: Bench) -> None:
    start = bench.queue.views.events().newest
    for _ in range(3):
        bench.raw.xadd(
            key(bench, "events"),
            {
                "verb": "x\n",
                "item": PATH,
                "project": "",
                "agent": "",
                "state": "",
            },
        )

    events = bench.queue.views.events(since=start, limit=2)
    rest = bench.queue.views.events(since=events.cursor)

    assert events.entries == rest.entries == ()
    assert rest.cursor == rest.newest


# Tokens -------------------------------------------------------------------------------


@pytest.fixture
def held_elsewhere(bench: Bench) -> tuple[Bench, str, str]:
    """Return a bench, an item that another session holds, and the id of its claim."""
    item = bench.item()
    lease = (
        bench.agent(session="other")
        .discover(Lease(item=item), "claims it")
        .lease
    )
    bench.agent(session="other").progress(lease, "more")
    bench.agent(session="other").blocker(lease, "which?")
    return bench, item, lease.claim


def test_no_view_shows_claim_of_another_holder(
    held_elsewhere: tuple[Bench, str, str],
) -> None:
    bench, item, claim = held_elsewhere
    views, project = (
        bench.queue.views,
        bench.queue.views.show(item).item.project,
    )
    looker = bench.agent(session="looker")

    replies = [
        bench.queue._scripts.run_script(name, *words)
        for name, words in (
            ("show", (item,)),
            (
                "list",
                ("", "[]", "[]", "[]", "[]", "[]", 0, 0, "", "[]", "", 10),
            ),
            ("progress_of_project", (project, 0, 10)),
            ("discoveries", (project, "after", "0-0", "", 10)),
            ("discoveries", (item, "before", "", "", 10)),
            ("count_new_discoveries", ("orchestrator", "all")),
            ("new_discoveries", ("orchestrator", "all", 10)),
            ("records", ("", item, "", "")),
            ("records", (":looker", item, "", "")),
            ("indexed", ("blocked", 0, 10)),
            ("stuck", (1, 1, "", "", 10)),
            ("agents", (0, 10, 10)),
            ("events", ("0-0", 10)),
            ("standing", (item,)),
            *(
                ("overview", (part, 0, 10))
                for part in ("needs", "agents", "pools", "events")
            ),
        )
    ]
    replies += [
        looker._scripts.run_script("get", item, "", "peek", ""),
        looker._scripts.run_script("check", 10),
        looker._scripts.run_script(
            "prime", 10, json.dumps([[item, "1:0000000000000000"]])
        ),
    ]
    shown = [
        views.show(item),
        views.list(),
        looker.prime(),
        views.discoveries(project),
        views.progress(project),
    ]
    with pytest.raises(errors.Held) as refusal:
        looker.get(Lease(item=item))

    assert len(claim) == 16
    assert claim not in repr(replies)
    assert claim not in "".join(json_output.line(each) for each in shown)
    document = json_output.error_document(refusal.value)
    assert claim not in json_output.dump(document)


def test_no_handoff_file_has_a_claim(root: Root) -> None:
    item = root.bench.item()
    lease = (
        root.bench.agent(session="other")
        .progress(Lease(item=item), "claims it")
        .lease
    )

    root.sync()

    files = [
        path.read_text(errors="replace") for path in root.path.rglob("*.json")
    ]
    assert files
    assert lease.claim not in "".join(files)


def test_holder_gets_its_own_token(bench: Bench) -> None:
    lease = bench.claimed()

    (held,) = bench.agent().prime([lease]).held

    assert held.claim.lease is not None
    assert held.claim.lease.shown() == lease.shown()
    assert bench.lease_of(lease.item).shown() == lease.shown()


def test_worker_get_escapes_control_characters(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="T\x1b[2J\u202e"))

    assert "\x1b" not in worker_render.claim(bench.agent().get(lease))
    assert isinstance(bench.queue.views.show(lease.item).item, Item)
