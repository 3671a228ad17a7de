"""The help of both commands: every subcommand, its summary, and what was meant by other words."""

import re

import click
import pytest
from click.testing import CliRunner
from support import click_commands
from taskorch.cli import app
from taskorch.cli.arguments import IdArgument
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

WHOLE = 500


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_every_command_has_help_with_example(group: click.Group) -> None:
    for name, each in click_commands.loaded_commands(group).items():
        assert each.help, name
        assert (each.epilog or "").startswith(
            f"Example: {group.name} {name}"
        ), name


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


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_help_shows_every_summary_in_full(
    group: app.RoleGroup, width: int
) -> None:
    shown = CliRunner().invoke(group, ["-h"], terminal_width=width).stdout

    words = " ".join(shown.split()).replace("- ", "-")
    assert [
        name
        for name, summary in group.summaries.items()
        if f" {name} {summary} " not in words
    ] == []
    assert max(map(len, shown.splitlines())) <= width


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_every_command_has_help_by_letter(group: app.RoleGroup) -> None:
    for name in group.commands:
        ran = CliRunner().invoke(group, [name, "-h"])

        assert ran.exit_code == 0, name
        assert "-h, --help" in ran.stdout, name


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_every_command_is_in_one_section(group: app.RoleGroup) -> None:
    listed = [name for names in group.sections.values() for name in names]

    assert sorted(listed) == sorted(group.commands)


@pytest.mark.parametrize(
    "group", [orchestrate, worker], ids=lambda group: str(group.name)
)
def test_synonyms_stand_for_commands_that_exist(group: app.RoleGroup) -> None:
    groups = {str(each.name): each for each in (orchestrate, worker)}

    assert len(group.synonyms) > 20
    assert set(group.synonyms) & set(group.commands) == set()
    for meant in group.synonyms.values():
        for command in meant:
            role, _, name = command.rpartition(" ")
            assert name in groups[role or str(group.name)].commands, command


@pytest.mark.parametrize(
    ("group", "word", "meant"),
    [
        (worker, "done", "'complete'"),
        (worker, "next", "'pop'"),
        (worker, "status", "'check'"),
        (worker, "assign", "'orchestrate assign'"),
        (orchestrate, "search", "'list'"),
        (orchestrate, "update", "'edit'"),
        (orchestrate, "message", "'comment'"),
        (worker, "edit", "'orchestrate edit'"),
        (orchestrate, "delete", "'cancel' or 'purge'"),
        (orchestrate, "pop", "'worker pop'"),
        (orchestrate, "progres", "'progress'"),
    ],
)
def test_unknown_command_suggests_what_was_meant(
    group: app.RoleGroup, word: str, meant: str
) -> None:
    ran = CliRunner().invoke(group, [word])

    assert ran.exit_code == 2
    assert f"No such command '{word}'." in ran.stderr
    assert meant in ran.stderr.partition("Did you mean")[2]


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
