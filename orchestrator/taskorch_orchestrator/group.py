"""The `orchestrate` group, which the modules of commands add to."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click
from taskorch.cli import app
from taskorch.domain.access import Access

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

P = ParamSpec("P")

#: What each command may do where there is no queue, or where its server does not run. docs/usage.md says it, too.
ACCESS: Mapping[str, Access] = {
    **dict.fromkeys(
        ("project", "apply", "import", "service", "server start"), Access.CREATE
    ),
    **dict.fromkeys(
        (
            "create",
            "depend",
            "assign",
            "complete",
            "answer",
            "cancel",
            "requeue",
            "reap",
            "purge",
            "sync",
            "mcp",
        ),
        Access.USE,
    ),
    **dict.fromkeys(
        (
            "progress",
            "discoveries",
            "list",
            "show",
            "unassigned",
            "inbox",
            "stuck",
            "projects",
            "agents",
            "wait",
        ),
        Access.READ,
    ),
    **dict.fromkeys(("watch", "doctor", "export", "sync status"), Access.READ),
    **dict.fromkeys(
        ("prime", "setup", "init", "trust", "docs", "server status", "server stop"),
        Access.NONE,
    ),
}


@click.group(
    cls=app.RoleGroup,
    epilog='Start with: orchestrate project "Build authentication system"',
)
@app.version_option()
def orchestrate() -> None:
    """Break a request into work items, assign them to agents, and see them done."""


def is_workers(environment: Mapping[str, str]) -> bool:
    """Return whether the session is a worker's: what a program is told to start serves both roles."""
    named = environment.get("AGENT_ID") or environment.get("TM_AGENT_ID")
    return bool(named) and not environment.get("ORCHESTRATOR_ID")


def pass_context(
    function: "Callable[Concatenate[OrchestratorContext, P], None]",
) -> Callable[P, None]:
    """Open the queue with the access of the command, and pass its context on."""

    @wraps(function)
    def opened(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_orchestrator.context import OrchestratorContext

        function(OrchestratorContext(ACCESS[app.command_name()]), *args, **kwargs)

    return opened
