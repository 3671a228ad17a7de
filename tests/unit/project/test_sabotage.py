"""What `make sabotage` takes out is still there, and its tests are."""

import pytest
from sabotage import ROOT, SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.guard)
def test_lines_of_each_guard_exist(sabotage: Sabotage) -> None:
    text = (ROOT / sabotage.file).read_text(encoding="utf-8")

    assert text.count(sabotage.line) == 1
    assert sabotage.line != sabotage.instead
    assert all(
        (ROOT / test.partition("::")[0]).is_file() for test in sabotage.tests
    )


def test_page_lists_every_guard_with_its_test() -> None:
    document = (
        (ROOT / "docs" / "reliability.md")
        .read_text(encoding="utf-8")
        .partition("## Guards")[2]
    )
    rows = [
        row.strip("| ").split(" | ")
        for row in document.splitlines()
        if row.startswith("| ")
    ][1:]

    tests = [test.replace("`", "").split() for _, test in rows]

    assert [guard for guard, _ in rows] == [
        sabotage.guard for sabotage in SABOTAGES
    ]
    for file, name in tests:
        found = [
            path.read_text(encoding="utf-8")
            for path in (ROOT / "tests").rglob(file)
        ]
        assert any(f"def {name}(" in text for text in found), name
