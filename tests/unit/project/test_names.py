"""The names of tests, as CONTRIBUTING.md describes them."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[2]
MOST_WORDS = 8


def test_names_of_tests_have_eight_words() -> None:
    names = [
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(
            r"^ *(?:async )?def test_(\w+)",
            file.read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    ]

    assert len(names) > 1500
    assert [name for name in names if len(name.split("_")) > MOST_WORDS] == []
