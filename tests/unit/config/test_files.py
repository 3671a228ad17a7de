"""Files are replaced whole, locks exclude, and other users cannot read private files."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.config import files, root_folder
from taskorch_worker.lease_store import Workspace


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Let the mode of each new file show what its maker asked for."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(home: Path) -> list[str]:
    """Return the files that other users can read or change, in folders they can enter."""
    found = []
    for top, folders, names in os.walk(home):
        folders[:] = [
            name for name in folders if mode(Path(top, name)) & 0o007
        ]
        found += [
            f"{top}/{name}"
            for name in names
            if mode(Path(top, name)) & 0o006 and name != ".gitignore"
        ]
    return [Path(name).name for name in found]


def test_other_users_cannot_read_secrets(bench: Bench, root: Root) -> None:
    item = bench.item()
    bench.agent().progress(bench.claimed(item), "half of it")

    root.sync()
    with Workspace(root.home, "ada", "").reserve():
        pass

    assert open_to_others(root.home) == []
    assert (
        mode(root.home) & 0o022 == mode(root.home / ".gitignore") & 0o022 == 0
    )
    assert mode(root.handoffs) == 0o700
    assert {mode(path) for path in root.handoffs.iterdir()} == {0o600}
    assert mode(root.home / "orchestration.db") == 0o600


def test_open_folder_of_earlier_version_is_closed(
    bench: Bench, root: Root
) -> None:
    bench.item()
    root.sync()
    root.home.chmod(0o777)
    root.handoffs.chmod(0o755)
    (root.home / "orchestration.db").chmod(0o644)

    bench.item()
    root.sync()

    assert open_to_others(root.home) == []
    assert mode(root.home) == 0o775
    assert mode(root.home / "orchestration.db") == 0o600


def test_group_reads_folder_shared_by_owner(bench: Bench, root: Root) -> None:
    bench.item()
    root.sync()
    root.home.chmod(0o2755)
    root.handoffs.chmod(0o2755)
    (root.home / "orchestration.db").unlink()

    item = bench.item()
    root.sync()

    assert mode(root.handoffs) == 0o2750
    assert mode(root.handoffs / f"{item}_handoff.json") == 0o640
    assert mode(root.home / "orchestration.db") == 0o640


def test_root_folder_is_never_writable_by_others(tmp_path: Path) -> None:
    root_folder.create(tmp_path / "new")
    (tmp_path / "old").mkdir(0o777)
    root_folder.create(tmp_path / "old")

    assert [mode(tmp_path / name) for name in ("new", "old")] == [0o755, 0o775]


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    files.write_atomically(file, b"old")

    with suppress(KeyboardInterrupt), files.replacement(file) as opened:
        opened.write(b"half of the new content")
        raise KeyboardInterrupt

    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_replaced_file_is_private(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")

    files.write_atomically(file, b"new")

    assert (file.read_bytes(), mode(file)) == (b"new", 0o600)
    assert list(tmp_path.iterdir()) == [file]


def test_reserved_space_becomes_the_file(tmp_path: Path) -> None:
    reserved = tmp_path / "reserved"
    reserved.write_bytes(b" " * 512)
    inode = reserved.stat().st_ino

    files.write_atomically(tmp_path / "file", b"token", temporary=reserved)

    assert (tmp_path / "file").read_bytes() == b"token"
    assert (tmp_path / "file").stat().st_ino == inode
    assert not reserved.exists()


def test_existing_temporary_file_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / f".file.{os.getpid()}.tmp").symlink_to(secret)

    with pytest.raises(FileExistsError):
        files.write_atomically(tmp_path / "file", b"new")

    assert secret.read_text() == "secret"
    assert not (tmp_path / "file").exists()


def test_write_over_a_folder_leaves_no_temporary(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()

    with pytest.raises(IsADirectoryError):
        files.write_atomically(tmp_path / "folder", b"new")

    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]


def test_lock_excludes_until_it_is_closed(tmp_path: Path) -> None:
    first, second, third = (
        os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(3)
    )

    assert files.take_lock(first, shared=True)
    assert files.take_lock(second, shared=True)
    assert not files.take_lock(third)
    os.close(first)
    os.close(second)
    assert files.take_lock(third)
    os.close(third)
