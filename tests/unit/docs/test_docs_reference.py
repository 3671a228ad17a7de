"""docs/reference.md is current, and lists every option and every exit code."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support import click_commands
from taskorch.cli import app
from taskorch.domain import errors
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

from docs import reference

PAGE = (Path(__file__).parents[3] / "docs" / "reference.md").read_text("utf-8")


def test_page_is_current() -> None:
    assert PAGE.partition(reference.MARK)[2] == f"\n{reference.commands()}", (
        "run: make reference"
    )


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_page_has_every_option_of_every_command(group: click.Group) -> None:
    common = PAGE.partition("## Options of every command")[2].partition(
        "\n## "
    )[0]

    for name, command in click_commands.loaded_commands(group).items():
        own = PAGE.partition(f"### {group.name} {name}\n")[2].partition(
            "\n### "
        )[0]
        missing = [
            flag
            for option in command.params
            if isinstance(option, click.Option)
            for flag in option.opts
            if f"`{flag}" not in own + common
        ]

        assert missing == [], name


def test_exit_codes_match_the_errors() -> None:
    written = {
        int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)
    }

    codes = {
        error.exit_code for error in _descendants(errors.TaskOrchestratorError)
    }

    assert written == {0, *codes, app.INTERRUPTED}


def _descendants(
    error: type[errors.TaskOrchestratorError],
) -> Iterator[type[errors.TaskOrchestratorError]]:
    yield error
    for child in error.__subclasses__():
        yield from _descendants(child)
