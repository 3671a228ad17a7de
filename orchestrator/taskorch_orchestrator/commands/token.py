"""The `token` commands, for the access tokens of the gateway."""

from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.cli.arguments import DURATION, PROJECT, SIZE
from taskorch.domain.role import Role

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.group(
    cls=app.RoleGroup,
    epilog="Example: orchestrate token create ada --role worker",
)
def token() -> None:
    """Create, list, rotate and revoke access tokens of the gateway."""


@token.command(
    epilog="Example: orchestrate token create ada --role worker --expires 30d"
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    required=True,
    help="What the token allows; see orchestrate docs gateway.",
)
@click.option(
    "--project",
    type=PROJECT,
    metavar="PROJECT",
    help="The only project that the token gives access to.",
)
@click.option(
    "--expires",
    "lifetime_ms",
    type=DURATION,
    help="Lifetime, such as 12h or 30d, at most 365d.  [default: until it is revoked]",
)
@click.option(
    "--max-open-items",
    "open_items",
    type=click.IntRange(0),
    metavar="N",
    help="Maximum number of items that its client has created and that are neither "
    "completed nor cancelled; 0 for any number.  [default: 10000]",
)
@click.option(
    "--max-bytes",
    "bytes_a_day",
    type=SIZE,
    help="Maximum number of bytes that its client writes in a day (UTC), such as "
    "64k, 100M or 1G; 0 for any number.  [default: 1G]",
)
@click.option(
    "--max-agents",
    "agents",
    type=click.IntRange(0),
    metavar="N",
    help="Maximum number of different agents that its client assigns items to; 0 for "
    "any number.  [default: 1000]",
)
@pass_context
def create(
    context: "OrchestratorContext",
    /,
    name: str,
    role: str,
    project: str | None,
    lifetime_ms: int | None,
    **quotas: int | None,
) -> None:
    """Create a token for the agent or orchestrator NAME, and print it.

    It is printed this one time: the queue keeps only a hash of it. If Redis did not
    answer, rerun the command: it creates one token. The token of an administrator has
    no quotas unless they are given.
    """
    from taskorch.domain import access_token
    from taskorch.domain.frozen import replace

    from taskorch_orchestrator.render import tokens

    most = access_token.usual_quotas(Role(role))
    given = {
        name: value for name, value in quotas.items() if value is not None
    }
    created = context.queue.access_tokens().create(
        name,
        Role(role),
        project=project or "",
        lifetime_ms=lifetime_ms,
        quotas=replace(most, **given),
    )
    context.output.show(created, tokens.new)
    context.output.hint(tokens.ONCE)


@token.command("list", epilog="Example: orchestrate token list")
@pass_context
def list_(context: "OrchestratorContext") -> None:
    """List the tokens with their last use and their quotas, the newest first.

    A quota is shown as what is used of it, and its maximum.
    """
    from taskorch_orchestrator.render import tokens

    found = context.queue.access_tokens().list()
    context.output.show(found, tokens.table, "No access tokens.")


@token.command(epilog="Example: orchestrate token rotate tok_1a2b3c4d")
@click.argument("token_id", metavar="TOKEN")
@pass_context
def rotate(context: "OrchestratorContext", token_id: str) -> None:
    """Give TOKEN, an id of `token list`, a new secret, and print it.

    The old secret is refused within a second.
    """
    from taskorch_orchestrator.render import tokens

    rotated = context.queue_of().access_tokens().rotate(token_id)
    context.output.show(rotated, tokens.new)
    context.output.hint(tokens.ONCE)


@token.command(epilog="Example: orchestrate token revoke tok_1a2b3c4d")
@click.argument("token_id", metavar="TOKEN")
@pass_context
def revoke(context: "OrchestratorContext", token_id: str) -> None:
    """Revoke TOKEN, an id of `token list`.

    It is refused from then on, and what its client waits for ends within a second.
    """
    from taskorch_orchestrator.render import tokens

    context.queue.access_tokens().revoke(token_id)
    context.output.show({"id": token_id}, tokens.revoked)
