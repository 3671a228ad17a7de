"""Which files of a root other users cannot read, whatever the umask was and whatever existed before."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import Bench
from support.mirrors import Root
from taskorch.config import folder
from taskorch_worker.lease_store import Workspace


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Files are made as openly as their makers allow."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(home: Path) -> list[str]:
    """Return the files that other users can read or change: not those in a folder that they cannot enter."""
    found = []
    for top, folders, files in os.walk(home):
        folders[:] = [name for name in folders if mode(Path(top, name)) & 0o007]
        found += [
            f"{top}/{name}"
            for name in files
            if mode(Path(top, name)) & 0o006 and name != ".gitignore"
        ]
    return [Path(name).name for name in found]


def test_other_users_can_read_only_what_is_not_secret(bench: Bench, root: Root) -> None:
    item = bench.item()
    bench.agent().progress(bench.claimed(item), "half of it")

    root.sync()
    with Workspace(root.home, "ada", "").room():
        pass

    assert open_to_others(root.home) == []
    assert mode(root.home) & 0o022 == mode(root.home / ".gitignore") & 0o022 == 0
    assert mode(root.handoffs) == 0o700
    assert {mode(path) for path in root.handoffs.iterdir()} == {0o600}
    assert mode(root.home / "orchestration.db") == 0o600


def test_open_folder_of_an_earlier_version_is_closed(bench: Bench, root: Root) -> None:
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


def test_group_reads_a_folder_that_its_owner_shared(bench: Bench, root: Root) -> None:
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


def test_folder_of_a_root_is_never_open_to_writers(tmp_path: Path) -> None:
    folder.make(tmp_path / "new")
    (tmp_path / "old").mkdir(0o777)
    folder.make(tmp_path / "old")

    assert [mode(tmp_path / name) for name in ("new", "old")] == [0o755, 0o775]
