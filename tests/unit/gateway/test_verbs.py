"""The verbs of the API have the arguments of the commands, under the same names."""

from collections.abc import Iterator

import click
import pytest
from support import click_commands
from taskorch_gateway.api.table import VERBS
from taskorch_orchestrator.cli import orchestrate
from taskorch_worker.cli import worker

GROUPS = {"orchestrator": orchestrate, "worker": worker}
#: Options of the group, and what only a terminal or a file needs.
OF_THE_COMMAND_LINE = {
    *("json", "url", "redis_url", "token_file", "namespace", "agent_id"),
    *("follow", "hook_json"),
}
#: Options that are a method, a path or several arguments of the API.
ELSEWHERE = {
    ("get", "peek"),
    ("discoveries", "new"),
    ("show", "handoff"),
    ("blocker", "withdraw"),
    ("apply", "plan"),
    ("complete", "wait"),
    ("ack", "wait"),
    ("fail", "wait"),
}
#: Options of `create` and `edit` that are entries of `accept` in the API.
CHECKS = {
    *("check", "check_file", "check_deliverable", "check_timeout"),
    "reviewer",
}
ELSEWHERE |= {(name, each) for name in ("create", "edit") for each in CHECKS}
#: What takes several values has a plural, an id of two kinds is `id`.
RENAMED = {
    "requirement": "requirements",
    "resource": "resources",
    "deliverable": "deliverables",
    ("create", "label"): "labels",
    ("progress", "project"): "id",
    ("wait", "project"): "id",
    ("cancel", "item"): "id",
    ("fail", "no_retry"): "retry",
}
#: Arguments of the API alone: what a plan file holds, and the results of the checks, which
#: a command runs itself.
OF_THE_API = {
    "apply": {"project", "items", "description", "key", "variables"},
    "complete": {"evidence"},
    "ack": {"evidence"},
}


def commands() -> Iterator[tuple[str, str, click.Command]]:
    """Yield the group of the API, the name and the command of each verb."""
    for group, root in GROUPS.items():
        served = {row.verb.name for row in VERBS if row.group == group}
        for name, command in click_commands.loaded_commands(root).items():
            if name in served:
                yield group, name, command


def name_of(command: str, parameter: click.Parameter) -> str:
    """Return the name in the API of an option or an argument of a command."""
    long = [opt[2:] for opt in parameter.opts if opt.startswith("--")]
    name = (long or [str(parameter.name)])[0].replace("-", "_")
    return RENAMED.get((command, name)) or RENAMED.get(name, name)


@pytest.mark.parametrize(
    ("group", "name", "command"),
    list(commands()),
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_verb_has_the_arguments_of_its_command(
    group: str, name: str, command: click.Command
) -> None:
    given = {
        argument
        for row in VERBS
        if row.group == group and row.verb.name == name
        for argument in row.verb.kinds()
    }

    known = {
        name_of(name, parameter)
        for parameter in command.params
        if (name, parameter.name) not in ELSEWHERE
    }

    others = OF_THE_API.get(name, set())
    assert given - {"token"} - others == known - OF_THE_COMMAND_LINE


@pytest.mark.parametrize("row", VERBS, ids=lambda row: row.verb.__name__)
def test_verb_begins_with_a_script(row: object) -> None:
    assert getattr(row, "roles", None)
