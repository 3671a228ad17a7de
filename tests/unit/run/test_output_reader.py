"""A reader that is stopped reads what the pipes still hold, and closes them."""

import os
from collections.abc import Callable
from io import FileIO
from threading import Event, Thread

from support.commands import eventually
from taskorch.output_reader import READ_BYTES, OutputReader


def begun(take: Callable[[bytes], object]) -> tuple[OutputReader, FileIO, int]:
    """Return a reader of a pipe, with both ends of the pipe."""
    reading, writing = os.pipe()
    pipe = FileIO(reading)
    return OutputReader({pipe: take}), pipe, writing


def test_stopped_reader_reads_what_the_pipe_holds() -> None:
    pieces: list[bytes] = []
    may_take = Event()

    def take_late(piece: bytes) -> None:
        pieces.append(piece)
        may_take.wait()

    reader, _, writing = begun(take_late)
    os.write(writing, b"first")
    eventually(lambda: pieces)
    os.write(writing, b"x" * READ_BYTES)

    stopping = Thread(target=reader.stop)
    stopping.start()
    may_take.set()
    stopping.join()

    assert pieces == [b"first", b"x" * READ_BYTES]
    os.close(writing)


def test_stopped_reader_closes_a_pipe_that_others_hold() -> None:
    reader, pipe, writing = begun(lambda _: None)

    reader.wait_for_end(0)
    reader.stop()

    assert pipe.closed
    os.close(writing)


def test_reader_tells_of_the_end() -> None:
    pieces: list[bytes] = []
    reader, _, writing = begun(pieces.append)

    os.write(writing, b"all")
    os.close(writing)
    reader.wait_for_end(60)
    reader.stop()

    assert pieces == [b"all", b""]
