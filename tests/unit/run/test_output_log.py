"""The logs of attempts: private, bounded in size, and pruned."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.config import attempt_logs
from taskorch.domain.item import Caller, Claim
from taskorch_worker.run.attempt_output import AttemptOutput
from taskorch_worker.run.output_log import OutputLog, OutputLogs
from taskorch_worker.run.stream import Stream

CALLER = Caller(agent="ada", host="here", pid=1)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """Return a `.task-orchestrator`, with a umask that takes nothing away."""
    folder = tmp_path / ".task-orchestrator"
    folder.mkdir()
    before = os.umask(0)
    yield folder
    os.umask(before)


@pytest.fixture
def claim(bench: Bench) -> Claim:
    """Return the claim of a first attempt."""
    bench.item()
    claim = bench.agent().claim()
    assert claim
    return claim


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the bounds of a log small."""
    monkeypatch.setattr(attempt_logs, "LOG_BYTES", 1000)
    monkeypatch.setattr(attempt_logs, "HEAD_BYTES", 200)
    monkeypatch.setattr(attempt_logs, "TAIL_BYTES", 400)


def log_of(home: Path, claim: Claim, name: str = "1") -> Path:
    return home / "logs" / claim.package.item.id / f"{name}.log"


def written(home: Path, claim: Claim, *pieces: bytes) -> Path:
    """Write a log and return its path."""
    log = OutputLog(home, claim, CALLER)
    for piece in pieces:
        log.write(piece)
    log.close()
    return Path(log.path)


def aged(path: Path, days: float) -> Path:
    """Make a log look as if it was written days ago."""
    at = path.stat().st_mtime - days * 86_400
    os.utime(path, (at, at))
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0, 0o777])
def test_log_is_private_whatever_the_umask(
    home: Path, claim: Claim, umask: int
) -> None:
    os.umask(umask)

    log = written(home, claim, b"out\n")

    assert [mode(path) for path in (log, log.parent, log.parents[1])] == [
        0o600,
        0o700,
        0o700,
    ]


def test_folders_of_others_are_closed(home: Path, claim: Claim) -> None:
    (home / "logs").mkdir(mode=0o777)

    written(home, claim)

    assert mode(home / "logs") == 0o700


def test_log_has_heading_and_output(home: Path, claim: Claim) -> None:
    log = written(home, claim, b"one\n", b"\xfftwo")

    heading, _, output = log.read_bytes().partition(b"\n")
    assert re.fullmatch(
        rf"# attempt 1 of {claim.package.item.id}, claim 1, by ada on here, \S+Z",
        heading.decode(),
    )
    assert output == b"one\n\xfftwo"


def test_second_run_of_attempt_keeps_the_first(
    home: Path, claim: Claim
) -> None:
    first = written(home, claim, b"one")

    second = written(home, claim, b"two")

    assert (first, second) == (
        log_of(home, claim),
        log_of(home, claim, "1-2"),
    )
    assert first.read_bytes().endswith(b"one")
    assert second.read_bytes().endswith(b"two")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("piece", [b"0123456789abcde\n", b"x" * 16])
def test_long_log_keeps_beginning_and_end(
    home: Path, claim: Claim, piece: bytes
) -> None:
    pieces = [piece] * 500

    log = written(home, claim, *pieces).read_bytes()

    output = b"".join(pieces)
    heading = log.index(b"\n") + 1
    match = re.search(rb"\n\[(\d+) bytes left out\]\n", log)
    assert match
    assert len(log) <= 1000
    assert match.start() == 200
    assert log[heading:200] == output[: 200 - heading]
    end = log[match.end() :]
    assert len(end) >= 380
    assert output.endswith(end)
    assert int(match[1]) == len(output) - (200 - heading) - len(end)
    assert piece[-1:] != b"\n" or end.startswith(piece)


@pytest.mark.parametrize(
    "linked", ["logs", "logs/{item}", "logs/{item}/1.log"]
)
def test_link_is_not_followed(
    home: Path, claim: Claim, tmp_path: Path, linked: str
) -> None:
    target = tmp_path / "target"
    if linked.endswith(".log"):
        target.write_bytes(b"mine")
    else:
        target.mkdir()
    link = home / linked.format(item=claim.package.item.id)
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    notes: list[str] = []

    OutputLogs(home, CALLER, notes.append).begin(claim)

    if target.is_dir():
        assert list(target.iterdir()) == []
        assert "is not kept" in notes[0]
    else:
        assert target.read_bytes() == b"mine"
        assert log_of(home, claim, "1-2").exists()


@pytest.mark.usefixtures("small")
def test_link_made_later_is_not_followed(
    home: Path, claim: Claim, tmp_path: Path
) -> None:
    log = OutputLog(home, claim, CALLER)
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    log_of(home, claim).with_name(".1.log.tmp").symlink_to(target)
    log_of(home, claim).unlink()
    log_of(home, claim).symlink_to(target)

    log.write(b"x" * 900)
    log.write(b"y" * 400)
    log.close()

    assert target.read_bytes() == b"mine"
    assert log_of(home, claim).read_bytes().endswith(b"y" * 400)


def test_failing_log_is_reported_once(home: Path, claim: Claim) -> None:
    (home / "logs").write_bytes(b"in the way")
    notes: list[str] = []
    logs = OutputLogs(home, CALLER, notes.append)

    begun = [logs.begin(claim), logs.begin(claim)]

    assert begun == [None, None]
    (note,) = notes
    assert note == (
        f"The output of commands is not kept below {home}: Not a directory."
        " The run continues."
    )


@pytest.mark.usefixtures("small")
def test_output_survives_a_log_that_fails(home: Path, claim: Claim) -> None:
    notes: list[str] = []
    logs = OutputLogs(home, CALLER, notes.append)
    output = AttemptOutput(logs, logs.begin(claim))
    (home / "logs").rename(home / "gone")
    (home / "logs").write_bytes(b"in the way")

    for _ in range(40):
        output.write(Stream.STDOUT, b"x" * 100)
    output.write(Stream.STDOUT, b"the end")

    assert output.stdout.text().endswith("xthe end")
    assert len(notes) == 1


def test_memory_for_output_is_bounded(home: Path) -> None:
    output = AttemptOutput(OutputLogs(home, CALLER, print), None)

    for _ in range(100):
        output.write(Stream.STDOUT, b"x" * 65_536)
    output.write(Stream.STDERR, b"end")

    assert len(output.stdout.text()) == 1024 * 1024
    assert not output.stdout.is_whole
    assert output.end.text() == "x" * (16_384 - 3) + "end"


def test_old_logs_are_pruned(home: Path, claim: Claim) -> None:
    old, new = (written(home, claim) for _ in range(2))
    aged(old, 31)
    aged(new, 29)

    attempt_logs.prune(home)

    assert (old.exists(), new.exists()) == (False, True)


@pytest.mark.parametrize(
    ("bound", "value"), [("KEPT_LOGS", 2), ("KEPT_BYTES", 2500)]
)
def test_oldest_logs_beyond_bounds_are_pruned(
    home: Path,
    claim: Claim,
    monkeypatch: pytest.MonkeyPatch,
    bound: str,
    value: int,
) -> None:
    logs = [
        aged(written(home, claim, b"x" * 1000), days) for days in (1, 4, 2, 3)
    ]
    monkeypatch.setattr(attempt_logs, bound, value)

    attempt_logs.prune(home)

    assert [log.exists() for log in logs] == [True, False, True, False]


def test_prune_leaves_what_is_not_a_log(
    home: Path, claim: Claim, tmp_path: Path
) -> None:
    log = aged(written(home, claim), 40)
    others = [log.with_name(name) for name in ("notes.txt", "0.log", "x.log")]
    others.append(home / "logs" / "mine" / "1.log")
    others[-1].parent.mkdir()
    for other in others:
        other.write_bytes(b"mine")
        aged(other, 40)
    target = tmp_path / "target"
    target.mkdir()
    others.append(target / "1.log")
    others[-1].write_bytes(b"mine")
    aged(others[-1], 40)
    (home / "logs" / "item_beef").symlink_to(target)

    attempt_logs.prune(home)

    assert not log.exists()
    assert all(other.exists() for other in others)


def test_prune_deletes_what_a_killed_run_left(
    home: Path, claim: Claim
) -> None:
    left = written(home, claim).with_name(".1.log.tmp")
    left.write_bytes(b"x")
    aged(left, 40)

    attempt_logs.prune(home)

    assert not left.exists()


def test_prune_removes_empty_folders(home: Path, claim: Claim) -> None:
    log = aged(written(home, claim), 40)

    attempt_logs.prune(home)

    assert not log.parent.exists()


def test_prune_keeps_a_log_being_written(home: Path, claim: Claim) -> None:
    log = OutputLog(home, claim, CALLER)
    aged(Path(log.path), 40)

    attempt_logs.prune(home)
    is_kept = Path(log.path).exists()
    log.close()
    attempt_logs.prune(home)

    assert is_kept
    assert not Path(log.path).exists()


def test_run_prunes_at_its_first_log(home: Path, claim: Claim) -> None:
    old = aged(written(home, claim), 40)

    OutputLogs(home, CALLER, print).begin(claim)

    assert "claim 1" in old.read_text()
    assert len(list(old.parent.iterdir())) == 1
