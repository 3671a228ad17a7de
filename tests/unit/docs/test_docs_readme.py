"""The tables of README.md say what the commands are."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support import click_commands
from taskorch.cli import app
from taskorch.cli.arguments import IdArgument
from taskorch.domain import errors
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

REPOSITORY = Path(__file__).parents[3]
WHOLE = 500
README = (REPOSITORY / "README.md").read_text()


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_readme_lists_every_command_with_example(group: click.Group) -> None:
    table = README.partition(f"| `{group.name} …` | |")[2].partition("\n\n")[0]
    written = set(re.findall(r"`([a-z-]+)", table))

    commands = click_commands.loaded_commands(group)

    assert written - {"--"} == set(commands) | {
        flag for flag in written if flag.startswith("-")
    }
    for name, each in commands.items():
        assert (each.epilog or "").startswith(
            f"Example: {group.name} {name}"
        ), name
        assert each.help, name


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_unloaded_command_has_its_own_summary(
    group: app.RoleGroup,
) -> None:
    summaries = dict(group.summaries)

    own = {
        name: each.get_short_help_str(WHOLE)
        for name, each in click_commands.loaded_commands(group).items()
    }

    assert own == summaries


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_help_shows_every_summary_in_full(group: click.Group) -> None:
    shown = CliRunner().invoke(group, ["--help"], terminal_width=80).stdout

    commands = shown.partition("Commands:")[2]
    assert commands
    assert "..." not in commands


#: Arguments and options that take the id of an item or a project.
IDS = re.compile("item|project|dependenc|depends_on|undepend")


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_every_id_may_be_given_short(group: click.Group) -> None:
    parameters = [
        (name, parameter)
        for name, command in click_commands.loaded_commands(group).items()
        for parameter in command.params
        if IDS.search(str(parameter.name))
    ]

    long_only = [
        (name, parameter.name)
        for name, parameter in parameters
        if not isinstance(parameter.type, IdArgument)
    ]

    assert len(parameters) >= 10
    assert long_only == []


def test_documented_exit_codes_match_the_errors() -> None:
    table = README.partition("| exit | means | retry? |")[2].partition("\n\n")[
        0
    ]
    written = {
        int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)
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


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/usage.md",
        "docs/protocol.md",
        "docs/architecture.md",
        "docs/decisions.md",
        "docs/reliability.md",
        "docs/security.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
    ],
)
def test_every_link_leads_to_a_file(page: str) -> None:
    file = REPOSITORY / page

    links = [
        link
        for link in re.findall(r"\]\(([^)#]+)", file.read_text())
        if "://" not in link
    ]

    assert [link for link in links if not (file.parent / link).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    described = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))

    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))

    assert {"demo", "test", "test-fast"} <= named <= described


def test_fast_tests_are_the_unit_tests() -> None:
    recipe = (
        (REPOSITORY / "Makefile")
        .read_text()
        .partition("test-fast:")[2]
        .splitlines()[1]
    )

    assert recipe.split() == ["$(PYTEST)", "tests/unit"]
    assert "`make test-fast` runs the unit tests alone" in README


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
