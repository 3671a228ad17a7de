"""Finding the archive of an item or a project."""

from pathlib import Path

import pytest
from taskorch_orchestrator.backup import archive_index

OLD, NEW = (
    f"proj_00000001-2026{month}01T000000Z.jsonl.gz" for month in ("01", "02")
)
OTHER = "proj_00000002-20260301T000000Z.jsonl.gz"
ITEM = "item_0000000a"


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """Return a folder with three archives, of which two have the same item."""
    folder = tmp_path / archive_index.NAME
    folder.mkdir()
    for name, items in {
        OLD: [ITEM, "item_0000000b"],
        OTHER: ["item_0000000c"],
        NEW: [ITEM],
    }.items():
        (folder / name).touch()
        archive_index.add(folder, name, items)
    return tmp_path


@pytest.mark.parametrize(
    ("id_", "name"),
    [
        (ITEM, NEW),
        ("item_0000000b", OLD),
        ("item_0000000c", OTHER),
        ("proj_00000001", NEW),
        ("proj_00000002", OTHER),
    ],
)
def test_newest_archive_is_found(filled: Path, id_: str, name: str) -> None:
    found = archive_index.find(filled, id_)

    assert found == filled / archive_index.NAME / name


@pytest.mark.parametrize(
    "id_",
    ["item_0000000d", "item_", "proj_0000000", "", "../x", "item_\udc80"],
)
def test_other_id_is_not_found(filled: Path, id_: str) -> None:
    assert archive_index.find(filled, id_) is None


def test_deleted_archive_is_passed_over(filled: Path) -> None:
    (filled / archive_index.NAME / NEW).unlink()

    found = archive_index.find(filled, ITEM)

    assert found == filled / archive_index.NAME / OLD


def test_torn_index_loses_one_line(filled: Path) -> None:
    index = filled / archive_index.NAME / archive_index.INDEX
    index.write_bytes(index.read_bytes() + b"item_0000000e proj_0000")
    archive_index.add(index.parent, OTHER, ["item_0000000f"])

    found = [
        archive_index.find(filled, id_)
        for id_ in ("item_0000000e", "item_0000000f")
    ]

    assert found == [None, index.parent / OTHER]


def test_root_without_archive_has_nothing(tmp_path: Path) -> None:
    assert archive_index.find(tmp_path, ITEM) is None
    assert archive_index.find(tmp_path, "proj_00000001") is None
