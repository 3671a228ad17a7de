"""`orchestrate docs`: every page and section can be printed, and messages name nothing that a wheel lacks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from support import click_commands
from taskorch_orchestrator.cli import orchestrate
from taskorch_orchestrator.commands.docs import text_of, topics
from taskorch_worker.cli import worker

REPOSITORY = Path(__file__).parents[3]
PAGES = sorted((REPOSITORY / "docs").glob("*.md"))
PACKAGES = [
    REPOSITORY / root
    for root in ("shared", "worker", "orchestrator", "gateway")
]
#: What a checkout has at its top, and a wheel has not.
CHECKOUT_FILE = re.compile(
    r"docs/\w+\.md|README|CHANGELOG|pyproject\.toml|\.env\.example|docker-compose\.yml"
)


def messages() -> Iterator[tuple[str, str]]:
    """Yield every text that may reach a user: help, and literals that are not docstrings."""
    for group in (orchestrate, worker):
        for name, command in click_commands.loaded_commands(group).items():
            context = click_commands.context_of(group, name)
            yield f"{group.name} {name}", command.get_help(context)
    for file in (
        file for package in PACKAGES for file in package.rglob("*.py")
    ):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        docstrings = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr)
        }
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in docstrings
            ):
                yield f"{file}:{node.lineno}", node.value
    for file in (
        file for package in PACKAGES for file in package.rglob("*.md")
    ):
        yield str(file), file.read_text(encoding="utf-8")


def test_message_names_no_file_that_a_wheel_lacks() -> None:
    assert [
        (where, text)
        for where, text in messages()
        if CHECKOUT_FILE.search(text)
    ] == []


def test_topic_that_a_message_names_exists() -> None:
    named = {
        topic.rstrip(".")
        for _, text in messages()
        for topic in re.findall(r"orchestrate\s+docs\s+([a-z][\w#.-]*)", text)
        if topic not in {"lists", "prints"}
    }

    assert {
        "operations#details-of-a-redis-of-your-own",
        "orchestrator#a-whole-plan-at-once",
    } <= named
    assert named <= {topic.topic for topic in topics()}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_is_printed_as_it_is(page: Path) -> None:
    ran = CliRunner().invoke(orchestrate, ["docs", page.stem])

    assert ran.exit_code == 0
    assert ran.stdout == page.read_text(encoding="utf-8")


def test_sections_cover_their_page() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        sections = [
            text_of(each.topic) or ""
            for each in topics()
            if each.topic.startswith(f"{page.stem}#")
        ]

        assert all(section.startswith("## ") for section in sections)
        assert text.endswith("".join(sections))


def test_unknown_topic_is_refused_with_a_hint() -> None:
    ran = CliRunner().invoke(orchestrate, ["docs", "worker#nothing"])

    assert ran.exit_code == 2
    assert (
        "There is no topic 'worker#nothing'. orchestrate docs lists the topics."
        in ran.stderr
    )


def test_diagrams_fit_a_terminal() -> None:
    text = text_of("concepts") or ""

    diagrams = re.findall(
        r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL
    )

    assert diagrams
    assert max(map(len, "\n".join(diagrams).splitlines())) <= 78
