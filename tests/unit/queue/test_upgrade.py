"""A namespace of schema 1 is upgraded by the first call, in parts.

`support/schema_1/export.jsonl` was exported by the version that wrote schema 1.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from support.builders import Bench
from taskorch.domain.item import Item, Lease, Report, State
from taskorch.domain.mirror_record import Origin
from taskorch.queue import backup, keys, replies, scripts
from taskorch.queue.port import (
    REPEAT,
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_orchestrator.backup.restore import restore

EXPORT = Path(__file__).parents[2] / "support" / "schema_1" / "export.jsonl"
LINES: list[dict[str, Any]] = [
    json.loads(line) for line in EXPORT.read_text().splitlines()
]
ITEMS = [line for line in LINES if line["kind"] == "item"]
UPGRADING = "2 (upgrading)"


@pytest.fixture
def old(bench: Bench) -> Bench:
    """Return a namespace of schema 1 with items in every state."""
    restore(EXPORT, bench.queue.backup)
    assert bench.schema() == "1"
    return bench


def item_as_exported(line: dict[str, Any]) -> Item:
    flat = [word for pair in line["fields"].items() for word in pair]
    expires = line["score"] if line["fields"]["state"] == "in_progress" else ""
    return replies.item([line["id"], flat, str(expires)])


def reports_as_exported(item: str) -> list[tuple[str, ...]]:
    return [
        (line["entry"], line["fields"]["kind"], line["fields"].get("text", ""))
        for line in LINES
        if line["kind"] == "report" and line["item"] == item
    ]


def shown(report: Report) -> tuple[str, ...]:
    return report.id, report.kind, report.text


def titled(title: str) -> str:
    return next(
        str(line["id"]) for line in ITEMS if line["fields"]["title"] == title
    )


def upgrade_part(bench: Bench, most: int) -> Reply:
    return bench.queue._scripts.run_script("upgrade", most)


def fields_of(bench: Bench, item: str) -> dict[str, str]:
    return dict(
        bench.raw.hgetall(f"{keys.tag(bench.namespace)}item:{item}")  # type: ignore[arg-type]
    )


def test_first_view_upgrades_the_namespace(old: Bench) -> None:
    items = {item.id: item for item in old.queue.views.list().items}

    assert old.schema() == backup.SCHEMA
    assert items == {line["id"]: item_as_exported(line) for line in ITEMS}
    assert old.inconsistencies() == []


def test_first_step_upgrades_and_acts(old: Bench) -> None:
    pending = titled("Choose a name")

    old.queue.assign(pending, "dora")

    assert old.schema() == backup.SCHEMA
    assert old.state(pending) is State.QUEUED


def test_upgrade_keeps_every_report(old: Bench) -> None:
    for line in ITEMS:
        history = old.queue.views.show(line["id"]).history

        assert [shown(report) for report in history] == reports_as_exported(
            line["id"]
        )


def test_upgraded_completion_needs_no_stream(old: Bench) -> None:
    alone, with_progress = titled("Design the tables"), titled("Write the API")

    old.queue.views.projects()

    exists = old.raw.exists
    assert not exists(keys.reports(old.namespace, alone))
    assert exists(keys.reports(old.namespace, with_progress))
    (line,) = [
        line
        for line in LINES
        if line["kind"] == "report" and line["item"] == alone
    ]
    assert fields_of(old, alone)["completion"] == line["fields"]["request"]


def test_upgrade_leaves_out_usual_values(old: Bench) -> None:
    done = titled("Design the tables")
    before = fields_of(old, done)

    old.queue.views.projects()

    after = fields_of(old, done)
    assert set(before) - set(after) == {
        "assigned_at",
        "assigned_by",
        "claim_lease_ms",
        "holder_session",
        "holder_since",
        "labels",
        "not_before",
    }


def test_interrupted_upgrade_is_finished_by_next_call(old: Bench) -> None:
    """What a client killed between two parts leaves behind."""
    assert upgrade_part(old, 3) == ["1"]
    assert old.schema() == UPGRADING

    again = old.queue.views.show(ITEMS[-1]["id"]).item

    assert again == item_as_exported(ITEMS[-1])
    assert old.schema() == backup.SCHEMA
    assert old.raw.hget(keys.meta(old.namespace), "upgrade") is None


@pytest.mark.parametrize("most", [1, 2, 50])
def test_parts_of_any_size_reach_every_item(old: Bench, most: int) -> None:
    parts = 1
    while upgrade_part(old, most) == ["1"]:
        parts += 1

    assert old.schema() == backup.SCHEMA
    # each part handles `most` items and projects
    assert parts == -(-(len(ITEMS) + 2 + 1) // most)
    assert all(
        "not_before" not in fields_of(old, line["id"])
        for line in ITEMS
        if line["fields"]["state"] != "delayed"
    )


class SmallParts(ConnectionWrapper):
    """A connection that upgrades one item with each call."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if script.name == "upgrade":
            arguments = (*arguments[:-1], 1)
        return super().run_script(script, key, arguments)


def small_parts(connection: Connection) -> Connection:
    return SmallParts(connection)


def test_several_callers_upgrade_together(old: Bench) -> None:
    callers = [old.with_connection(small_parts) for _ in range(4)]

    with ThreadPoolExecutor(len(callers)) as threads:
        found = list(
            threads.map(lambda one: one.queue.views.list().items, callers)
        )

    expected = {line["id"]: item_as_exported(line) for line in ITEMS}
    assert [{item.id: item for item in items} for items in found] == [
        expected
    ] * 4
    assert old.schema() == backup.SCHEMA


@pytest.mark.parametrize("parts", [1, 50])
def test_older_client_is_refused_from_first_part(
    old: Bench, parts: int
) -> None:
    for _ in range(parts):
        upgrade_part(old, 1)
    found = old.schema()
    text = scripts.load("projects").text
    older = text.replace("local SCHEMA = '2'", "local SCHEMA = '1'")
    call = ("0" * 16, "ada", "", "", "", "0.1.0", "0", "1")

    with pytest.raises(redis.ResponseError) as refused:
        old.raw.eval(older, 1, keys.meta(old.namespace), *call)

    assert str(scripts.error_of(str(refused.value))) == (
        f"This namespace has schema version {found}; this program supports 1."
    )


def test_empty_namespace_of_schema_1_is_upgraded(bench: Bench) -> None:
    bench.set_schema("1")

    assert bench.queue.views.projects() == ()

    assert bench.schema() == backup.SCHEMA


def test_report_unlike_its_item_is_kept(old: Bench) -> None:
    done = titled("Design the tables")
    old.raw.hset(
        f"{keys.tag(old.namespace)}item:{done}", "summary", "Another text"
    )

    (report,) = old.queue.views.show(done).history

    assert report.text == "Two tables"


@pytest.mark.one_lane  # fakeredis replies a wrong type otherwise
def test_damaged_rows_do_not_stop_the_upgrade(old: Bench) -> None:
    lost, typed, reported, listed = (line["id"] for line in ITEMS[:4])
    tag = keys.tag(old.namespace)
    old.delete_item(lost)
    old.raw.delete(f"{tag}item:{typed}", f"{tag}progress:{reported}")
    old.raw.set(f"{tag}item:{typed}", "no hash")
    old.raw.hset(f"{tag}item:{reported}", "state", "completed")
    old.raw.set(f"{tag}progress:{reported}", "no stream")
    old.add_entry(f"project:{ITEMS[0]['fields']['project']}:items", "no id")
    old.raw.zadd(f"{tag}projects", {"proj_aaaaaaaa": 1})
    old.raw.set(f"{tag}project:proj_aaaaaaaa:items", "no index")

    while upgrade_part(old, 2) == ["1"]:
        pass

    assert old.schema() == backup.SCHEMA
    assert "not_before" not in fields_of(old, listed)
    old.delete_everything()


class RepeatedParts(ConnectionWrapper):
    """A connection that has lost the first reply to each part of an upgrade."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if script.name == "upgrade":
            request, *rest = arguments
            arguments = (f"{request}{REPEAT}", *rest)
        return super().run_script(script, key, arguments)


def repeated_parts(connection: Connection) -> Connection:
    return RepeatedParts(connection)


def test_report_from_a_file_upgrades_and_acts(old: Bench) -> None:
    """Its request id is that of its file; the upgrade needs ids of its own."""
    item = titled("Load the catalogue")
    origin = Origin(request="0" * 16, written_at="", at=1)
    lease = old.lease_of(item)
    old.set_schema("1")

    queue = old.with_connection(repeated_parts).queue
    me = queue.agent_queue("ada", origin=origin)
    me.progress(Lease(item=item, token=lease.token, claim=lease.claim), "It")

    history = old.queue.views.show(item).history
    assert [report.text for report in history] == ["It"]


def test_long_upgrade_is_reported_once(
    old: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "NOTICED_S", 0.0)
    monkeypatch.setattr(scripts, "UPGRADED_AT_ONCE", 1)
    said: list[str] = []
    old.queue.report_upgrade(said.append)

    old.queue.views.projects()

    (sentence,) = said
    assert f"{old.namespace} is being upgraded" in sentence


def test_short_upgrade_is_not_reported(old: Bench) -> None:
    said: list[str] = []
    old.queue.report_upgrade(said.append)

    old.queue.views.projects()

    assert old.schema() == backup.SCHEMA
    assert said == []
