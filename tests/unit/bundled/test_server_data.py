"""The bundled server loads only data that this user's server wrote."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from taskorch.bundled import server_data
from taskorch.domain import errors
from taskorch.transport import address

#: A home that no user can write to, not even root.
NO_HOME = {"HOME": "/dev/null"}


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "root" / ".task-orchestrator" / "data"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A private folder that replaces the one in /tmp."""
    monkeypatch.setattr(
        address, "temporary_folder", lambda: str(tmp_path / "temporary")
    )
    return tmp_path / "temporary"


def append(place: Path) -> Path:
    """Make an append-only folder with a file in it."""
    (place / server_data.APPENDED).mkdir(parents=True)
    file = place / server_data.APPENDED / "appendonly.aof.1.incr.aof"
    file.write_text("appended")
    return file


def test_new_data_is_known_from_then_on(
    data: Path, environment: Mapping[str, str]
) -> None:
    first = server_data.working_folder(data, environment)

    again = server_data.working_folder(data, environment)

    assert first == again
    assert first.parent == data
    assert first.stat().st_mode & 0o777 == 0o700


def test_files_of_commands_are_not_data(
    data: Path, environment: Mapping[str, str]
) -> None:
    for name in server_data.OWN_FILES:
        (data / name).touch()

    assert server_data.working_folder(data, environment).is_dir()


@pytest.mark.parametrize(
    "name",
    [
        "appendonlydir",
        "appendonly.aof",
        "dump.rdb",
        "valkey.conf",
        "users.acl",
        "module.so",
        "0" * 32,
    ],
)
def test_data_of_a_checkout_is_refused(
    data: Path, environment: Mapping[str, str], name: str
) -> None:
    (data / name).mkdir()

    with pytest.raises(errors.UnknownData) as refusal:
        server_data.working_folder(data, environment)

    assert str(data) in str(refusal.value)
    assert "--accept-data" in refusal.value.hint()


def test_data_that_a_pull_adds_is_ignored(
    data: Path, environment: Mapping[str, str]
) -> None:
    own = server_data.working_folder(data, environment)
    append(data)
    append(data / ("0" * 32))

    assert server_data.working_folder(data, environment) == own


def test_link_to_known_data_is_refused(
    data: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    known = server_data.working_folder(other, environment)
    (data / known.name).symlink_to(known)

    with pytest.raises(errors.UnknownData):
        server_data.working_folder(data, environment)


def test_moved_folder_goes_on_working(
    data: Path, environment: Mapping[str, str]
) -> None:
    name = server_data.working_folder(data, environment).name

    moved = (
        data.parent.parent.rename(data.parent.parent.with_name("moved"))
        / ".task-orchestrator"
        / "data"
    )

    assert server_data.working_folder(moved, environment) == moved / name


def test_data_of_another_home_is_refused(
    data: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    server_data.working_folder(data, environment)

    with pytest.raises(errors.UnknownData):
        server_data.working_folder(data, {"HOME": str(tmp_path / "elsewhere")})


@pytest.mark.parametrize("place", ["", "0" * 32])
def test_accepted_data_is_kept_under_a_new_name(
    data: Path, environment: Mapping[str, str], place: str
) -> None:
    append(data / place)

    server_data.accept(data, environment)

    known = server_data.working_folder(data, environment)
    assert known.name != place
    assert [file.read_text() for file in known.rglob("*.aof")] == ["appended"]


def test_newest_of_several_data_is_accepted(
    data: Path, environment: Mapping[str, str]
) -> None:
    old, new = append(data / ("0" * 32)), append(data / ("1" * 32))
    new.write_text("new")
    os.utime(old.parent, (1, 1))

    server_data.accept(data, environment)

    assert [
        file.read_text()
        for file in server_data.working_folder(data, environment).rglob(
            "*.aof"
        )
    ] == ["new"]
    assert old.exists()


def test_accepting_leaves_known_data_alone(
    data: Path, environment: Mapping[str, str]
) -> None:
    own = server_data.working_folder(data, environment)
    other = append(data)

    server_data.accept(data, environment)

    assert server_data.working_folder(data, environment) == own
    assert other.exists()


def test_accepting_nothing_makes_nothing(
    data: Path, environment: Mapping[str, str]
) -> None:
    server_data.accept(data, environment)

    assert list(data.iterdir()) == []


def test_links_in_data_are_not_accepted(
    data: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    append(data).with_name("linked").symlink_to(tmp_path)

    with pytest.raises(errors.Invalid, match="symbolic link"):
        server_data.accept(data, environment)


def test_home_that_cannot_be_written_is_no_obstacle(
    data: Path, temporary: Path
) -> None:
    first = server_data.working_folder(data, NO_HOME)

    assert server_data.working_folder(data, NO_HOME) == first
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_data_can_be_accepted_after_tmp_was_emptied(
    data: Path, temporary: Path
) -> None:
    file = append(server_data.working_folder(data, NO_HOME))
    shutil.rmtree(temporary)

    with pytest.raises(errors.UnknownData):
        server_data.working_folder(data, NO_HOME)
    server_data.accept(data, NO_HOME)

    assert (
        server_data.working_folder(data, NO_HOME)
        / server_data.APPENDED
        / file.name
    ).read_text() == "appended"


def test_temporary_record_is_made_permanent(
    data: Path, environment: Mapping[str, str], temporary: Path
) -> None:
    first = server_data.working_folder(data, NO_HOME)
    server_data.working_folder(data, environment)
    shutil.rmtree(temporary)

    assert server_data.working_folder(data, environment) == first


def test_record_says_where_the_data_is(
    data: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    name = server_data.working_folder(data, environment).name
    moved = data.rename(tmp_path / "moved")

    server_data.working_folder(moved, environment)

    record = (
        tmp_path / "home" / ".config" / "task-orchestrator" / "servers" / name
    )
    assert record.read_text() == f"{moved / name}\n"


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a folder to another user"
)
def test_records_of_another_user_count_for_nothing(
    data: Path, temporary: Path
) -> None:
    server_data.working_folder(data, NO_HOME)
    os.chown(temporary, 12345, 12345)

    with pytest.raises(errors.UnknownData):
        server_data.working_folder(data, NO_HOME)


def test_roots_are_those_of_recorded_data(
    data: Path, environment: Mapping[str, str], tmp_path: Path
) -> None:
    server_data.working_folder(data, environment)
    records = tmp_path / "home/.config/task-orchestrator/servers"
    others = {
        "0" * 32: f"/elsewhere/.task-orchestrator/data/{'1' * 32}",
        "2" * 32: f"relative/.task-orchestrator/data/{'2' * 32}",
        "3" * 32: f"/elsewhere/{'3' * 32}",
        "4" * 32: "",
        "note": "/elsewhere/.task-orchestrator/data/note",
    }
    for name, content in others.items():
        (records / name).write_text(content)

    assert server_data.roots(environment) == (str(data.parents[1]),)


@pytest.mark.usefixtures("temporary")
def test_roots_include_records_in_temporary_folder(data: Path) -> None:
    assert server_data.roots(NO_HOME) == ()

    server_data.working_folder(data, NO_HOME)

    assert server_data.roots(NO_HOME) == (str(data.parents[1]),)
