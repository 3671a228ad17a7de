"""The log of `worker run` on the page of an item."""

import os
from pathlib import Path

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.config.root_folder import NAME as FOLDER
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Caller, Item
from taskorch_gateway.board import item_log
from taskorch_gateway.board.item_log import (
    PART_BYTES,
    TAIL_BYTES,
    TAIL_LINES,
    LogPart,
    ReadLog,
    ShownLog,
)
from taskorch_worker.run.output_log import OutputLog


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a root with a folder of ours."""
    (tmp_path / FOLDER).mkdir()
    return tmp_path


def written(bench: Bench, root: Path, text: bytes) -> Item:
    """Return a claimed item whose log has a text."""
    bench.item()
    claim = bench.agent().claim()
    assert claim
    log = OutputLog(root / FOLDER, claim, Caller(agent="ada", host="here"))
    log.write(text)
    log.close()
    return bench.queue.views.show(claim.package.item.id).item


def read(root: Path, item: Item) -> ShownLog | None:
    settings = Settings(
        redis_url="",
        namespace="default",
        root_path=str(root),
        agent="",
        session="",
        service=False,
        orchestrator="planner",
        sources={},
    )
    return item_log.read(settings, item)


def test_log_of_this_root_is_shown(bench: Bench, root: Path) -> None:
    log = read(root, written(bench, root, b"one\n<b>two</b>\n"))

    assert log
    assert log.tail == "one\n<b>two</b>"
    assert log.attempt == "1"
    assert log.writer == "ada on here"
    assert not log.is_cut
    assert not log.is_running
    assert not log.missing


@pytest.mark.parametrize("text", [b"x" * 40_000, b"line\n" * 500])
def test_only_end_of_long_log_is_shown(
    bench: Bench, root: Path, text: bytes
) -> None:
    log = read(root, written(bench, root, text))

    assert log
    assert log.is_cut
    assert len(log.tail) <= TAIL_BYTES
    assert len(log.tail.splitlines()) <= TAIL_LINES


def test_log_of_another_machine_is_named(bench: Bench, root: Path) -> None:
    bench.claimed()
    item = replace(
        bench.queue.views.show(bench.claimed().item).item, last_host="ci-7"
    )

    log = read(root, item)

    assert log
    assert "ci-7" in log.missing
    assert not log.tail


def test_missing_log_of_this_machine_says_so(bench: Bench, root: Path) -> None:
    item = bench.queue.views.show(bench.claimed().item).item

    log = read(root, replace(item, last_host=os.uname().nodename))

    assert log
    assert "root of this gateway" in log.missing


def test_unclaimed_item_has_no_log(bench: Bench, root: Path) -> None:
    assert read(root, bench.queue.views.show(bench.item()).item) is None


def part_of(
    bench: Bench,
    root: Path,
    item: Item,
    *,
    attempt: str = "",
    before: int | None = None,
) -> LogPart:
    read_log = ReadLog(item=item.id, attempt=attempt, before=before)
    part = performed(bench, read_log, root=root)
    assert isinstance(part, LogPart)
    return part


@pytest.mark.parametrize(
    "text",
    [
        b"".join(b"line %d\n" % number for number in range(30_000)),
        b"x" * 200_000,
        b"short\n",
    ],
)
def test_parts_of_a_log_are_all_of_it(
    bench: Bench, root: Path, text: bytes
) -> None:
    item = written(bench, root, text)

    parts = [part_of(bench, root, item)]
    while parts[0].start:
        before = parts[0].start
        parts.insert(0, part_of(bench, root, item, before=before))

    assert "".join(part.text for part in parts).encode() == text
    assert all(len(part.text) <= PART_BYTES for part in parts)
    assert (parts[0].start, parts[-1].end) == (0, len(text))


def test_log_of_an_earlier_attempt_is_read(bench: Bench, root: Path) -> None:
    item = written(bench, root, b"first\n")
    bench.agent().release(bench.lease_of(item.id))
    claim = bench.agent().claim()
    assert claim
    log = OutputLog(root / FOLDER, claim, Caller(agent="ada", host="here"))
    log.write(b"second\n")
    log.close()

    part = part_of(bench, root, item)

    assert part.text == "second\n"
    assert part.attempts == ("1-2", "1")
    assert part_of(bench, root, item, attempt="1").text == "first\n"
    shown = read(root, bench.queue.views.show(item.id).item)
    assert shown
    assert shown.has_more


@pytest.mark.parametrize("attempt", ["", "7", "../../etc/passwd"])
def test_log_that_is_not_there_is_refused(
    bench: Bench, root: Path, attempt: str
) -> None:
    item = bench.queue.views.show(bench.claimed().item).item

    with pytest.raises(errors.NoLog):
        part_of(bench, root, item, attempt=attempt)
