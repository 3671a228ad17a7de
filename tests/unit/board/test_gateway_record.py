"""The record of the gateway of a root: only one that runs is found."""

import os
from pathlib import Path

import pytest
from taskorch.bundled import process_record
from taskorch.config.settings import Settings, resolve
from taskorch_orchestrator.board import gateway_record
from taskorch_orchestrator.board.gateway_record import RunningGateway

URL = "http://127.0.0.1:8650"
HERE = RunningGateway(pid=os.getpid(), url=URL)


def settings_of(root: Path, **variables: str) -> Settings:
    environment = {"TASKORCH_ROOT": str(root), **variables}
    return resolve({}, environment, root)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / ".task-orchestrator").mkdir()
    return settings_of(tmp_path)


def record_file(settings: Settings) -> Path:
    (file,) = settings.folder.glob("gateway-*")
    return file


@pytest.mark.parametrize("url", [URL, "http://[::1]:80", "http://localhost:1"])
def test_running_gateway_is_found(settings: Settings, url: str) -> None:
    with gateway_record.recorded(settings, url):
        found = gateway_record.find(settings)

    assert found == RunningGateway(pid=os.getpid(), url=url)


def test_ended_gateway_is_not_found(settings: Settings) -> None:
    with gateway_record.recorded(settings, URL):
        pass

    assert gateway_record.find(settings) is None


def test_record_of_killed_gateway_is_ignored(settings: Settings) -> None:
    with gateway_record.recorded(settings, URL):
        left = record_file(settings).read_bytes()
    record_file(settings).write_bytes(left)

    assert gateway_record.find(settings) is None


def test_second_gateway_leaves_the_first_recorded(settings: Settings) -> None:
    with (
        gateway_record.recorded(settings, URL),
        gateway_record.recorded(settings, "http://127.0.0.1:9999"),
    ):
        found = gateway_record.find(settings)

    assert found == HERE


@pytest.mark.parametrize(
    "variables",
    [
        {"TASKORCH_NAMESPACE": "other"},
        {"TASKORCH_REDIS_URL": "redis://elsewhere:6379"},
    ],
)
def test_gateway_of_another_queue_is_ignored(
    settings: Settings, variables: dict[str, str]
) -> None:
    other = settings_of(settings.root, **variables)

    with gateway_record.recorded(settings, URL):
        found = gateway_record.find(other)

    assert found is None


@pytest.mark.parametrize(
    "written",
    [
        b"",
        b"not JSON",
        b"[]",
        b'{"url": "http://127.0.0.1:8650"}',
        b'{"url": "http://evil.example:80", "queue": ""}',
        b'{"url": "http://127.0.0.1:80@evil.example", "queue": ""}',
    ],
)
def test_record_with_foreign_content_is_ignored(
    settings: Settings, written: bytes
) -> None:
    with gateway_record.recorded(settings, URL):
        queue = record_file(settings).read_bytes()[process_record.LENGTH :]
        with record_file(settings).open("r+b") as file:
            file.truncate(process_record.LENGTH)
            file.seek(process_record.LENGTH)
            file.write(written.replace(b'""', queue.partition(b": ")[2]))
        found = gateway_record.find(settings)

    assert found is None


def test_record_that_names_another_process_is_ignored(
    settings: Settings,
) -> None:
    with gateway_record.recorded(settings, URL):
        file = record_file(settings)
        line = file.read_text().replace(str(os.getpid()), "1", 1)
        file.write_text(line)
        found = gateway_record.find(settings)

    assert found is None


def test_root_without_a_folder_gets_no_record(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)

    with gateway_record.recorded(settings, URL):
        found = gateway_record.find(settings)

    assert found is None
    assert list(tmp_path.iterdir()) == []


def test_gateway_for_other_machines_is_not_recorded(
    settings: Settings,
) -> None:
    with gateway_record.recorded(settings, "http://0.0.0.0:8650"):
        assert list(settings.folder.iterdir()) == []


def test_record_is_private_and_no_link(settings: Settings) -> None:
    with gateway_record.recorded(settings, URL):
        mode = record_file(settings).stat().st_mode

    assert mode & 0o777 == 0o600
    target = settings.root / "target"
    target.write_text("")
    file = record_file(settings)
    file.unlink()
    file.symlink_to(target)
    with gateway_record.recorded(settings, URL):
        assert gateway_record.find(settings) is None
    assert target.read_text() == ""
