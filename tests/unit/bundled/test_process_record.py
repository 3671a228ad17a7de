"""Only the process that a lock file names gets a signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskorch.bundled import process_record
from taskorch.bundled.process_record import ProcessRecord
from taskorch.domain.frozen import replace


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that must survive the test."""
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"]
    ) as started:
        yield started
        started.kill()


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


def recorded(file: int, pid: int) -> ProcessRecord:
    process_record.write(file, pid)
    record = process_record.read(file)
    assert record is not None
    return record


def test_recorded_process_gets_the_signal(
    file: int, process: "subprocess.Popen[bytes]"
) -> None:
    record = recorded(file, process.pid)

    assert (record.is_here, record.is_running) == (True, True)
    assert record.send(signal.SIGTERM)
    assert process.wait(30) == -signal.SIGTERM


@pytest.mark.parametrize(
    "other",
    [
        {"started": "1"},
        {"started": process_record.UNKNOWN},
        {"machine": "another-boot"},
        {"namespace": "pid:[1]"},
    ],
)
def test_process_that_is_not_proven_gets_no_signal(
    file: int, process: "subprocess.Popen[bytes]", other: dict[str, str]
) -> None:
    record = replace(recorded(file, process.pid), **other)

    assert not record.is_running
    assert not record.send(signal.SIGTERM)
    assert process.poll() is None


def test_ended_process_gets_no_signal(
    file: int, process: "subprocess.Popen[bytes]"
) -> None:
    record = recorded(file, process.pid)
    process.kill()
    process.wait(30)

    assert not record.send(signal.SIGTERM)


@pytest.mark.parametrize(
    "content", [b"", b"1234", b"x y z w", b"1 2 3", b"\xff\xfe 1 2 3"]
)
def test_file_that_names_no_process_reads_as_none(
    file: int, content: bytes
) -> None:
    os.pwrite(file, content, 0)

    assert process_record.read(file) is None


def test_record_keeps_its_length(file: int) -> None:
    recorded(file, os.getpid())
    length = os.fstat(file).st_size

    process_record.clear(file)

    assert os.fstat(file).st_size == length == process_record.LENGTH
    assert process_record.read(file) is None
