"""`orchestrate import`: invalid files are refused, and interrupted imports continue."""

import gzip
import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from support.backups import (
    export_lines,
    exported_work,
    fill_namespace,
    to_jsonl,
)
from support.builders import Bench, new_schedule
from support.gateway_client import client
from taskorch.domain import errors
from taskorch.domain.item import NewItem, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_orchestrator.backup import restore as restoring
from taskorch_orchestrator.backup.restore import restore
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.schedule import runs

Lines = list[dict[str, Any]]
Change = tuple[str, Callable[[dict[str, Any]], object], str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


@pytest.fixture
def lines(bench: Bench, file: Path) -> Lines:
    """The lines of an export file with everything in it."""
    fill_namespace(bench)
    return export_lines(bench, file)


def refusal(copy: Bench, file: Path) -> str:
    """Import an invalid file; return the error, and check that nothing was written."""
    before = copy.everything()
    with pytest.raises(errors.Invalid) as refused:
        restore(file, copy.queue.backup)
    assert copy.everything() == before
    assert copy.schema() == "None"
    return str(refused.value)


def number_of(lines: Lines, kind: str) -> int:
    """Return the number of the first line of a kind; for items, of a queued one."""
    wanted = {"kind": kind, "state": "queued" if kind == "item" else None}
    found = [
        {"kind": line["kind"], "state": line.get("fields", {}).get("state")}
        for line in lines
    ]
    return found.index(wanted) + 1


def test_file_truncated_after_a_line_is_refused(
    copy: Bench, lines: Lines, file: Path
) -> None:
    for kept in range(len(lines)):
        file.write_bytes(to_jsonl(lines[:kept]))

        assert (
            refusal(copy, file)
            == f"line {kept + 1}: The trailer is missing: the file is incomplete. Nothing was written."
        )


@pytest.mark.parametrize("missing", [1, 2, 10, 500, 5000])
def test_file_truncated_within_a_line_is_refused(
    copy: Bench, lines: Lines, file: Path, missing: int
) -> None:
    cut = to_jsonl(lines)[:-missing]
    file.write_bytes(cut)

    assert refusal(copy, file).startswith(
        f"line {len(cut.splitlines())}: It is incomplete."
    )


@pytest.mark.parametrize(
    ("data", "number", "reason"),
    [
        (b"", 1, "The trailer is missing"),
        (b"\n", 2, "The trailer is missing"),
        (
            b'{"name": "left-pad", "version": "1.0.0"}\n',
            1,
            "It is not a line of an export",
        ),
        (b"[1, 2]\n", 1, "Input should be"),
        (b"null\n", 1, "Input should be"),
        (b'{"kind": "header", "format": "\xff"}\n', 1, "Invalid JSON"),
        (b'\xef\xbb\xbf{"kind": "header"}\n', 1, "format: Field required"),
        (b'{"kind": "header", "format": "\\ud800"}\n', 1, "Invalid JSON"),
        (b"[" * 100_000 + b"\n", 1, "Invalid JSON"),
        (b"not JSON\n", 1, "Invalid JSON"),
        (
            b"x" * 100_000_000 + b"\n",
            1,
            f"It is longer than {restoring.LINE_BYTES} bytes",
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_file_that_is_no_export_is_refused(
    copy: Bench, file: Path, data: bytes, number: int, reason: str
) -> None:
    file.write_bytes(data)

    message = refusal(copy, file)

    assert message.startswith(f"line {number}: ")
    assert reason in message


#: A kind, a change of its first line, and the error that it causes.
CHANGES: list[Change] = [
    (
        "header",
        lambda line: line.update(version=2),
        "version: Input should be 1",
    ),
    (
        "header",
        lambda line: line.update(schema="3"),
        "schema: Input should be '1' or '2'",
    ),
    ("header", lambda line: line.update(format="other"), "format: "),
    ("header", lambda line: line.update(more=1), "more: Extra inputs"),
    (
        "project",
        lambda line: line.update(kind="epic"),
        "It is not a line of an export",
    ),
    ("project", lambda line: line.update(id="proj_X"), "no project proj_X"),
    (
        "project",
        lambda line: line["fields"].update(n_queued="7"),
        "n_queued: Extra inputs",
    ),
    ("project", lambda line: line["fields"].update(status="open"), "status: "),
    (
        "project",
        lambda line: line["fields"].update(title=" "),
        "The title is empty",
    ),
    ("project", lambda line: line["fields"].update(title=3), "title: "),
    (
        "key",
        lambda line: line.update(item="item_none"),
        "refers to the item item_none, which is not in the file",
    ),
    (
        "key",
        lambda line: line.update(project="proj_none"),
        "belongs to proj_none",
    ),
    ("item", lambda line: line.update(id="../item"), "no item ../item"),
    ("item", lambda line: line.pop("score"), "score and held"),
    ("item", lambda line: line.update(held=None), "held is null"),
    (
        "item",
        lambda line: line["fields"].update(requirements=None),
        "requirements is null",
    ),
    ("item", lambda line: line.update(held=5), "score and held"),
    (
        "item",
        lambda line: line.update(open=["item_0"]),
        "not among depends_on",
    ),
    ("item", lambda line: line.update(sequence="1"), "sequence: "),
    ("item", lambda line: line["fields"].update(state="done"), "state: "),
    (
        "item",
        lambda line: line["fields"].update(state="in_progress"),
        "score and held",
    ),
    ("item", lambda line: line["fields"].update(state="pending"), "the agent"),
    ("item", lambda line: line["fields"].update(priority="5"), "priority: "),
    ("item", lambda line: line["fields"].update(attempts="-1"), "attempts: "),
    (
        "item",
        lambda line: line["fields"].update(agent="../x"),
        "not a name for an agent",
    ),
    (
        "item",
        lambda line: line["fields"].update(agent="nobody"),
        "refers to the agent nobody, which is not in the file",
    ),
    (
        "item",
        lambda line: line["fields"].update(depends_on='["item_none"]'),
        "refers to the item item_none",
    ),
    (
        "item",
        lambda line: line["fields"].update(depends_on="[" + "1," * 300 + "1]"),
        "depends_on",
    ),
    (
        "item",
        lambda line: line["fields"].update(requirements='["a'),
        "requirements: ",
    ),
    (
        "item",
        lambda line: line["fields"].update(
            requirements=json.dumps(["x"] * 201)
        ),
        "at most 200",
    ),
    (
        "item",
        lambda line: line["fields"].update(description="é" * 40_000),
        "longer than 65536 bytes",
    ),
    (
        "item",
        lambda line: line["fields"].update(description="\ud800"),
        "Invalid JSON",
    ),
    (
        "item",
        lambda line: line["fields"].update(project="proj_none"),
        "belongs to proj_none",
    ),
    ("item", lambda line: line["fields"].pop("seq"), "seq: Field required"),
    (
        "report",
        lambda line: line.update(item="item_none"),
        "belongs to item_none",
    ),
    ("report", lambda line: line.update(entry="0-0"), "not newer"),
    (
        "report",
        lambda line: line["fields"].update(percent="much"),
        "percent: ",
    ),
    ("note", lambda line: line.update(entry="now"), "cursor"),
    ("note", lambda line: line.update(agent="a b"), "not a name for an agent"),
    ("discovery", lambda line: line["fields"].update(text=None), "text: "),
    ("agent", lambda line: line.update(seen=-1), "seen: "),
    (
        "item",
        lambda line: line["fields"].update(cost_micros="-1"),
        "cost_micros: ",
    ),
    (
        "usage",
        lambda line: line["fields"].update(total="-1 0 0 0"),
        "total: ",
    ),
    ("usage", lambda line: line["fields"].update(total="1 2 3"), "total: "),
    ("budget", lambda line: line.update(limit_micros="-5"), "limit_micros: "),
    ("budget", lambda line: line.update(period="week"), "period: "),
    ("budget", lambda line: line.update(owner="everybody"), "owner: "),
    ("schedule", lambda line: line["fields"].update(next="-1"), "next: "),
    (
        "schedule",
        lambda line: line["fields"].update(cron="* " * 2000),
        "cron: ",
    ),
    (
        "schedule",
        lambda line: line["fields"].update(access_token="tok_1"),
        "access_token: ",
    ),
    (
        "trailer",
        lambda line: line["counts"].update(item=0),
        "counts are not those",
    ),
    (
        "trailer",
        lambda line: line.update(sequence=1),
        "lower than that of an item",
    ),
]


@pytest.mark.parametrize(
    "wrong", CHANGES, ids=lambda wrong: f"{wrong[0]}, {wrong[2]}"
)
def test_invalid_line_is_reported_with_its_number(
    copy: Bench, lines: Lines, file: Path, wrong: Change
) -> None:
    kind, change, reason = wrong
    number = number_of(lines, kind)
    change(lines[number - 1])
    file.write_bytes(
        b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    )

    message = refusal(copy, file)

    assert message.startswith(f"line {number}: ")
    assert reason in message
    assert "Value error" not in message


@pytest.mark.parametrize(
    "kind",
    [
        "header",
        "project",
        "item",
        "report",
        "note",
        "discovery",
        "agent",
        "key",
        "trailer",
    ],
)
def test_duplicate_line_is_refused(
    copy: Bench, lines: Lines, file: Path, kind: str
) -> None:
    number = number_of(lines, kind)
    lines.insert(number, lines[number - 1])
    file.write_bytes(to_jsonl(lines))

    reported = int(re.findall(r"line (\d+): ", refusal(copy, file))[0])

    assert reported == (len(lines) if kind == "key" else number + 1)


def test_missing_line_is_refused(
    copy: Bench, lines: Lines, file: Path
) -> None:
    for number in range(len(lines)):
        file.write_bytes(to_jsonl(lines[:number] + lines[number + 1 :]))

        assert refusal(copy, file).startswith("line ")


@pytest.mark.usefixtures("lines")
def test_namespace_with_project_refuses_import(
    copy: Bench, file: Path
) -> None:
    copy.item()
    before = copy.everything()

    with pytest.raises(errors.NotEmpty, match="has 1 project"):
        restore(file, copy.queue.backup)

    assert copy.everything() == before


@dataclass
class CutOff(ConnectionWrapper):
    """A connection that fails after some calls, before the request or before the reply."""

    connection: Connection
    calls: int
    reply_is_lost: bool

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.calls -= 1
        if self.calls < 0 and not self.reply_is_lost:
            raise errors.Unreachable(url="", reason="cut off")
        reply = self.connection.run_script(script, key, arguments)
        if self.calls < 0:
            raise errors.Unreachable(url="", reason="cut off")
        return reply


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "BATCH_LINES", 5)


def cut_off(
    copy: Bench, file: Path, *, after: int, reply_is_lost: bool = False
) -> None:
    """Import until a number of calls were made."""
    cut = copy.with_connection(
        lambda connection: CutOff(connection, after, reply_is_lost)
    )
    with pytest.raises(errors.Unreachable):
        restore(file, cut.queue.backup)


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize(
    "cut", [(after, lost) for after in (1, 2, 4, 6) for lost in (False, True)]
)
def test_interrupted_import_completes_when_rerun(
    bench: Bench, copy: Bench, lines: Lines, file: Path, cut: tuple[int, bool]
) -> None:
    assert len(lines) > 5 * 7
    cut_off(copy, file, after=cut[0], reply_is_lost=cut[1])

    restore(file, copy.queue.backup)

    assert exported_work(copy) == exported_work(bench)
    assert copy.inconsistencies() == []


@pytest.mark.usefixtures("small_batches", "lines")
def test_namespace_is_closed_during_import(copy: Bench, file: Path) -> None:
    cut_off(copy, file, after=3)

    for step in (
        copy.project,
        copy.agent().claim,
        copy.queue.views.projects,
        lambda: list(copy.queue.backup.lines()),
    ):
        with pytest.raises(
            errors.BadSchema,
            match="An import into this namespace is running, or was interrupted",
        ) as refused:
            step()
        assert "run it again with the same file" in refused.value.hint()
        assert "Or name a new --namespace" in refused.value.hint()


@pytest.mark.usefixtures("small_batches")
def test_other_file_cannot_continue_an_import(
    copy: Bench, lines: Lines, file: Path
) -> None:
    cut_off(copy, file, after=3)
    lines[0]["exported_at"] = "another time"
    file.write_bytes(to_jsonl(lines))
    before = copy.everything()

    with pytest.raises(errors.BadSchema):
        restore(file, copy.queue.backup)

    assert copy.everything() == before


@pytest.mark.usefixtures("lines")
def test_overtaken_import_writes_nothing_more(
    bench: Bench, copy: Bench, file: Path
) -> None:
    digest = restoring.ExportContent.of(BytesIO(file.read_bytes())).digest
    slow = copy.queue.backup.begin(digest)
    quick = copy.queue.backup.begin(digest)

    with pytest.raises(errors.BadSchema):
        copy.queue.backup.write(digest, slow, [])
    copy.queue.backup.write(digest, quick, [])
    restore(file, copy.queue.backup)
    with pytest.raises(errors.NotEmpty):
        copy.queue.backup.write(digest, quick, [])

    assert exported_work(copy) == exported_work(bench)


@pytest.mark.usefixtures("lines")
def test_completed_import_is_not_repeated(copy: Bench, file: Path) -> None:
    restore(file, copy.queue.backup)
    item = copy.item()

    with pytest.raises(errors.NotEmpty):
        restore(file, copy.queue.backup)

    assert copy.state(item) is State.QUEUED


@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"\n\n  \n", b" "])
def test_blank_lines_and_byte_order_mark_are_ignored(
    bench: Bench, copy: Bench, lines: Lines, file: Path, ending: bytes
) -> None:
    first, *rest = to_jsonl(lines).splitlines(keepends=True)
    file.write_bytes(b"\xef\xbb\xbf" + first + b"\n" + b"".join(rest) + ending)

    restore(file, copy.queue.backup)

    assert exported_work(copy) == exported_work(bench)


def test_windows_line_ends_are_accepted(
    bench: Bench, copy: Bench, lines: Lines, file: Path
) -> None:
    file.write_bytes(to_jsonl(lines).replace(b"\n", b"\r\n"))

    restore(file, copy.queue.backup)

    assert exported_work(copy) == exported_work(bench)


def test_blank_lines_count_in_line_numbers(
    copy: Bench, lines: Lines, file: Path
) -> None:
    lines[1]["kind"] = "nothing"
    first, *rest = to_jsonl(lines).splitlines(keepends=True)
    file.write_bytes(first + b"\n" + b"".join(rest))

    assert refusal(copy, file).startswith("line 3: ")


@pytest.mark.parametrize("text", ["a\0b", "a\r\nb", "\ufeffa"])
def test_export_of_earlier_version_keeps_its_texts(
    copy: Bench, lines: Lines, file: Path, text: str
) -> None:
    line = lines[number_of(lines, "item") - 1]
    line["fields"].update(
        description=text, requirements=json.dumps([text]), title=text
    )
    file.write_bytes(to_jsonl(lines))

    restore(file, copy.queue.backup)

    item = copy.queue.views.show(line["id"]).item
    assert (item.description, item.requirements, item.title) == (
        text,
        (text,),
        text,
    )


def test_restored_schedule_without_its_token_fails(
    bench: Bench, copy: Bench, file: Path
) -> None:
    behind, token = client(bench)
    behind.queue.schedules().create(new_schedule("nightly"))
    export_lines(bench, file)
    restore(file, copy.queue.backup)

    runs.run_due(copy.queue)

    (schedule,) = copy.queue.schedules().list()
    assert schedule.access_token == token
    assert f"The access token {token}" in schedule.last_error
    assert copy.queue.views.projects() == ()


def test_item_with_many_dependencies_is_imported(
    bench: Bench, copy: Bench, file: Path
) -> None:
    project = bench.project()
    others = tuple(
        made.id
        for made in bench.create_many(project, [NewItem(title="x")] * 1000)
    )
    item = bench.item(project, depends_on=others[:125])
    for first in range(125, 1000, 125):
        bench.queue.depend(item, others[first : first + 125])
    export_lines(bench, file)

    restore(file, copy.queue.backup)

    assert copy.queue.views.show(item).item.depends_on == others
    assert audit(copy.queue, fix=False).findings == ()


def test_dependency_requeued_during_export_is_open(
    bench: Bench, copy: Bench, file: Path
) -> None:
    first = bench.completed_item()
    second = bench.item(depends_on=(first,))
    earlier = {
        line["id"]: line
        for line in export_lines(bench, file)
        if line["kind"] == "item"
    }
    bench.queue.requeue(first)
    later = export_lines(bench, file)
    file.write_bytes(
        to_jsonl(
            [
                earlier[second] if line.get("id") == second else line
                for line in later
            ]
        )
    )

    restore(file, copy.queue.backup)

    assert copy.state(second) is State.WAITING
    assert audit(copy.queue, fix=False).findings == ()
    assert copy.inconsistencies() == []


@pytest.mark.usefixtures("lines")
def test_idle_agents_do_not_block_an_import(
    bench: Bench, copy: Bench, file: Path
) -> None:
    copy.agent().claim()

    restore(file, copy.queue.backup)

    assert copy.inconsistencies() == []
    assert exported_work(copy).keys() == exported_work(bench).keys()


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_copy_of_long_pipe_leaves_disk_space(
    copy: Bench,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    compress: Callable[[bytes], bytes],
) -> None:
    data = compress(to_jsonl(lines))
    monkeypatch.setattr(sys, "stdin", TextIOWrapper(BytesIO(data)))
    monkeypatch.setattr(restoring, "HEAD_BYTES", 1000)
    monkeypatch.setattr(restoring, "OTHER_BYTES", 1000)
    monkeypatch.setattr(restoring, "RESERVE_BYTES", 2**62)

    reason = refusal(copy, Path("-"))

    assert reason.startswith(f"The copy of the input has {len(data)} bytes")
    assert "Nothing was written." in reason
