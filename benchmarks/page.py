"""The page that shows what was measured: between two marks stands what a benchmark wrote there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "performance.md"
PLOTS = REPOSITORY / "docs" / "plots"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Put a text between the marks of that name. Raises ValueError for a page that has no such marks."""
    marks = re.compile(
        rf"(<!-- {name}: made by [^>]* -->\n).*?(<!-- /{name} -->\n)", re.DOTALL
    )
    written, times = marks.subn(
        lambda found: f"{found[1]}\n{text}\n{found[2]}",
        page.read_text(encoding="utf-8"),
    )
    if times != 1:
        raise ValueError(f"{page} has no place for {name}")
    page.write_text(written, encoding="utf-8")
