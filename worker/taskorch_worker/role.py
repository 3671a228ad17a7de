"""The `worker` group, which the modules of commands add to."""

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec

import click
from taskorch import command

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk

P = ParamSpec("P")


class WorkerGroup(command.RoleGroup):
    """The worker's group: its subcommands take --agent-id as well."""

    common: ClassVar = {
        "--agent-id": {"metavar": "NAME", "help": "Which agent you are. Also: AGENT_ID"},
        **command.RoleGroup.common,
    }


@click.group(cls=WorkerGroup, epilog="Start with: export AGENT_ID=database_specialist; worker check")
@command.version_option()
def worker() -> None:
    """Take the work items that are assigned to you, report, and deliver."""


def at_desk(function: "Callable[Concatenate[Desk, P], None]") -> Callable[P, None]:
    """Give a command the desk of the agent that it runs for."""

    @wraps(function)
    def seated(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_worker.desk import Desk

        function(Desk(), *args, **kwargs)

    return seated
