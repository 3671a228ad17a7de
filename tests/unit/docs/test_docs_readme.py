"""README.md names what exists."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
README = (REPOSITORY / "README.md").read_text()


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))

    assert {"demo", "test", "test-fast"} <= named <= described


def test_fast_tests_are_the_unit_tests() -> None:
    recipe = (
        (REPOSITORY / "Makefile")
        .read_text()
        .partition("test-fast:")[2]
        .splitlines()[1]
    )

    assert recipe.split() == ["$(PYTEST)", "tests/unit"]
    assert "`make test-fast` runs the unit tests alone" in README
