"""The `orchestrate` group, to which the modules in `commands` add their commands."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click
from taskorch.cli import app
from taskorch.cli.arguments import whole_ids
from taskorch.domain import errors
from taskorch.domain.access import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskorch.domain.short_id import Candidate, ShortId
    from taskorch.queue.views import Views

    from taskorch_orchestrator.context import OrchestratorContext

P = ParamSpec("P")

#: Access -> its commands: what a command may do if there is no queue, or if its server
#: does not run. docs/operations.md has the same list.
COMMANDS = {
    Access.CREATE: (
        "project",
        "apply",
        "import",
        "service",
        "server start",
        "gateway",
        "schedule add",
        "token create",
    ),
    Access.USE: (
        "create",
        "depend",
        "edit",
        "assign",
        "complete",
        "answer",
        "accept",
        "send-back",
        "comment",
        "cancel",
        "reopen",
        "requeue",
        "reap",
        "budget",
        "purge",
        "schedule remove",
        "schedule run",
        "sync",
        "token edit",
        "token rotate",
        "token revoke",
        "board",
        "acl",
        "mcp",
    ),
    Access.READ: (
        "status",
        "progress",
        "discoveries",
        "list",
        "show",
        "logs",
        "unassigned",
        "inbox",
        "stuck",
        "projects",
        "agents",
        "costs",
        "wait",
        "watch",
        "doctor",
        "export",
        "schedule list",
        "sync status",
        "token list",
        "audit",
        "notify",
    ),
    Access.NONE: (
        "prime",
        "setup",
        "init",
        "trust",
        "docs",
        "server status",
        "server list",
        "server stop",
    ),
}
ACCESS: Mapping[str, Access] = {
    command: access
    for access, commands in COMMANDS.items()
    for command in commands
}


class OrchestratorGroup(app.RoleGroup):
    """The group of the orchestrator's commands."""

    service_command = ("-m", "taskorch_orchestrator.cli", "service")

    def completes_ids(
        self, begun: "ShortId", limit: int
    ) -> "Sequence[Candidate]":
        """Return the ids of items and projects that begin with the typed text."""
        return _views().candidates(begun, limit=limit)

    def completes_agents(self, limit: int) -> "Sequence[str]":
        """Return the names of the agents, the last callers first."""
        return [agent.name for agent in _views().agents(limit=limit)]


@click.group(
    cls=OrchestratorGroup,
    epilog='Start with: orchestrate project "Build authentication system"',
)
@app.version_option()
def orchestrate() -> None:
    """Break a request into work items, assign them to agents, and see them done."""


def _views() -> "Views":
    """Return the views of the queue, without starting a server."""
    from taskorch_orchestrator.context import OrchestratorContext

    return OrchestratorContext(Access.NONE).queue_of().views


def is_workers(environment: Mapping[str, str]) -> bool:
    """Return whether the session is a worker's: programs start both roles in it."""
    agent = environment.get("AGENT_ID") or environment.get("TM_AGENT_ID")
    return bool(agent) and not environment.get("ORCHESTRATOR_ID")


def pass_context(
    command: "Callable[Concatenate[OrchestratorContext, P], None]",
) -> Callable[P, None]:
    """Pass a command its context: the queue, opened with the access of the command.

    Short ids among its arguments are replaced by whole ones. If Redis does not have an
    item or a project, the error names the file of the archive that has it.
    """

    @wraps(command)
    def with_context(*args: P.args, **kwargs: P.kwargs) -> None:
        from taskorch_orchestrator.context import OrchestratorContext

        context = OrchestratorContext(ACCESS[app.command_name()])
        try:
            command(context, *args, **whole_ids(kwargs, context.find))
        except (errors.NoItem, errors.NoProject) as error:
            raise context.naming_archive(error) from None

    return with_context
