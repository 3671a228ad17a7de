"""Every link of the pages leads to a file, a heading or a test that exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
#: The languages that tests know: what they run, and what they leave alone.
OPENING = re.compile("```(console|bash|sh|python|yaml|json|text|mermaid)")
#: Lines of a page that needs contents.
LONG = 110
PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    return {anchor(title) for title in headings(page)}


def headings(page: Path) -> Iterator[str]:
    in_fence = False
    for line in page.read_text("utf-8").splitlines():
        if line.startswith("```"):
            in_fence = not in_fence
        elif not in_fence and (title := re.match("#+ (.*)", line)):
            yield title[1]


def anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def links(page: Path) -> list[str]:
    """Return the targets of the links of a page, without those to the web."""
    found = re.findall(r"\]\(([^)]+)\)", page.read_text("utf-8"))
    return [link for link in found if "://" not in link]


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_every_link_leads_to_a_file(page: Path) -> None:
    files = [link.partition("#")[0] for link in links(page)]

    assert [file for file in files if not (page.parent / file).exists()] == []


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_every_anchor_leads_to_a_heading(page: Path) -> None:
    broken = []
    for link in links(page):
        file, _, wanted = link.partition("#")
        target = page.parent / file if file else page
        if wanted and wanted not in anchors(target):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_headings_of_page_have_different_anchors(page: Path) -> None:
    titles = [anchor(title) for title in headings(page)]

    assert page.name == "CHANGELOG.md" or len(titles) == len(set(titles))


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_fences_of_page_are_well_formed(page: Path) -> None:
    lines = page.read_text("utf-8").splitlines()

    fences = [line for line in lines if line.lstrip().startswith("```")]

    assert [
        fence for fence in fences[::2] if not OPENING.fullmatch(fence)
    ] == []
    assert [fence for fence in fences[1::2] if fence != "```"] == []
    assert len(fences) % 2 == 0


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_long_page_begins_with_its_contents(page: Path) -> None:
    text = page.read_text("utf-8")
    beginning, _, _ = text.partition("\n## ")

    assert (
        page.name in {"README.md", "CHANGELOG.md"}
        or text.count("\n") < LONG
        or "](#" in beginning
    )


def test_security_page_names_tests_and_anchors_that_exist() -> None:
    page = (REPOSITORY / "docs" / "security.md").read_text()
    titles = re.findall("^## (.*)", page, re.MULTILINE)
    anchors = {
        re.sub(r"[^a-z -]", "", title.lower()).replace(" ", "-")
        for title in titles
    }

    tests = re.findall(r"`(tests/[^`]+)`", page)

    assert tests
    assert [name for name in tests if not (REPOSITORY / name).exists()] == []
    assert set(re.findall(r"\]\(#([^)]+)", page)) == anchors
