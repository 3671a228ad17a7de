"""The pictures of the board: there, as large as the README expects, and not too heavy."""

import struct
from pathlib import Path

import pytest

from demo.recordings.board_picture import (
    HEIGHT,
    PICTURES,
    WIDTH,
    Picture,
)
from demo.team.projects import PROJECTS, WORKS
from demo.team.scene import MOMENT

REPOSITORY = Path(__file__).parents[3]
LARGEST_KB = 250
#: A PNG begins with its signature, and the length and the kind of its first chunk.
BEFORE_SIZE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda each: each.name)
def test_picture_of_the_board_has_its_size(picture: Picture) -> None:
    image = f"images/{picture.name}.png"
    content = (REPOSITORY / "docs" / image).read_bytes()

    assert content.startswith(BEFORE_SIZE)
    assert struct.unpack_from(">II", content, len(BEFORE_SIZE)) == (
        WIDTH,
        HEIGHT,
    )
    assert len(content) < LARGEST_KB * 1024
    assert image in (REPOSITORY / "README.md").read_text()


def test_moment_of_pictures_is_of_the_team() -> None:
    assert set(MOMENT) <= set(WORKS)
    assert len(WORKS) == sum(len(project.works) for project in PROJECTS)
