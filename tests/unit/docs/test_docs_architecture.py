"""docs/architecture.md and CONTRIBUTING.md describe the source as it is."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
PAGE = (REPOSITORY / "docs" / "architecture.md").read_text(encoding="utf-8")
#: Placeholders in paths: any verb, any package.
ANY = re.compile(r"\b(VERB|PACKAGE)\b")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_path_that_the_page_names_exists(page: str) -> None:
    text = (REPOSITORY / page).read_text(encoding="utf-8")

    paths = re.findall(
        r"`((?:shared|worker|orchestrator|gateway|tests|docs)/[^`]*)`", text
    )

    assert len(paths) > 2
    assert [path for path in paths if not found(path)] == []


def found(path: str) -> bool:
    return any(REPOSITORY.glob(ANY.sub("*", path.rstrip("/"))))


def test_page_lists_every_package() -> None:
    folders = {
        folder.name
        for package in (
            *("shared/taskorch", "worker/*", "orchestrator/*", "gateway/*"),
        )
        for folder in REPOSITORY.glob(f"{package}/*")
        if (folder / "__init__.py").exists()
    }

    assert [name for name in sorted(folders) if f"{name}/" not in PAGE] == []


def test_layers_match_the_import_test() -> None:
    source = REPOSITORY / "tests" / "unit" / "project" / "test_imports.py"
    rules = dict(
        re.findall(
            r"^    \"taskorch\.(\w+)\": \((.*?)\),\n",
            source.read_text(),
            re.MULTILINE | re.DOTALL,
        )
    )

    rows = re.findall(
        r"^\| `(\w+)(?:\.py)?` \|[^|]*\|([^|]*)\|$", PAGE, re.MULTILINE
    )
    stated = {
        name: set(re.findall(r"`([\w.]+)`", imports)) for name, imports in rows
    }

    assert {"domain", "queue", "transport", "cli"} <= set(stated)
    assert stated == {
        name: set(re.findall(r"\"taskorch\.([\w.]+)\"", rules[name]))
        for name in stated
    }
