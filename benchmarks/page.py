"""The page of the measurements: a benchmark writes its part between two marks."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "performance.md"
PLOTS = REPOSITORY / "docs" / "plots"


def write(name: str, text: str, page: Path = PAGE) -> None:
    """Replace the text between the marks of that name. Raises ValueError if the page lacks them."""
    marks = re.compile(
        rf"(<!-- {name}: made by [^>]* -->\n).*?(<!-- /{name} -->\n)",
        re.DOTALL,
    )
    written, times = marks.subn(
        lambda found: f"{found[1]}\n{text}\n{found[2]}",
        page.read_text(encoding="utf-8"),
    )
    if times != 1:
        raise ValueError(f"{page} has no place for {name}")
    page.write_text(written, encoding="utf-8")
