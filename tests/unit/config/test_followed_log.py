"""A follower of a log gets all of it, whatever the writer cuts."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.config import attempt_logs, followed_log
from taskorch.config.followed_log import FollowedLog
from taskorch.domain.item import Caller
from taskorch_worker.run.output_log import OutputLog

PIECES = [f"{number:09}\n".encode() for number in range(400)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bounds of a log small, and followers fast."""
    monkeypatch.setattr(attempt_logs, "LOG_BYTES", 1000)
    monkeypatch.setattr(attempt_logs, "HEAD_BYTES", 200)
    monkeypatch.setattr(attempt_logs, "TAIL_BYTES", 400)
    monkeypatch.setattr(followed_log, "POLL_S", 0.001)


@pytest.fixture
def log(bench: Bench, tmp_path: Path) -> OutputLog:
    """Return a new log."""
    bench.item()
    claim = bench.agent().claim()
    assert claim
    return OutputLog(tmp_path, claim, Caller(agent="ada", host="here"))


def follow(home: Path, start: int = 0) -> Iterator[bytes]:
    """Follow the newest log, beyond its heading or from a place on."""
    (item,) = (home / "logs").iterdir()
    log = attempt_logs.find(home, item.name)[0]
    with attempt_logs.opened(home, log) as file:
        followed = FollowedLog(home, log, file, start or log.heading.size)
    return followed.pieces()


def test_follower_that_keeps_up_misses_nothing(
    log: OutputLog, tmp_path: Path
) -> None:
    pieces = follow(tmp_path)
    seen = b""

    for written in PIECES:
        log.write(written)
        while not seen.endswith(written):
            seen += next(pieces)
    log.close()
    seen += b"".join(pieces)

    assert seen == b"".join(PIECES)


@pytest.mark.parametrize("written_first", [0, 10, 30, 50, 150])
def test_slow_follower_knows_what_it_missed(
    log: OutputLog, tmp_path: Path, written_first: int
) -> None:
    for written in PIECES[:written_first]:
        log.write(written)
    pieces = follow(tmp_path)
    seen = next(pieces) if written_first else b""

    for written in PIECES[written_first:]:
        log.write(written)
    log.close()
    seen += b"".join(pieces)

    gaps = [int(gap) for gap in re.findall(rb"\n\[(\d+) bytes", seen)]
    kept = re.sub(rb"\n\[\d+ bytes left out\]\n", b"", seen)
    output = b"".join(PIECES)
    assert len(kept) + sum(gaps) == len(output)
    assert output.startswith(kept[:100])
    assert output.endswith(kept[-400:])
    assert sum(gaps) > 0


def test_follower_may_start_in_a_cut_log(
    log: OutputLog, tmp_path: Path
) -> None:
    for written in PIECES[:200]:
        log.write(written)
    size = Path(log.path).stat().st_size
    pieces = follow(tmp_path, start=size - 30)
    seen = next(pieces)

    for written in PIECES[200:]:
        log.write(written)
        while not seen.endswith(written):
            seen += next(pieces)
    log.close()

    assert seen + b"".join(pieces) == b"".join(PIECES[197:])


def test_follower_ends_after_logs_are_deleted(
    log: OutputLog, tmp_path: Path
) -> None:
    pieces = follow(tmp_path)
    log.write(b"one\n")
    Path(log.path).unlink()
    log.write(b"two\n")
    log.close()

    assert b"".join(pieces) == b"one\ntwo\n"
