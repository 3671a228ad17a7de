"""The `token` commands, for the access tokens of the gateway."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click
from taskorch.cli import app
from taskorch.cli.arguments import DURATION, PROJECT, SIZE, Amount
from taskorch.domain import limits
from taskorch.domain.role import Role

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

Command = TypeVar("Command", bound=Callable[..., object])
NEVER = "never"


class TokenId(click.ParamType[str]):
    """The id of an access token, without its secret."""

    name = "token"

    def convert(
        self,
        value: str,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str:
        """Return the id. The message does not repeat a text with a secret."""
        from taskorch.domain import access_token

        if not access_token.is_id(value):
            reason = "it is not an id of `token list`, such as tok_1a2b3c4d"
            self.fail(reason, param, ctx)
        return value


def _lifetime_ms(text: str) -> int:
    return 0 if text == NEVER else limits.duration_ms(text)


#: Such as 12h or 30d, in milliseconds; `never` is 0.
LIFETIME = Amount("duration", _lifetime_ms)
TOKEN = click.argument("token_id", metavar="TOKEN", type=TokenId())
ROLES = click.Choice([role.value for role in Role])
#: Option, parameter, type, metavar, meaning and usual value of each quota.
QUOTAS = (
    (
        "--max-open-items",
        "open_items",
        click.IntRange(0),
        "N",
        (
            "Maximum number of items that its client has created and that are neither "
            "completed nor cancelled; 0 for any number."
        ),
        "10000",
    ),
    (
        "--max-bytes",
        "bytes_a_day",
        SIZE,
        None,
        (
            "Maximum number of bytes that its client writes in a day (UTC), such as "
            "64k, 100M or 1G; 0 for any number."
        ),
        "1G",
    ),
    (
        "--max-agents",
        "agents",
        click.IntRange(0),
        "N",
        (
            "Maximum number of different agents that its client assigns items to; 0 for "
            "any number."
        ),
        "1000",
    ),
)


def _quota_options(*, of_new: bool) -> Callable[[Command], Command]:
    """Return a decorator with an option for each quota; a new token has usual ones."""

    def add(command: Command) -> Command:
        for option, name, type_, metavar, meaning, usual in reversed(QUOTAS):
            shown = f"{meaning}  [default: {usual}]" if of_new else meaning
            command = click.option(
                option, name, type=type_, metavar=metavar, help=shown
            )(command)
        return command

    return add


@orchestrate.group(
    cls=app.RoleGroup,
    epilog="Example: orchestrate token create ada --role worker",
)
def token() -> None:
    """Create, list, edit, rotate and revoke access tokens of the gateway."""


@token.command(
    epilog="Example: orchestrate token create ada --role worker --expires 30d"
)
@click.argument("name")
@click.option(
    "--role",
    type=ROLES,
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
@_quota_options(of_new=True)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL",
    help="Pool that its client may take items from. Repeatable.  [default: none]",
)
@pass_context
def create(
    context: "OrchestratorContext",
    /,
    name: str,
    role: str,
    project: str | None,
    lifetime_ms: int | None,
    pools: tuple[str, ...],
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
        pools=pools,
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


@token.command(
    epilog="Example: orchestrate token edit tok_1a2b3c4d --max-bytes 100M"
)
@TOKEN
@click.option("--role", type=ROLES, help="What the token allows.")
@click.option(
    "--expires",
    "lifetime_ms",
    type=LIFETIME,
    help="Lifetime from now, such as 12h or 30d, at most 365d; never: until it is "
    "revoked.",
)
@_quota_options(of_new=False)
@click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL",
    help="Pool that its client may take items from, instead of those before. "
    "Repeatable; '' alone for none.",
)
@pass_context
def edit(
    context: "OrchestratorContext",
    /,
    token_id: str,
    role: str | None,
    lifetime_ms: int | None,
    pools: tuple[str, ...],
    **quotas: int | None,
) -> None:
    """Change the role, the pools, the expiry or the quotas of TOKEN, an id of `token list`.

    Its secret stays valid. The gateways obey the change within a second. A new role
    keeps the quotas unless they are given.
    """
    from taskorch.domain.access_token import AccessTokenEdit

    from taskorch_orchestrator.render import tokens

    change = AccessTokenEdit(
        role=Role(role) if role else None,
        pools=tuple(filter(None, pools)) if pools else None,
        lifetime_ms=lifetime_ms,
        **quotas,
    )
    context.queue.access_tokens().edit(token_id, change)
    context.output.show({"id": token_id}, tokens.edited)


@token.command(epilog="Example: orchestrate token rotate tok_1a2b3c4d")
@TOKEN
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
@TOKEN
@pass_context
def revoke(context: "OrchestratorContext", token_id: str) -> None:
    """Revoke TOKEN, an id of `token list`.

    It is refused from then on, and what its client waits for ends within a second.
    """
    from taskorch_orchestrator.render import tokens

    context.queue.access_tokens().revoke(token_id)
    context.output.show({"id": token_id}, tokens.revoked)
