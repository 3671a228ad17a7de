"""The leases in an agent's workspace, and the disk space reserved for them."""

import os
from pathlib import Path
from time import time

from taskorch.domain import limits
from taskorch.domain.item import Lease
from taskorch_worker.lease_store import SLOT_KEPT_S, Workspace


def lease(number: int) -> Lease:
    return Lease(item=f"item_{number:08x}", token=1, claim="c" * 16)


def test_newest_leases_are_returned(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".task-orchestrator", "ada", "")
    for number in range(limits.LIST_VALUES + 20):
        with workspace.reserve() as (slot,):
            slot.keep(lease(number))
        os.utime(workspace.lease_file(lease(number).item), (number, number))

    leases = workspace.leases()

    assert [each.item for each in leases] == [
        lease(number + 20).item
        for number in reversed(range(limits.LIST_VALUES))
    ]


def test_old_reservations_are_removed(
    tmp_path: Path,
) -> None:
    workspace = Workspace(tmp_path / ".task-orchestrator", "ada", "")
    folder = tmp_path / ".task-orchestrator" / "workspace" / "ada"
    with workspace.reserve():
        (folder / ".1.1.0.tmp").touch()
        (folder / ".2.2.0.tmp").touch()
        (folder / "item_1_notes.md").touch()
    old = time() - SLOT_KEPT_S - 60
    for name in (".1.1.0.tmp", "item_1_notes.md"):
        os.utime(folder / name, (old, old))

    with workspace.reserve():
        pass

    assert sorted(file.name for file in folder.iterdir()) == [
        ".2.2.0.tmp",
        "item_1_notes.md",
    ]


def test_lease_is_kept_without_its_reservation(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / ".task-orchestrator", "ada", "")

    with workspace.reserve() as (slot,):
        for file in tmp_path.rglob("*.tmp"):
            file.unlink()
        slot.keep(lease(1))

    assert workspace.lease(lease(1).item) == lease(1)
    assert (
        Path(workspace.lease_file(lease(1).item)).stat().st_mode & 0o777
        == 0o600
    )
