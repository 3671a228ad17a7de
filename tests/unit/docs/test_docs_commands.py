"""Every command and option that a page names exists, in examples and in the text."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support import click_commands
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

REPOSITORY = Path(__file__).parents[3]
#: The changelog and the decisions also name what is gone.
PAGES = [
    REPOSITORY / "README.md",
    *sorted(
        page
        for page in (REPOSITORY / "docs").glob("*.md")
        if page.stem not in {"decisions", "performance"}
    ),
    *sorted(REPOSITORY.glob("orchestrator/**/skills/*/SKILL.md")),
]
GROUPS = {str(group.name): group for group in (orchestrate, worker)}
#: A command line of ours, up to the next command, comment or redirection.
COMMAND = re.compile(
    r"(?:^|(?<=[\s;(&|]))(orchestrate|worker) ([^;|&#>)\n]*(?:\\\n[^;|&#>)\n]*)*)"
)
FLAG = re.compile("--[a-z][a-z-]*")
#: The name of a command, or several: status|start|stop.
NAMES = re.compile("[a-z][a-z-]*(?:[|][a-z-]+)*")


def code(page: Path) -> Iterator[str]:
    """Yield the examples of a page, and each piece of code in its text."""
    text = page.read_text("utf-8")
    fence = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for language, body in fence.findall(text):
        if language == "console":
            yield from re.findall(
                r"^\$ ((?:.*\\\n)*.*)$", body, flags=re.MULTILINE
            )
        elif language in {"bash", "sh", "text"}:
            yield from body.splitlines()
    yield from re.findall(r"(?<!`)`([^`]+)`(?!`)", fence.sub("", text))


def named(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield each command line of ours: the role, and its words before a `--`."""
    for piece in code(page):
        quoted = re.sub(r"\"[^\"]*\"|'[^']*'", "TEXT", piece)
        for role, words in COMMAND.findall(quoted):
            yield role, " ".join(words.split()).partition(" -- ")[0].split()


def mistake(role: str, words: list[str]) -> str:
    """Return what does not exist of a command line of a page; "" if all does."""
    command: click.Command = GROUPS[role]
    click_commands.loaded_commands(GROUPS[role])
    known = {"--help": True, "--version": True, **flags(command)}
    rest = iter(words)
    for word in rest:
        flag = word.partition("=")[0]
        if FLAG.fullmatch(flag):
            if flag not in known:
                return f"{role} {' '.join(words)}: no option {flag}"
            if not known[flag] and flag == word:
                next(rest, None)
        elif isinstance(command, click.Group) and NAMES.fullmatch(word):
            for name in word.split("|"):
                if name not in command.commands:
                    return f"{role} {' '.join(words)}: no command {name}"
            command = command.commands[word.partition("|")[0]]
            known |= flags(command)
    return ""


def flags(command: click.Command) -> dict[str, bool]:
    """Return the options of a command: flag -> whether it takes no value."""
    return {
        flag: option.is_flag
        for option in command.params
        if isinstance(option, click.Option)
        for flag in option.opts
    }


@pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)
def test_every_command_of_page_exists(page: Path) -> None:
    mistakes = [mistake(role, words) for role, words in named(page)]

    assert [text for text in mistakes if text] == []


def test_commands_of_pages_are_found() -> None:
    count = {page.stem: len(list(named(page))) for page in PAGES}

    assert count["README"] > 10
    assert count["worker"] > 60
    assert count["orchestrator"] > 80


@pytest.mark.parametrize(
    "line", ["orchestrate mend item_1", "worker pop --patience 3"]
)
def test_command_that_does_not_exist_is_noticed(line: str) -> None:
    role, *words = line.split()

    assert mistake(role, words)
