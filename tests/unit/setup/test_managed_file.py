"""Files of others are all changed, or none is."""

import stat
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch_orchestrator.setup.managed_file import (
    Change,
    replace_all,
)


def below(folder: Path) -> dict[str, str | None]:
    """Return everything below a folder: the text of files, None for folders."""
    return {
        str(p.relative_to(folder)): p.read_text("utf-8")
        if p.is_file()
        else None
        for p in folder.rglob("*")
    }


def test_replace_all_creates_changes_and_removes(
    tmp_path: Path,
) -> None:
    (tmp_path / "old/inner").mkdir(parents=True)
    for name in ("old/inner/gone", "changed"):
        (tmp_path / name).write_text("before", encoding="utf-8")

    replace_all(
        {
            tmp_path / "new/made": Change(None, "after"),
            tmp_path / "changed": Change("before", "after"),
            tmp_path / "old/inner/gone": Change("before", None),
        },
        tmp_path,
    )

    assert below(tmp_path) == {
        "new": None,
        "new/made": "after",
        "changed": "after",
    }


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_replaced_file_keeps_mode_and_link(tmp_path: Path, mode: int) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before", encoding="utf-8")
    real.chmod(mode)
    link.symlink_to("real")

    replace_all({link: Change("before", "after")}, tmp_path)

    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "after"
    assert stat.S_IMODE(real.stat().st_mode) == mode


@pytest.mark.parametrize("place", range(4))
def test_failed_change_restores_the_other_files(
    tmp_path: Path, place: int
) -> None:
    for name in ("changed", "gone"):
        (tmp_path / name).write_text("before", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    # A folder in the place of a file is noticed only when the file is moved there.
    (tmp_path / "wrong/inner").mkdir(parents=True)
    before = below(tmp_path)
    changes = [
        (tmp_path / "changed", Change("before", "after")),
        (tmp_path / "gone", Change("before", None)),
        (tmp_path / "new/made", Change(None, "after")),
    ]
    changes.insert(place, (tmp_path / "wrong", Change(None, "after")))

    with pytest.raises(
        errors.Invalid,
        match=rf"Cannot write {tmp_path}/wrong: .*Nothing was changed",
    ):
        replace_all(dict(changes), tmp_path)

    assert below(tmp_path) == before
    assert stat.S_IMODE((tmp_path / "gone").stat().st_mode) == 0o600


def test_file_that_has_changed_since_stays(tmp_path: Path) -> None:
    changed, other = tmp_path / "changed", tmp_path / "other"
    changed.write_text("of another program", encoding="utf-8")

    with pytest.raises(errors.Invalid, match="Nothing was changed"):
        replace_all(
            {
                other: Change(None, "after"),
                changed: Change("before", "after"),
            },
            tmp_path,
        )

    assert below(tmp_path) == {"changed": "of another program"}
