"""The `acl` command, for the users of Redis."""

from typing import TYPE_CHECKING

import click
from taskorch.domain.role import Role

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(epilog="Example: orchestrate acl worker ada --apply")
@click.argument(
    "role", type=click.Choice([*(role.value for role in Role), "service"])
)
@click.argument("name", required=False, default="")
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL",
    help="Pool that the worker may take items from. Repeatable.  [default: none]",
)
@click.option(
    "--apply",
    "applies",
    is_flag=True,
    help="Set the user, with a password in a private file.",
)
@click.option(
    "--password-file",
    default="",
    metavar="FILE",
    help="File for the password; an existing one is used.  [default: a file for "
    "the user in .task-orchestrator/passwords]",
)
@pass_context
def acl(
    context: "OrchestratorContext",
    role: str,
    name: str,
    *,
    pools: tuple[str, ...],
    applies: bool,
    password_file: str,
) -> None:
    """Print the rule of the Redis user for ROLE, or set that user.

    NAME is the agent of a worker. An orchestrator or a viewer without NAME may use any.
    With --apply, the settings must be those of a Redis administrator, and the output
    has the variables for the user's client. The password is not printed.
    """
    from taskorch_orchestrator import redis_user
    from taskorch_orchestrator.render import redis_user as render

    namespace = context.settings.namespace
    user = redis_user.describe(namespace, role, name, pools)
    if not applies:
        context.output.show(user, render.rule)
        context.output.hint(render.ONLY_PRINTED)
        return
    applied = redis_user.apply(
        context.queue_of(), context.settings, user, password_file
    )
    context.output.show(applied, render.applied)
    context.output.notify(
        f"Set {applied.user}. Its password is in {applied.password_file}."
    )
    if "+" in context.settings.redis_url.partition("://")[0]:
        context.output.hint(render.EACH_SERVER)
    if not applied.kept_in:
        context.output.hint(render.NOT_KEPT)
