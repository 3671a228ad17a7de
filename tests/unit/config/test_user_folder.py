"""The path of the user's own folder, and files in it that are refused."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from pwd import getpwuid

import pytest
from taskorch.config import user_folder
from taskorch.domain import errors

needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a file to another user"
)
ANOTHER_USER = 12345


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def stored(environment: Mapping[str, str], tmp_path: Path) -> Path:
    """A file in a subfolder of the user folder."""
    user_folder.write(environment, "trust/one", b"content")
    return (
        tmp_path / "home" / ".config" / "task-orchestrator" / "trust" / "one"
    )


def test_folder_follows_xdg_then_home_then_passwd() -> None:
    home = getpwuid(os.getuid()).pw_dir

    paths = [
        user_folder.path({"XDG_CONFIG_HOME": "/xdg", "HOME": "/home/ada"}),
        user_folder.path({"XDG_CONFIG_HOME": "relative", "HOME": "/home/ada"}),
        user_folder.path({"XDG_CONFIG_HOME": "", "HOME": "relative"}),
        user_folder.path({}),
    ]

    assert paths == [
        "/xdg/task-orchestrator",
        "/home/ada/.config/task-orchestrator",
        f"{home}/.config/task-orchestrator",
        f"{home}/.config/task-orchestrator",
    ]


def test_written_file_is_private_under_any_umask(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    before = os.umask(0)
    try:
        user_folder.write(environment, "trust/one", b"content")
    finally:
        os.umask(before)

    folder = tmp_path / "home" / ".config" / "task-orchestrator"
    places = (folder, folder / "trust", folder / "trust" / "one")
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [
        0o700,
        0o700,
        0o600,
    ]


def test_written_file_is_read_listed_and_removed(
    environment: Mapping[str, str],
) -> None:
    user_folder.write(environment, "trust/one", b"old")
    user_folder.write(environment, "trust/one", b"new")

    assert user_folder.read(environment, "trust/one") == b"new"
    assert user_folder.names(environment, "trust") == ("one",)
    assert user_folder.remove(environment, "trust/one")
    assert not user_folder.remove(environment, "trust/one")
    assert user_folder.read(environment, "trust/one") is None
    assert user_folder.names(environment, "trust") == ()


def test_missing_file_reads_as_none(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("not a folder")

    assert user_folder.read(environment, "config.toml") is None
    assert user_folder.names(environment, "trust") == ()


def test_link_of_dotfile_manager_is_followed(
    environment: Mapping[str, str], stored: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "dotfiles.toml"
    kept.write_text("kept elsewhere")
    kept.chmod(0o600)
    (stored.parent.parent / "config.toml").symlink_to(kept)

    assert user_folder.read(environment, "config.toml") == b"kept elsewhere"


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("mode", [0o020, 0o002])
def test_place_writable_by_others_is_refused(
    environment: Mapping[str, str], stored: Path, depth: int, mode: int
) -> None:
    place = (stored, *stored.parents)[depth]
    place.chmod(place.stat().st_mode | mode)

    with pytest.raises(
        errors.UserFolderUnusable,
        match=f"{place} cannot be used: other users can write to it",
    ):
        user_folder.read(environment, "trust/one")


@needs_root
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_place_of_another_user_is_refused(
    environment: Mapping[str, str], stored: Path, depth: int
) -> None:
    place = (stored, *stored.parents)[depth]
    os.chown(place, ANOTHER_USER, ANOTHER_USER)

    with pytest.raises(
        errors.UserFolderUnusable,
        match=f"{place} cannot be used: it belongs to another user",
    ):
        user_folder.read(environment, "trust/one")


def test_pipe_is_refused_without_waiting(
    environment: Mapping[str, str], stored: Path
) -> None:
    os.mkfifo(stored.parent / "pipe", 0o600)

    with pytest.raises(errors.UserFolderUnusable, match="it is not a file"):
        user_folder.read(environment, "trust/pipe")


def test_long_file_is_refused(environment: Mapping[str, str]) -> None:
    user_folder.write(
        environment, "trust/long", b"x" * (user_folder.LONGEST_BYTES + 1)
    )

    with pytest.raises(
        errors.UserFolderUnusable, match="longer than 65536 bytes"
    ):
        user_folder.read(environment, "trust/long")


def test_write_below_unusable_home_is_refused(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "home").write_text("not a folder")

    with pytest.raises(
        errors.UserFolderUnusable, match="cannot be used"
    ) as refusal:
        user_folder.write(environment, "config.toml", b"")

    assert refusal.value.exit_code == errors.Invalid.exit_code
    assert "XDG_CONFIG_HOME" in refusal.value.hint()


def test_failed_write_leaves_the_old_content(
    environment: Mapping[str, str], stored: Path
) -> None:
    (stored.parent / "folder").mkdir()

    with pytest.raises(errors.UserFolderUnusable):
        user_folder.write(environment, "trust/folder", b"new")

    assert user_folder.names(environment, "trust") == ("folder", "one")
