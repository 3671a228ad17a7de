"""README.md and CONTRIBUTING.md name targets of the Makefile that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
MAKEFILE = (REPOSITORY / "Makefile").read_text()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_of_page_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text()
    described = set(re.findall(r"^([a-z-]+):.*##", MAKEFILE, re.MULTILINE))

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))

    assert named
    assert named <= described


def test_fast_tests_are_the_unit_tests() -> None:
    recipe = MAKEFILE.partition("test-fast:")[2].splitlines()[1]

    assert recipe.split() == ["$(PYTEST)", "tests/unit"]
    assert (
        "`make test-fast` runs the unit tests alone"
        in (REPOSITORY / "CONTRIBUTING.md").read_text()
    )
