"""`--tee` prints whole lines, and a slow reader holds up no command."""

from threading import Event

import pytest
from taskorch.cli.output import CommandOutput
from taskorch_worker.run import tee as tee_module
from taskorch_worker.run.log import RunLog
from taskorch_worker.run.stream import Stream
from taskorch_worker.run.tee import Tee, TeeLines


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the tee print what waits, however slow the machine is."""
    monkeypatch.setattr(tee_module, "DRAIN_S", 60.0)


class SlowLog(RunLog):
    """A log whose reader does not read."""

    def __init__(self) -> None:
        super().__init__(CommandOutput(as_json=False))
        self.is_read = Event()
        self.notes: list[str] = []

    def printed(self, *_: object, **__: object) -> None:
        self.is_read.wait()

    def notify(self, text: str) -> None:
        self.notes.append(text)


def printed(
    capsys: pytest.CaptureFixture[str],
    *pieces: tuple[Stream, bytes],
    several_slots: bool = False,
) -> list[str]:
    """Print the pieces of a command, and return the lines."""
    log = RunLog(CommandOutput(as_json=False))
    tee = Tee(log, several_slots=several_slots)
    lines = TeeLines(tee, "item_beef")
    for stream, piece in pieces:
        lines.write(stream, piece)
    lines.close()
    tee.close()
    return capsys.readouterr().out.split("\n")


def test_lines_of_two_streams_stay_whole(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(
        capsys,
        (Stream.STDOUT, b"one tw"),
        (Stream.STDERR, b"error\nhal"),
        (Stream.STDOUT, b"o\n\nthree\nfo"),
        (Stream.STDERR, b"f\r\n"),
        (Stream.STDOUT, b"ur"),
    )

    assert lines == ["error", "one two", "", "three", "half", "four", ""]


def test_lines_of_several_slots_name_their_item(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = printed(
        capsys, (Stream.STDOUT, b"a\n\x1b[2Jb\tc\n"), several_slots=True
    )

    assert lines == ["item_beef | a", "item_beef | \\x1b[2Jb\tc", ""]


def test_endless_line_is_printed_in_parts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pieces = [(Stream.STDOUT, b"x" * 10_000)] * 5

    lines = printed(capsys, *pieces)

    assert "".join(lines) == "x" * 50_000
    assert max(map(len, lines)) <= 30_000


@pytest.mark.parametrize("piece", [b"x" * 60_000 + b"\n", b"\n"])
def test_slow_reader_gets_less(
    monkeypatch: pytest.MonkeyPatch, piece: bytes
) -> None:
    monkeypatch.setattr(tee_module, "DRAIN_S", 0.05)
    log = SlowLog()
    tee = Tee(log, several_slots=False)
    lines = TeeLines(tee, "item_beef")

    for _ in range(10_000):
        lines.write(Stream.STDOUT, piece)
    lines.close()

    log.is_read.set()
    tee.close()
    (note,) = log.notes
    assert note.startswith("--tee has left out ")


def test_nothing_is_left_out_for_a_fast_reader(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pieces = [(Stream.STDOUT, b"line\n")] * 1000

    lines = printed(capsys, *pieces)

    assert lines == ["line"] * 1000 + [""]
    assert capsys.readouterr().err == ""
