"""docs/board.md agrees with the board: its keys, its filters, its roles."""

import re
from pathlib import Path

from taskorch_gateway.board import filters
from taskorch_gateway.board.visit import MAY_LOOK
from taskorch_orchestrator.commands.board import PORT, ROLES

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "board.md").read_text(encoding="utf-8")
LAYOUT = (
    REPOSITORY / "gateway/taskorch_gateway/board/templates/layout.html"
).read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_keys_of_the_board_are_documented() -> None:
    rows = re.findall(r"^\| (.*?) \|", section("Keys"), re.MULTILINE)

    shown = set(re.findall(r"<kbd>(.*?)</kbd>", LAYOUT))
    assert {"j", "k", "Enter", "Esc"} <= shown
    assert shown <= set(re.findall(r"[/\w]+", " ".join(rows)))


def test_keys_of_filters_are_documented() -> None:
    documented = set(re.findall(r"`(\w+):", section("Filters")))
    excluded = set(re.findall(r"`-(\w+):", section("Filters")))

    assert documented == set(filters.KEYS)
    assert excluded == set(filters.NEGATABLE)


def test_examples_of_filters_parse() -> None:
    terms = re.findall(r"^\| (`.*?`) \|", section("Filters"), re.MULTILINE)
    examples = re.findall("`(.*?)`", " ".join(terms))

    assert all(str(filters.parse(each).filter) for each in examples)


def test_roles_of_links_may_see_the_board() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)

    assert set(ROLES) == set(MAY_LOOK)
    assert {role.value for role in ROLES} < set(rows)
    assert f"127.0.0.1:{PORT}" in PAGE
