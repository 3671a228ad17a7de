"""Files of others are changed together, or not at all."""

import stat
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch_orchestrator.setup.managed_file import Change, joined, replace


def below(folder: Path) -> dict[str, str | None]:
    """Return all that is below a folder: the text of a file, None for a folder."""
    return {
        str(p.relative_to(folder)): p.read_text("utf-8") if p.is_file() else None
        for p in folder.rglob("*")
    }


def test_files_are_made_changed_and_taken_away_with_the_folders_that_are_empty_then(
    tmp_path: Path,
) -> None:
    (tmp_path / "old/inner").mkdir(parents=True)
    for name in ("old/inner/gone", "changed"):
        (tmp_path / name).write_text("before", encoding="utf-8")

    replace(
        {
            tmp_path / "new/made": Change(None, "after"),
            tmp_path / "changed": Change("before", "after"),
            tmp_path / "old/inner/gone": Change("before", None),
        },
        tmp_path,
    )

    assert below(tmp_path) == {"new": None, "new/made": "after", "changed": "after"}


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_a_file_keeps_its_mode_and_a_link_stays_one(tmp_path: Path, mode: int) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("before", encoding="utf-8")
    real.chmod(mode)
    link.symlink_to("real")

    replace({link: Change("before", "after")}, tmp_path)

    assert link.is_symlink()
    assert real.read_text(encoding="utf-8") == "after"
    assert stat.S_IMODE(real.stat().st_mode) == mode


@pytest.mark.parametrize("place", range(4))
def test_what_was_changed_already_is_put_back_when_one_cannot_be(
    tmp_path: Path, place: int
) -> None:
    for name in ("changed", "gone"):
        (tmp_path / name).write_text("before", encoding="utf-8")
        (tmp_path / name).chmod(0o600)
    # Where a file should be there is a folder: it is noticed only when the file takes its place.
    (tmp_path / "wrong/inner").mkdir(parents=True)
    before = below(tmp_path)
    changes = [
        (tmp_path / "changed", Change("before", "after")),
        (tmp_path / "gone", Change("before", None)),
        (tmp_path / "new/made", Change(None, "after")),
    ]
    changes.insert(place, (tmp_path / "wrong", Change(None, "after")))

    with pytest.raises(
        errors.Invalid, match=rf"Cannot write {tmp_path}/wrong: .*Nothing was changed"
    ):
        replace(dict(changes), tmp_path)

    assert below(tmp_path) == before
    assert stat.S_IMODE((tmp_path / "gone").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("ours", "theirs", "both"),
    [
        (1, 2, 2),
        ([1, 2], [3, 2], [3, 2, 1]),
        (
            {"a": 1, "b": {"c": [1]}},
            {"b": {"c": [2], "d": 3}},
            {"b": {"c": [2, 1], "d": 3}, "a": 1},
        ),
        ({"a": 1}, "x", "x"),
    ],
)
def test_what_others_say_holds_and_gets_what_it_lacks(
    ours: object, theirs: object, both: object
) -> None:
    assert joined(ours, theirs) == both  # type: ignore[arg-type]
