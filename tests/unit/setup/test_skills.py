"""Skills, briefings and instructions for agents match the commands."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml
from support import click_commands
from taskorch.domain import errors
from taskorch_orchestrator.cli import orchestrate
from taskorch_orchestrator.render import briefing as orchestrators
from taskorch_orchestrator.setup import programs
from taskorch_worker import stop_hook
from taskorch_worker.cli import worker
from taskorch_worker.render import briefing as workers

SKILLS = Path(programs.__file__).parent / "skills"
GROUPS: dict[str, click.Group] = {"worker": worker, "orchestrate": orchestrate}
TEXTS = {
    **{
        folder: (SKILLS / folder / "SKILL.md").read_text(encoding="utf-8")
        for folder in ("worker", "orchestrator")
    },
    "worker prime": workers.COMMANDS,
    "orchestrate prime": orchestrators.COMMANDS,
    "worker hook stop": stop_hook.REMINDER,
    "instructions": programs.INSTRUCTIONS,
    "instructions of a user": programs.USERS_INSTRUCTIONS,
}
OF_ONE_ROLE = {
    "worker": "worker",
    "worker prime": "worker",
    "worker hook stop": "worker",
    "orchestrate prime": "orchestrate",
}


def written(text: str) -> list[list[str]]:
    """Return the command lines in a text: in backticks, or after a colon."""
    lines = re.findall(r"`([^`]+)`", text) + re.findall(
        r": ((?:worker|orchestrate) .+?)(?:;|, and|$)", text, re.MULTILINE
    )
    inner = [
        re.sub(
            r".*\$\(((?:worker|orchestrate) .*)\)$",
            r"\1",
            line,
            flags=re.DOTALL,
        )
        for line in lines
    ]
    return [
        shlex.split(line)
        for line in inner
        if line.startswith(("worker ", "orchestrate "))
    ]


@pytest.mark.parametrize("name", TEXTS)
def test_documented_command_lines_are_valid(name: str) -> None:
    lines = written(TEXTS[name])

    assert lines
    for role, *words in lines:
        command: click.Command = GROUPS[role]
        while isinstance(command, click.Group):
            there = click_commands.loaded_commands(command)
            assert words[0] in there, words
            command = there[words.pop(0)]
        options = {
            flag for parameter in command.params for flag in parameter.opts
        }
        assert {word for word in words if word.startswith("-")} <= options, (
            name,
            role,
            words,
        )
        arguments = [
            parameter
            for parameter in command.params
            if isinstance(parameter, click.Argument)
        ]
        first = next(
            (
                place
                for place, word in enumerate(words)
                if word.startswith("-")
            ),
            len(words),
        )
        assert first <= len(arguments) or any(
            argument.nargs == -1 for argument in arguments
        ), (name, words)


@pytest.mark.parametrize("name", OF_ONE_ROLE)
def test_text_names_only_commands_of_its_role(name: str) -> None:
    assert {role for role, *_ in written(TEXTS[name])} == {OF_ONE_ROLE[name]}


@pytest.mark.parametrize(
    "name", ["worker", "orchestrator", "worker prime", "orchestrate prime"]
)
def test_documented_exit_codes_match_the_errors(name: str) -> None:
    exit_codes = TEXTS[name].partition("Exit codes: ")[2]

    codes = {
        int(code) for code in re.findall(r"(?:^|; |;\n)(\d) ", exit_codes)
    }

    known = {
        0,
        *(
            error.exit_code
            for error in (
                errors.Usage,
                errors.NotFound,
                errors.Unavailable,
                errors.Invalid,
            )
        ),
    }
    known |= {errors.Conflict.exit_code, errors.NothingToDo.exit_code}
    assert codes - {errors.NotYours.exit_code} == known
    assert (errors.NotYours.exit_code in codes) == name.startswith("worker")


@pytest.mark.parametrize(
    ("name", "wait"), [("orchestrator", "orchestrate"), ("worker", "worker")]
)
def test_text_explains_how_to_wait(name: str, wait: str) -> None:
    for text in (TEXTS[name], TEXTS[f"{wait} prime"]):
        assert [wait, "wait"] in [line[:2] for line in written(text)]


@pytest.mark.parametrize(("installed", "folder"), programs.SKILLS.items())
def test_skill_has_the_documented_head(installed: str, folder: str) -> None:
    _, head, body = TEXTS[folder].split("---\n", 2)

    fields = yaml.safe_load(head)

    assert set(fields) == {"name", "description"}
    assert fields["name"] == installed
    assert re.fullmatch(r"[a-z0-9-]{1,64}", fields["name"])
    assert 0 < len(fields["description"]) <= 1024
    assert len(body.splitlines()) < 50
