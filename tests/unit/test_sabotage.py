"""What `make sabotage` takes out is still there, and its tests are."""

import pytest
from sabotage import ROOT, SABOTAGES, Sabotage


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.guard)
def test_the_lines_of_a_guard_are_where_they_are_said_to_be(sabotage: Sabotage) -> None:
    text = (ROOT / sabotage.file).read_text(encoding="utf-8")

    assert text.count(sabotage.line) == 1
    assert sabotage.line != sabotage.instead
    assert all((ROOT / test.partition("::")[0]).is_file() for test in sabotage.tests)
