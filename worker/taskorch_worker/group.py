"""The `worker` group, which the modules of commands add to."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec

import click
from taskorch.cli import app
from taskorch.domain.access import Access

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext

P = ParamSpec("P")

#: What each command may do where there is no queue, or where its server does not run. docs/usage.md says it, too.
ACCESS: Mapping[str, Access] = {
    **dict.fromkeys(
        (
            "pop",
            "get",
            "progress",
            "notes",
            "discover",
            "blocker",
            "renew",
            "complete",
            "ack",
            "fail",
            "release",
        ),
        Access.USE,
    ),
    **dict.fromkeys(("run", "mcp"), Access.USE),
    **dict.fromkeys(("check", "get-notes", "wait"), Access.READ),
    **dict.fromkeys(("whoami", "prime", "hook stop"), Access.NONE),
}


class WorkerGroup(app.RoleGroup):
    """The worker's group: its subcommands take --agent-id as well."""

    common_options: ClassVar = {
        "--agent-id": {
            "metavar": "NAME",
            "help": "Which agent you are. Also: AGENT_ID",
        },
        **app.RoleGroup.common_options,
    }


@click.group(
    cls=WorkerGroup,
    epilog="Start with: export AGENT_ID=database_specialist; worker check",
)
@app.version_option()
def worker() -> None:
    """Take the work items that are assigned to you, report, and deliver."""


def pass_context(
    function: "Callable[Concatenate[WorkerContext, P], None]",
) -> Callable[P, None]:
    """Give a command the context of the agent that it runs for."""

    @wraps(function)
    def with_context(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_worker.context import WorkerContext

        function(WorkerContext(ACCESS[app.command_name()]), *args, **kwargs)

    return with_context
